/**
 * One SSH connection that this side makes to a server, step by step: `identified` gives the server's host key, and
 * nothing is told to the server before `acceptHostKey`; then `authenticate`; then channels are opened.
 */
import type { Duplex } from "node:stream";
import type { Negotiated } from "ssh2/lib/protocol/Protocol.js";
import { ServerIdentificationReader } from "../identification.ts";
import { Outlet } from "../outlet.ts";
import { describe } from "../peer-failures.ts";
import { fingerprintOf } from "../public-key.ts";
import { Transport, type TransportSettings } from "../ssh2-extension.ts";
import { type Field, Message, ProtocolError, Reader } from "../wire.ts";
import { authenticate, type ClientCredentials } from "./authentication.ts";
import type { ClientChannel } from "./channel.ts";
import { ClientChannels, quote } from "./channels.ts";

/** How long a server may take to close its end of a connection that was closed here. */
const LINGER_MILLIS = 2000;
/** RFC 4250 section 4.1.1: the last number of the connection protocol. */
const LAST_OF_CONNECTION = 127;
/** How many messages of the authentication protocol may come before they are asked for. */
const MOST_UNREAD = 16;
/** RFC 4253 section 11.1: SSH_DISCONNECT_PROTOCOL_ERROR, SSH_DISCONNECT_BY_APPLICATION. */
const PROTOCOL_ERROR = 2;
const BY_APPLICATION = 11;

/** What a server has shown of itself before it is trusted. */
export interface Presented {
  /** Of its host key: `SHA256:…` as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly keyType: string;
}

/** The connection is over: closed or broken by the server, by the network, or from here. */
export class ConnectionEnded extends Error {
  /** Whether the server had identified itself as one that speaks SSH. */
  readonly wasIdentified: boolean;

  constructor(message: string, wasIdentified: boolean) {
    super(message);
    this.wasIdentified = wasIdentified;
  }
}

export interface ClientConnectionOptions {
  readonly transport: TransportSettings;
  /** The whole identification string, `SSH-2.0-…`. */
  readonly clientVersion: string;
}

/** Where forwarded connections are said to come from. */
const ORIGINATOR = "127.0.0.1";

export class ClientConnection {
  /** Settles when the connection is over, with the reason. */
  readonly ended: Promise<ConnectionEnded>;
  /** The server's host key. Rejects when the connection ends before. */
  readonly identified: Promise<Presented>;
  readonly #socket: Duplex;
  readonly #options: ClientConnectionOptions;
  readonly #outlet: Outlet;
  readonly #identification = new ServerIdentificationReader();
  readonly #channels: ClientChannels;
  /** Whoever waits for a step of the connection is told when it ends instead. */
  readonly #steps = new Set<(error: Error) => void>();
  #transport: Transport | undefined;
  #serverVersion = "";
  #negotiated: Negotiated | undefined;
  #signatureAlgorithms: readonly string[] | undefined;
  #authenticationMessages: Buffer[] = [];
  #wakeAuthentication: (() => void) | undefined;
  #presented: (presented: Presented) => void = () => {};
  #keysReady: () => void = () => {};
  #over: (reason: ConnectionEnded) => void = () => {};
  #end: ConnectionEnded | undefined;
  #linger: NodeJS.Timeout | undefined;

  /** Begins at once. The socket is the connection's own from here on. */
  constructor(socket: Duplex, options: ClientConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#outlet = new Outlet(socket, options.transport.memory);
    this.#channels = new ClientChannels({
      send: (payload) => this.#send(payload),
      sendFilled: (length, fill) => this.#transport?.send(length, fill),
      isCongested: () => this.#outlet.isFull || (this.#transport?.isExchangingKeys ?? true),
      whenClear: (resume) => this.#outlet.whenClear(resume),
      sendUnimplemented: () => this.#transport?.sendUnimplemented(),
    });
    this.ended = new Promise((resolve) => {
      this.#over = resolve;
    });
    this.identified = this.#step((resolve) => {
      this.#presented = resolve;
    });
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.once("end", () => this.#finish("the server closed the connection"));
    socket.once("close", () => this.#closed());
    socket.on("error", (error) => this.#finish(error.message));
    this.#outlet.write(Buffer.from(`${options.clientVersion}\r\n`, "latin1"));
  }

  /** For the log: the server's identification string, and what was agreed on. */
  get description(): { readonly serverVersion: string; readonly algorithms: string } {
    const algorithms = this.#negotiated === undefined ? "" : describe(this.#negotiated);
    return { serverVersion: this.#serverVersion, algorithms };
  }

  /** Goes on with the key exchange; resolves when the keys are in use. */
  acceptHostKey(): Promise<void> {
    const ready = this.#step<void>((resolve) => {
      this.#keysReady = resolve;
    });
    this.#guard(() => this.#transport?.acceptHostKey());
    return ready;
  }

  /** Rejects with `AuthenticationRefused` or `ConnectionEnded`. */
  authenticate(credentials: ClientCredentials): Promise<void> {
    return authenticate(
      {
        send: (payload) => this.#send(payload),
        sessionId: () => this.#requireTransport().sessionId,
        signatureAlgorithms: () => this.#signatureAlgorithms,
        next: () => this.#nextOfAuthentication(),
      },
      credentials,
    );
  }

  /** Why the connection is over; undefined while it is not. */
  get end(): ConnectionEnded | undefined {
    return this.#end;
  }

  /** A TCP connection from the server to somewhere else (RFC 4254 section 7.2). Rejects as `open` does. */
  openTcp(host: string, port: number): Promise<ClientChannel> {
    return this.open("direct-tcpip", host, { uint32: port }, ORIGINATOR, { uint32: 0 });
  }

  /** SSH_MSG_CHANNEL_OPEN. Rejects with `ChannelRefused` or `ConnectionEnded`. */
  open(type: string, ...fields: readonly Field[]): Promise<ClientChannel> {
    return this.#step((resolve, reject) => this.#channels.open(type, fields, { resolve, reject }));
  }

  /** Ends the connection politely. */
  disconnect(): void {
    this.#finish("the connection was closed", BY_APPLICATION);
  }

  #receive(chunk: Buffer): void {
    if (this.#end !== undefined) return;
    this.#guard(() => {
      if (this.#transport === undefined) this.#identify(chunk);
      else this.#transport.receive(chunk);
    });
  }

  #identify(chunk: Buffer): void {
    const identified = this.#identification.read(chunk);
    if (identified === undefined) return;
    this.#serverVersion = identified.line;
    this.#transport = new Transport(this.#options.transport, [], identified.line, {
      write: (bytes) => this.#outlet.write(bytes),
      hostKeyReceived: (blob) =>
        this.#presented({ fingerprint: fingerprintOf(blob), keyType: new Reader(blob, 0).name() }),
      handshakeCompleted: (negotiated) => {
        this.#negotiated = negotiated;
        this.#keysReady();
      },
      rekeyed: () => this.#outlet.resume(),
      message: (payload) => this.#received(payload),
      disconnected: (_, text) => this.#disconnected(text),
    });
    if (identified.rest.length > 0) this.#transport.receive(identified.rest);
  }

  #received(payload: Buffer): void {
    const [type = 0] = payload;
    switch (type) {
      case Message.IGNORE:
      case Message.UNIMPLEMENTED:
      case Message.DEBUG:
      case Message.USERAUTH_BANNER:
        break;
      case Message.DISCONNECT: {
        const reader = new Reader(payload);
        reader.uint32();
        this.#disconnected(reader.string().toString());
        break;
      }
      case Message.EXT_INFO:
        this.#extensionsReceived(new Reader(payload));
        break;
      default:
        if (type >= Message.GLOBAL_REQUEST && type <= LAST_OF_CONNECTION) {
          this.#channels.received(payload);
        } else if (type >= Message.SERVICE_ACCEPT && type < Message.GLOBAL_REQUEST) {
          if (this.#authenticationMessages.push(payload) > MOST_UNREAD) {
            throw new ProtocolError("the server answers what was not asked");
          }
          this.#wakeAuthentication?.();
        } else {
          this.#transport?.sendUnimplemented();
        }
    }
  }

  async #nextOfAuthentication(): Promise<Buffer> {
    if (this.#authenticationMessages.length === 0) {
      await this.#step<void>((resolve) => {
        this.#wakeAuthentication = resolve;
      });
    }
    const [next, ...later] = this.#authenticationMessages;
    if (next === undefined) throw new Error("woken up without a message");
    this.#authenticationMessages = later;
    return next;
  }

  /** RFC 8308 section 2.3. */
  #extensionsReceived(reader: Reader): void {
    for (let left = reader.uint32(); left > 0; left--) {
      const name = reader.name();
      const value = reader.name();
      if (name === "server-sig-algs") this.#signatureAlgorithms = value.split(",");
    }
  }

  #send(payload: Buffer): void {
    if (this.#end === undefined) this.#transport?.sendMessage(payload);
  }

  #requireTransport(): Transport {
    if (this.#transport === undefined) throw new Error("the server has not identified itself");
    return this.#transport;
  }

  /** A step of the connection that its end breaks off. */
  #step<A>(begin: (resolve: (value: A) => void, reject: (error: Error) => void) => void): Promise<A> {
    const step = new Promise<A>((resolve, reject) => {
      if (this.#end !== undefined) return reject(this.#end);
      this.#steps.add(reject);
      const settle =
        <B>(settled: (value: B) => void) =>
        (value: B): void => {
          this.#steps.delete(reject);
          settled(value);
        };
      begin(settle(resolve), settle(reject));
    });
    // Who waits is told; a step that nobody waits for any more may fail unseen.
    step.catch(() => {});
    return step;
  }

  /** Runs what reads the server's bytes: whatever is wrong with them ends the connection. */
  #guard(read: () => void): void {
    try {
      read();
    } catch (error) {
      this.#finish(error instanceof Error ? error.message : String(error), PROTOCOL_ERROR);
    }
  }

  #disconnected(text: string): void {
    const said = quote(text);
    this.#finish(said === "" ? "the server disconnected" : `the server disconnected: ${said}`);
  }

  #finish(reason: string, code?: number): void {
    if (this.#end !== undefined) return;
    const end = new ConnectionEnded(reason, this.#transport !== undefined);
    if (code !== undefined) this.#transport?.sendDisconnect(code, "");
    this.#end = end;
    for (const fail of [...this.#steps]) fail(end);
    this.#steps.clear();
    this.#channels.lost(end);
    this.#transport?.close();
    const socket = this.#socket;
    if (!socket.destroyed) {
      this.#outlet.flush();
      socket.end();
      socket.resume();
      this.#linger = setTimeout(() => socket.destroy(), LINGER_MILLIS);
    }
    this.#over(end);
  }

  #closed(): void {
    clearTimeout(this.#linger);
    this.#finish("the server closed the connection");
  }
}
