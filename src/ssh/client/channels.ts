/** The client's half of the SSH connection protocol (RFC 4254): channels by their numbers, opened from this side alone. */
import { type ChannelPort, PACKET_BYTES } from "../channel-output.ts";
import { WINDOW_BYTES } from "../channel-streams.ts";
import { type Field, isPlainText, Message, message, ProtocolError, Reader } from "../wire.ts";
import { ClientChannel } from "./channel.ts";

/** RFC 4254 section 5.1: SSH_OPEN_ADMINISTRATIVELY_PROHIBITED. */
const PROHIBITED = 1;
/** How much of a server's own words is kept. */
const LONGEST_QUOTE = 200;

/** SSH_MSG_CHANNEL_OPEN_FAILURE. */
export class ChannelRefused extends Error {
  /** RFC 4254 section 5.1. */
  readonly reason: number;

  constructor(reason: number, text: string) {
    super(text);
    this.reason = reason;
  }
}

export interface ClientChannelsPort extends ChannelPort {
  /** Answers the message at hand with SSH_MSG_UNIMPLEMENTED. */
  readonly sendUnimplemented: () => void;
}

interface Opening {
  readonly resolve: (channel: ClientChannel) => void;
  readonly reject: (error: Error) => void;
}

export class ClientChannels {
  readonly #port: ClientChannelsPort;
  readonly #channels = new Map<number, ClientChannel>();
  readonly #openings = new Map<number, Opening>();
  #nextNumber = 0;

  constructor(port: ClientChannelsPort) {
    this.#port = port;
  }

  /** SSH_MSG_CHANNEL_OPEN; `opening` is told how it went, unless the connection ends before. */
  open(type: string, fields: readonly Field[], opening: Opening): void {
    const number = this.#nextNumber++;
    this.#openings.set(number, opening);
    const sizes = [{ uint32: number }, { uint32: WINDOW_BYTES }, { uint32: PACKET_BYTES }];
    this.#port.send(message(Message.CHANNEL_OPEN, type, ...sizes, ...fields));
  }

  /** A message of the server, numbers 80 to 127. */
  received(payload: Buffer): void {
    const [type = 0] = payload;
    const reader = new Reader(payload);
    switch (type) {
      // Answers to what this side asks for: nothing.
      case Message.REQUEST_SUCCESS:
      case Message.REQUEST_FAILURE:
        break;
      case Message.GLOBAL_REQUEST:
        this.#globalRequested(reader);
        break;
      case Message.CHANNEL_OPEN:
        this.#openRequested(reader);
        break;
      case Message.CHANNEL_OPEN_CONFIRMATION:
        this.#openConfirmed(reader);
        break;
      case Message.CHANNEL_OPEN_FAILURE:
        this.#openRefused(reader);
        break;
      default:
        if (type < Message.CHANNEL_WINDOW_ADJUST || type > Message.CHANNEL_FAILURE) {
          this.#port.sendUnimplemented();
          return;
        }
        this.#toChannel(type, reader);
    }
  }

  /** The connection is over. */
  lost(error: Error): void {
    this.#openings.clear();
    for (const channel of [...this.#channels.values()]) channel.lost(error);
  }

  /** A server has nothing to ask for but signs of life, for which any answer will do. */
  #globalRequested(reader: Reader): void {
    reader.name();
    if (reader.boolean()) this.#port.send(message(Message.REQUEST_FAILURE));
  }

  /** Nothing was forwarded to here, so nothing comes back. */
  #openRequested(reader: Reader): void {
    reader.name();
    const fields = [{ uint32: reader.uint32() }, { uint32: PROHIBITED }, "not asked for", ""] as const;
    this.#port.send(message(Message.CHANNEL_OPEN_FAILURE, ...fields));
  }

  #openConfirmed(reader: Reader): void {
    const number = reader.uint32();
    const opening = this.#openingOf(number);
    const [recipient, window, packetBytes] = [reader.uint32(), reader.uint32(), reader.uint32()];
    if (packetBytes === 0) throw new ProtocolError("a channel has no room for packets");
    const port = { ...this.#port, closed: () => void this.#channels.delete(number) };
    const channel = new ClientChannel({ recipient, window, packetBytes }, port);
    this.#channels.set(number, channel);
    opening.resolve(channel);
  }

  #openRefused(reader: Reader): void {
    const opening = this.#openingOf(reader.uint32());
    opening.reject(new ChannelRefused(reader.uint32(), quote(reader.string().toString())));
  }

  #openingOf(number: number): Opening {
    const opening = this.#openings.get(number);
    if (opening === undefined) throw new ProtocolError("an answer is about a channel that was not asked for");
    this.#openings.delete(number);
    return opening;
  }

  /** A channel that was closed may still be spoken to by a server that doesn't know yet; one never opened may not. */
  #toChannel(type: number, reader: Reader): void {
    const number = reader.uint32();
    if (number >= this.#nextNumber) {
      throw new ProtocolError("a message is about a channel that was never open");
    }
    const channel = this.#channels.get(number);
    switch (type) {
      case Message.CHANNEL_DATA:
        channel?.dataReceived(reader.string());
        break;
      case Message.CHANNEL_EXTENDED_DATA:
        channel?.extendedDataReceived(reader.uint32(), reader.string());
        break;
      case Message.CHANNEL_WINDOW_ADJUST:
        channel?.windowExtended(reader.uint32());
        break;
      case Message.CHANNEL_EOF:
        channel?.endReceived();
        break;
      case Message.CHANNEL_CLOSE:
        channel?.closeReceived();
        break;
      case Message.CHANNEL_REQUEST:
        channel?.requested(reader.name(), reader.boolean(), reader);
        break;
      case Message.CHANNEL_SUCCESS:
      case Message.CHANNEL_FAILURE:
        channel?.answered(type === Message.CHANNEL_SUCCESS);
        break;
    }
  }
}

/** Some words of a server, fit for a log. */
export const quote = (text: string): string =>
  [...text.slice(0, LONGEST_QUOTE)].map((letter) => (isPlainText(letter) ? letter : " ")).join("");
