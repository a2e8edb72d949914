/**
 * One SSH connection: its socket, its transport, and the two protocols above it. Facts go out as events of the
 * connection machine, and what the machine decides comes in by the methods of `Link`.
 */
import type { Socket } from "node:net";
import type { Negotiated } from "ssh2/lib/protocol/Protocol.js";
import type { ConnectionEvent, DisconnectReason } from "../../machines/connection-facts.ts";
import type { AuthenticationMethod, Exit, Level, Refusal } from "../../machines/facts.ts";
import type { Logger } from "../log/logger.ts";
import { inTurn } from "../turns.ts";
import { Channels } from "./channels.ts";
import { ClientAlive } from "./client-alive.ts";
import { HOST_KEYS_PROVE, hostKeysMessage, hostKeysProof } from "./host-key-proof.ts";
import { IdentificationReader } from "./identification.ts";
import type { ChannelStreams, Link } from "./link.ts";
import { OfferHold } from "./offer-hold.ts";
import { Outlet } from "./outlet.ts";
import { brokenBy, describe, keepAliveLost } from "./peer-failures.ts";
import { signatureAlgorithms } from "./public-key.ts";
import { Transport, type TransportSettings } from "./ssh2-extension.ts";
import { UserAuthentication } from "./user-authentication.ts";
import { Message, message, ProtocolError, Reader } from "./wire.ts";

/** How long a client that was disconnected may take to read why and close its end. */
const LINGER_MILLIS = 2000;
/** How many messages may wait for a client that doesn't come along when keys are exchanged. */
const MOST_WAITING = 1000;
/** RFC 4250 section 4.1.1: the last number of the connection protocol. */
const LAST_OF_CONNECTION = 127;
/** How much of a client's own words is written into the log. */
const LONGEST_QUOTE = 200;

/** RFC 4253 section 11.1. */
const reasonCodes: Readonly<Record<DisconnectReason, number>> = {
  protocolError: 2,
  keyExchangeFailed: 3,
  connectionLost: 10,
  byApplication: 11,
  noMoreAuthMethodsAvailable: 14,
};

/** What all connections of a server share. */
export interface ConnectionSettings {
  readonly transport: TransportSettings;
  readonly serverVersion: string;
  readonly banner: string;
  readonly clientAliveIntervalMillis: number;
  readonly clientAliveCountMax: number;
  readonly logger: Logger;
}

export interface ConnectionAddresses {
  readonly connectionId: string;
  readonly remoteAddress: string;
  readonly localAddress: string;
}

export class SshConnection implements Link {
  readonly connectionId: string;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly #socket: Socket;
  readonly #settings: ConnectionSettings;
  readonly #send: (event: ConnectionEvent) => void;
  readonly #outlet: Outlet;
  readonly #offerHold: OfferHold;
  readonly #authentication: UserAuthentication;
  readonly #channels: Channels;
  readonly #alive: ClientAlive;
  readonly #identification = new IdentificationReader();
  #clientVersion = "";
  #transport: Transport | undefined;
  #negotiated: Negotiated | undefined;
  #logger: Logger;
  /** Nothing is read or written any more but the end of the socket. */
  #isEnding = false;
  #isReported = false;
  #linger: NodeJS.Timeout | undefined;
  /** How many chunks wait for their turns. */
  #chunksWaiting = 0;

  constructor(
    socket: Socket,
    addresses: ConnectionAddresses,
    settings: ConnectionSettings,
    send: (event: ConnectionEvent) => void,
  ) {
    this.connectionId = addresses.connectionId;
    this.remoteAddress = addresses.remoteAddress;
    this.localAddress = addresses.localAddress;
    this.#socket = socket;
    this.#settings = settings;
    this.#send = send;
    const { connectionId, remoteAddress: remoteAddr } = addresses;
    this.#logger = settings.logger.with({ connectionId, remoteAddr });
    this.#logger.debug("SSH_CONNECTED", "A client has connected");
    this.#outlet = new Outlet(socket, settings.transport.memory);
    this.#offerHold = new OfferHold(this.#outlet);
    const logger = () => this.#logger;
    const sendMessage = (payload: Buffer) => this.#sendMessage(payload);
    this.#authentication = new UserAuthentication({
      send: sendMessage,
      requested: send,
      succeeded: () => this.#loggedIn(),
      sessionId: () => this.#requireTransport().sessionId,
      banner: settings.banner,
    });
    this.#channels = new Channels({
      send: sendMessage,
      sendFilled: (length, fill) => this.#transport?.send(length, fill),
      isCongested: () => this.#outlet.isFull || (this.#transport?.isExchangingKeys ?? true),
      whenClear: (resume) => this.#outlet.whenClear(resume),
      sendUnimplemented: () => this.#sendUnimplemented(),
      globalRequested: (name, reader) => this.#globalRequested(name, reader),
      emit: send,
      logger,
    });
    this.#alive = new ClientAlive({
      intervalMillis: settings.clientAliveIntervalMillis,
      countMax: settings.clientAliveCountMax,
      ask: () => sendMessage(message(Message.GLOBAL_REQUEST, "keepalive@openssh.com", true)),
      lost: () => this.#fail(keepAliveLost),
    });
    this.#listen();
  }

  answerFailure(methods: readonly AuthenticationMethod[]): void {
    this.#authentication.answerFailure(methods);
  }

  answerKeyAcceptable(): void {
    this.#authentication.answerKeyAcceptable();
  }

  answerSuccess(): void {
    this.#authentication.answerSuccess();
  }

  showBanner(text: string): void {
    this.#authentication.showBanner(text);
  }

  acceptChannel(channel: number): void {
    this.#channels.acceptChannel(channel);
  }

  acceptRequest(channel: number): void {
    this.#channels.get(channel)?.accept();
  }

  openStreams(channel: number): void {
    this.#channels.get(channel)?.openStreams();
  }

  streams(channel: number): ChannelStreams | undefined {
    return this.#channels.get(channel)?.streams;
  }

  showFailure(channel: number, text: string): void {
    this.#channels.get(channel)?.showFailure(text);
  }

  closeChannel(channel: number, exit: Exit): void {
    this.#channels.get(channel)?.finish(exit);
  }

  notifyTerminals(text: string): void {
    this.#channels.notify(text);
  }

  disconnect(reason: DisconnectReason, text: string): void {
    if (this.#isEnding) return;
    if (this.#transport !== undefined) this.#transport.sendDisconnect(reasonCodes[reason], text);
    // Whoever has not said that they speak SSH gets plain text.
    else if (text !== "") this.#outlet.write(Buffer.from(`${text}\r\n`));
    this.#end();
  }

  get logger(): Logger {
    return this.#logger;
  }

  logAt(level: Level): Logger {
    this.#logger = this.#logger.at(level);
    return this.#logger;
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.once("end", () => this.#gone());
    socket.once("close", () => this.#closed());
    socket.on("error", (error: NodeJS.ErrnoException) => this.#socketFailed(error));
    this.#outlet.write(Buffer.from(`${this.#settings.serverVersion}\r\n`, "latin1"));
    socket.resume();
  }

  /**
   * All but what is said to a program is done in turns. Meanwhile the socket rests, and what it gave already waits
   * behind.
   */
  #receive(chunk: Buffer): void {
    if (this.#channels.areServed && this.#chunksWaiting === 0) {
      this.#read(chunk);
      return;
    }
    this.#chunksWaiting += 1;
    this.#socket.pause();
    inTurn(() => {
      this.#chunksWaiting -= 1;
      this.#read(chunk);
      if (this.#chunksWaiting === 0 && !this.#outlet.isStuck) this.#socket.resume();
    });
  }

  #read(chunk: Buffer): void {
    if (this.#isEnding) return;
    this.#alive.heard();
    try {
      if (this.#transport === undefined) {
        this.#identify(chunk);
      } else {
        this.#transport.receive(chunk);
        this.#offerHold.end();
      }
    } catch (error) {
      this.#fail(this.#brokenBy(error));
    }
  }

  /** Only a client that has identified itself gets a transport. */
  #identify(chunk: Buffer): void {
    const identified = this.#identification.read(chunk);
    if (identified === undefined) return;
    this.#clientVersion = identified.line;
    if (identified.rest.length === 0) this.#offerHold.begin(identified.line);
    this.#transport = new Transport(this.#settings.transport, signatureAlgorithms, identified.line, {
      write: (bytes) => this.#outlet.write(bytes),
      handshakeCompleted: (negotiated) => this.#handshakeCompleted(negotiated),
      rekeyed: () => this.#outlet.resume(),
      message: (payload) => this.#received(payload),
      disconnected: (reason, text) => this.#disconnected(reason, text),
    });
    if (identified.rest.length > 0) this.#transport.receive(identified.rest);
  }

  #handshakeCompleted(negotiated: Negotiated): void {
    this.#negotiated = negotiated;
    this.#send({
      type: "handshake.completed",
      clientVersion: this.#clientVersion,
      algorithms: describe(negotiated),
    });
  }

  #received(payload: Buffer): void {
    const [type = 0] = payload;
    switch (type) {
      case Message.IGNORE:
      case Message.UNIMPLEMENTED:
      case Message.DEBUG:
      case Message.EXT_INFO:
        break;
      case Message.DISCONNECT: {
        const reader = new Reader(payload);
        this.#disconnected(reader.uint32(), reader.string().toString());
        break;
      }
      case Message.SERVICE_REQUEST:
        this.#authentication.serviceRequested(payload);
        break;
      case Message.USERAUTH_REQUEST:
        this.#authentication.userAuthenticationRequested(payload);
        break;
      case Message.USERAUTH_INFO_RESPONSE:
      case Message.USERAUTH_GSSAPI_EXCHANGE_COMPLETE:
      case Message.USERAUTH_GSSAPI_ERRTOK:
      case Message.USERAUTH_GSSAPI_MIC:
        this.#authentication.methodMessageReceived(payload);
        break;
      default:
        this.#receivedOfConnection(type, payload);
    }
  }

  #receivedOfConnection(type: number, payload: Buffer): void {
    const isOfConnection = type >= Message.GLOBAL_REQUEST && type <= LAST_OF_CONNECTION;
    if (!isOfConnection) this.#sendUnimplemented();
    else if (this.#authentication.isDone) this.#channels.received(payload);
    else throw new ProtocolError("the client did not log in first");
  }

  #loggedIn(): void {
    this.#sendMessage(hostKeysMessage(this.#settings.transport.hostKeys));
    this.#alive.start();
  }

  #globalRequested(name: string, reader: Reader): Buffer | undefined {
    const { hostKeys } = this.#settings.transport;
    const negotiated = this.#negotiated?.serverHostKey ?? "";
    return name === HOST_KEYS_PROVE
      ? hostKeysProof(hostKeys, negotiated, this.#requireTransport().sessionId, reader)
      : undefined;
  }

  #sendMessage(payload: Buffer): void {
    if (this.#isEnding) return;
    this.#transport?.sendMessage(payload);
    this.#limitWaiting();
  }

  #sendUnimplemented(): void {
    this.#transport?.sendUnimplemented();
    this.#limitWaiting();
  }

  #limitWaiting(): void {
    if ((this.#transport?.waiting ?? 0) <= MOST_WAITING) return;
    this.#fail(this.#brokenBy(new ProtocolError("the client does not take new keys")));
  }

  #requireTransport(): Transport {
    if (this.#transport === undefined) throw new Error("the client has not identified itself");
    return this.#transport;
  }

  /** SSH_MSG_DISCONNECT of the client: nothing may be sent any more. */
  #disconnected(reason: number, text: string): void {
    if (reason !== reasonCodes.byApplication) {
      const quote = text.replace(/\p{Cc}/gu, " ").slice(0, LONGEST_QUOTE);
      this.#logger.debug("SSH_DISCONNECTED", "The client said why it disconnects", { reason, text: quote });
    }
    this.#gone();
  }

  /** The client is gone, or wants to be. */
  #gone(): void {
    this.#end();
    this.#report({ type: "peer.disconnected" });
  }

  #fail(refusal: Refusal): void {
    this.#report({ type: "peer.failed", refusal });
    // The machine has disconnected by now, unless it is gone or in the middle of something else.
    this.disconnect("protocolError", refusal.userMessage);
  }

  #brokenBy(error: unknown): Refusal {
    return brokenBy(error, {
      clientVersion: this.#clientVersion,
      hasKeys: this.#negotiated !== undefined,
      conversation: this.#authentication.conversation,
    });
  }

  #report(event: ConnectionEvent): void {
    if (this.#isReported) return;
    this.#isReported = true;
    this.#send(event);
  }

  #socketFailed(error: NodeJS.ErrnoException): void {
    if (error.code === "ETIMEDOUT") this.#report({ type: "peer.failed", refusal: keepAliveLost });
    else this.#logger.debug("SSH_DISCONNECTED", "The client's socket failed", { error: error.message });
  }

  /** Gives everything up but the socket, which gets a while to deliver what was written. */
  #end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#offerHold.forget();
    this.#alive.stop();
    this.#authentication.close();
    this.#channels.close();
    this.#transport?.close();
    const socket = this.#socket;
    if (socket.destroyed) return;
    this.#outlet.flush();
    socket.end();
    // What the client still sends is read and dropped: unread data would make the system drop our last words.
    socket.resume();
    this.#linger = setTimeout(() => socket.destroy(), LINGER_MILLIS);
  }

  #closed(): void {
    clearTimeout(this.#linger);
    this.#gone();
  }
}
