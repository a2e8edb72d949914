/** The SSH connection protocol (RFC 4254): channels by their numbers, and global requests. */
import type { Exit, Forwarding } from "../../machines/facts.ts";
import { type ChannelOpening, SessionChannel, type SessionPort } from "./channel.ts";
import { PACKET_BYTES } from "./channel-output.ts";
import { WINDOW_BYTES } from "./channel-streams.ts";
import { HOST_KEYS_PROVE } from "./host-key-proof.ts";
import type { ChannelStreams } from "./link.ts";
import { Message, message, ProtocolError, quoted, Reader } from "./wire.ts";

/** How many session channels a connection may have at once (OpenSSH's MaxSessions is 10). */
const MOST_CHANNELS = 128;

/** RFC 4254 section 5.1. */
const OpenFailure = { prohibited: 1, connectFailed: 2, unknownType: 3, resourceShortage: 4 } as const;
type OpenFailure = (typeof OpenFailure)[keyof typeof OpenFailure];

/** What is asked for by opening a channel, and what by a global request. */
const forwardingTypes: readonly Forwarding[] = ["direct-tcpip", "direct-streamlocal@openssh.com"];
const forwardingRequests: readonly Forwarding[] = ["tcpip-forward", "streamlocal-forward@openssh.com"];
/** Global requests with an answer of their own, if only a refusal that says why. */
const globalRequests: readonly string[] = [HOST_KEYS_PROVE, ...forwardingRequests];

const UNAVAILABLE = "This kind of channel is not available here.";

export interface ConnectionPort extends Omit<SessionPort, "closed"> {
  /** Answers the message at hand with SSH_MSG_UNIMPLEMENTED. */
  readonly sendUnimplemented: () => void;
  /** The answer to a global request, whole; undefined refuses it. */
  readonly globalRequested: (name: string, reader: Reader) => Buffer | undefined;
}

/** The channel at hand. */
interface Opening {
  readonly number: number;
  readonly sender: number;
  isAccepted: boolean;
}

export class Channels {
  readonly #port: ConnectionPort;
  readonly #channels = new Map<number, SessionChannel>();
  /** Numbers are not used again: what is said about a channel never reaches another one. */
  #nextNumber = 0;
  #opening: Opening | undefined;
  #noMoreSessions = false;

  constructor(port: ConnectionPort) {
    this.#port = port;
  }

  get(channel: number): SessionChannel | undefined {
    return this.#channels.get(channel);
  }

  /** Whether bytes go to a program and come from it. */
  get areServed(): boolean {
    for (const { isServed } of this.#channels.values()) if (isServed) return true;
    return false;
  }

  /** A message of a logged in client, numbers 80 to 127. */
  received(payload: Buffer): void {
    const [type = 0] = payload;
    switch (type) {
      case Message.CHANNEL_OPEN:
        this.#openRequested(payload);
        break;
      case Message.CHANNEL_REQUEST:
        this.#requested(payload);
        break;
      case Message.GLOBAL_REQUEST:
        this.#globalRequested(payload);
        break;
      // Answers to what this side asks for: only questions for a sign of life, which any answer is.
      case Message.REQUEST_SUCCESS:
      case Message.REQUEST_FAILURE:
        break;
      default:
        if (type < Message.CHANNEL_WINDOW_ADJUST || type > Message.CHANNEL_CLOSE) {
          this.#port.sendUnimplemented();
          return;
        }
        this.#toChannel(type, payload);
    }
  }

  acceptChannel(channel: number): void {
    const opening = this.#opening;
    if (opening?.number !== channel || opening.isAccepted) return;
    opening.isAccepted = true;
    this.#port.logger().debug("SSH_NEW_CHANNEL", "A channel is open", { type: "session", channel });
    this.#port.send(
      message(
        Message.CHANNEL_OPEN_CONFIRMATION,
        { uint32: opening.sender },
        { uint32: channel },
        { uint32: WINDOW_BYTES },
        { uint32: PACKET_BYTES },
      ),
    );
  }

  streams(channel: number): ChannelStreams | undefined {
    return this.#channels.get(channel)?.streams;
  }

  finish(channel: number, exit: Exit): void {
    this.#channels.get(channel)?.finish(exit);
  }

  notify(text: string): void {
    for (const channel of this.#channels.values()) channel.notify(text);
  }

  /** The connection is over. */
  close(): void {
    for (const channel of [...this.#channels.values()]) channel.close();
  }

  /** The stream of a channel, and its end. */
  #toChannel(type: number, payload: Buffer): void {
    const channel = this.#channelOf(payload);
    switch (type) {
      case Message.CHANNEL_DATA:
        channel?.dataReceived(dataOf(payload, 5));
        break;
      case Message.CHANNEL_WINDOW_ADJUST:
        channel?.windowExtended(new Reader(payload, 5).uint32());
        break;
      case Message.CHANNEL_EXTENDED_DATA:
        channel?.extendedDataReceived(dataOf(payload, 9));
        break;
      case Message.CHANNEL_EOF:
        channel?.endReceived();
        break;
      case Message.CHANNEL_CLOSE:
        channel?.closeReceived();
        break;
    }
  }

  /** A channel that was closed may still be spoken to by a client that doesn't know yet; one never opened may not. */
  #channelOf(payload: Buffer): SessionChannel | undefined {
    const number = new Reader(payload).uint32();
    if (number >= this.#nextNumber)
      throw new ProtocolError("a message is about a channel that was never open");
    return this.#channels.get(number);
  }

  #requested(payload: Buffer): void {
    const channel = this.#channelOf(payload);
    const reader = new Reader(payload, 5);
    const type = reader.name();
    channel?.requested(type, reader.boolean(), reader);
  }

  #openRequested(payload: Buffer): void {
    const reader = new Reader(payload);
    const type = reader.name();
    const [sender, window, packetBytes] = [reader.uint32(), reader.uint32(), reader.uint32()];
    if (type !== "session") {
      const isKnown = this.#announceForwarding(forwardingTypes, type);
      const reason = isKnown ? OpenFailure.prohibited : OpenFailure.unknownType;
      this.#refuse(sender, reason, UNAVAILABLE, type);
    } else if (packetBytes === 0) {
      this.#refuse(sender, OpenFailure.connectFailed, "A channel needs room for packets.", type);
    } else if (this.#channels.size >= MOST_CHANNELS) {
      this.#refuse(sender, OpenFailure.resourceShortage, "There are too many sessions.", type);
    } else if (this.#noMoreSessions || !this.#announce({ sender, window, packetBytes })) {
      this.#refuse(sender, OpenFailure.prohibited, "No session can be opened now.", type);
    }
  }

  /** Announces a session channel; whoever takes it says so before this returns. */
  #announce(fields: ChannelOpening): boolean {
    const number = this.#nextNumber++;
    const port = { ...this.#port, closed: () => this.#channels.delete(number) };
    const opening: Opening = { number, sender: fields.sender, isAccepted: false };
    this.#channels.set(number, new SessionChannel(number, fields, port));
    this.#opening = opening;
    try {
      this.#port.emit({ type: "session.opened", channel: number });
    } finally {
      this.#opening = undefined;
      if (!opening.isAccepted) this.#channels.delete(number);
    }
    return opening.isAccepted;
  }

  /** Tells whether this is a wish for forwarding, and says so to whoever decides. */
  #announceForwarding(kinds: readonly Forwarding[], name: string): boolean {
    const forwarding = kinds.find((kind) => kind === name);
    if (forwarding === undefined) return false;
    this.#port.emit({ type: "forwarding.requested", forwarding });
    return true;
  }

  #refuse(sender: number, reason: OpenFailure, text: string, type: string): void {
    const logger = this.#port.logger();
    const details = { type: quoted(type) };
    if (reason === OpenFailure.unknownType)
      logger.debug("SSH_UNSUPPORTED_CHANNEL_TYPE", "A channel of an unknown type was refused", details);
    else logger.debug("SSH_NEW_CHANNEL_REJECTED", `A channel was refused: ${text}`, details);
    const fields = [{ uint32: sender }, { uint32: reason }, text, ""] as const;
    this.#port.send(message(Message.CHANNEL_OPEN_FAILURE, ...fields));
  }

  /** RFC 4254 section 4: answers go out in the order of their questions. */
  #globalRequested(payload: Buffer): void {
    const reader = new Reader(payload);
    const name = reader.name();
    const wantsReply = reader.boolean();
    const answer = this.#globalAnswer(name, reader);
    if (wantsReply) this.#port.send(answer ?? message(Message.REQUEST_FAILURE));
  }

  /** Questions for a sign of life come all the time and are not logged. */
  #globalAnswer(name: string, reader: Reader): Buffer | undefined {
    if (name === "keepalive@openssh.com") return undefined;
    if (name === "no-more-sessions@openssh.com") this.#noMoreSessions = true;
    const logger = this.#port.logger();
    const details = { RequestType: quoted(name) };
    if (!globalRequests.includes(name)) {
      logger.debug("SSH_UNSUPPORTED_GLOBAL_REQUEST", "An unknown global request was refused", details);
      return undefined;
    }
    logger.debug("SSH_GLOBAL_REQUEST", "The client sent a global request", details);
    this.#announceForwarding(forwardingRequests, name);
    const answer = this.#port.globalRequested(name, reader);
    if (answer === undefined)
      logger.debug("SSH_GLOBAL_REQUEST_FAILED", "The global request was refused", details);
    else logger.debug("SSH_GLOBAL_REQUEST_SUCCESSFUL", "The global request was fulfilled", details);
    return answer;
  }
}

const dataOf = (payload: Buffer, start: number): Buffer => new Reader(payload, start).string();
