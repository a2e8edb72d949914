/**
 * The WebSocket of one exec or attach request (Kubernetes' `v5.channel.k8s.io` and `v4.channel.k8s.io`: binary
 * messages whose first byte is a channel). Unlike the client library's it applies back-pressure both ways, never
 * closes the socket to say that the input has ended, and notices a server that has gone silent.
 */
import type { ClientRequest } from "node:http";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { V1Status } from "@kubernetes/client-node";
import { Effect, type Scope } from "effect";
import { WebSocket } from "ws";
import type { TerminalSize } from "../../../machines/facts.ts";
import type { RequestAccess } from "./access.ts";
import { type ApiCall, failureOfAnswer, failureOfSilence } from "./api-failure.ts";
import type { ApiFailure } from "./failures.ts";
import { isStale } from "./request.ts";

/** How the program behind the channels ended. */
export type ChannelsEnd =
  | { readonly kind: "exited"; readonly status: number }
  /** The server says it was not run, or not to its end. */
  | { readonly kind: "failed"; readonly reason: string; readonly message: string }
  /** Nobody said anything. */
  | { readonly kind: "lost"; readonly message: string }
  /** The server did not even say that it is there. */
  | { readonly kind: "silent"; readonly message: string };

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const STATUS = 3;
const RESIZE = 4;
/** Only `v5`: its message names a channel that is closed by the sender. */
const CLOSE = 255;

const V5 = "v5.channel.k8s.io";
const V4 = "v4.channel.k8s.io";

/** How often a silent server is asked for a sign of life. */
const PING_MILLIS = 2000;

/** How much output waits for its reader before the server is made to wait, for each stream. */
const OUTPUT_BUFFER_BYTES = 128 * 1024;

export interface ChannelsRequest {
  readonly access: RequestAccess;
  /** Path and query after the core API's URL. */
  readonly path: string;
  readonly call: ApiCall;
  readonly timeoutMillis: number;
  /**
   * Asked when the server stopped answering pings, which may only mean that it waits for a program to read, and when
   * the connection has broken off, which may only mean that the pod's node is gone.
   */
  readonly isServerAlive: () => Promise<boolean>;
  readonly filters?: OutputFilters | undefined;
}

export interface OutputFilters {
  readonly stdout?: OutputFilter;
  readonly stderr?: OutputFilter;
}

/** Takes out of an output what is not the program's. */
export interface OutputFilter {
  /** Takes the next bytes and gives back those that are the program's. */
  readonly take: (bytes: Buffer) => Buffer;
  /** There will be no more; what was held back after all. */
  readonly end: () => Buffer;
}

/** Opens the WebSocket; closing the scope closes it, whatever the program does. */
export const openChannels = (request: ChannelsRequest): Effect.Effect<Channels, ApiFailure, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Channels, ApiFailure>((resume) => {
      const { access, path, call, timeoutMillis } = request;
      const open = (): WebSocket => {
        let handshake: ClientRequest | undefined;
        const opening = new WebSocket(`${access.url.replace(/^http/, "ws")}${path}`, [V5, V4], {
          headers: { ...access.headers, "User-Agent": "berth" },
          agent: access.agent,
          handshakeTimeout: timeoutMillis,
          perMessageDeflate: false,
          finishRequest: (begun) => {
            handshake = begun;
            begun.end();
          },
          // Over TLS there is no proxy that masking could protect, and it costs a pass over all input.
          ...(access.url.startsWith("https:") ? { generateMask: () => undefined } : {}),
        });
        const onError = (error: Error): void => {
          if (handshake !== undefined && isStale(handshake, error)) socket = open();
          else resume(Effect.fail(failureOfSilence(call, error)));
        };
        opening.once("error", onError);
        opening.once("unexpected-response", (_, response) => {
          buffer(response).then(
            (body) => resume(Effect.fail(failureOfAnswer(call, response.statusCode ?? 0, body))),
            onError,
          );
        });
        opening.once("open", () => {
          opening.off("error", onError);
          resume(Effect.succeed(new Channels(opening, request)));
        });
        return opening;
      };
      let socket = open();
      return Effect.sync(() => {
        socket.on("error", () => undefined);
        socket.terminate();
      });
    }),
    (channels) => Effect.sync(() => channels.close()),
    { interruptible: true },
  );

export class Channels {
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles once, after the last output has been taken from the socket. */
  readonly ended: Promise<ChannelsEnd>;
  readonly #socket: WebSocket;
  readonly #isServerAlive: () => Promise<boolean>;
  readonly #filters: OutputFilters;
  readonly #full = new Set<Readable>();
  readonly #pings: NodeJS.Timeout;
  #heardAt = performance.now();
  #isAsking = false;
  #isOurs = false;
  #status = "";
  #end: ChannelsEnd = {
    kind: "lost",
    message: "The server closed the connection without saying how the program ended",
  };

  constructor(socket: WebSocket, { isServerAlive, filters = {} }: ChannelsRequest) {
    this.#socket = socket;
    this.#isServerAlive = isServerAlive;
    this.#filters = filters;
    this.stdout = this.#output();
    this.stderr = this.#output();
    this.#pings = setInterval(() => this.#listen(), PING_MILLIS);
    socket.on("message", (data: Buffer) => this.#take(data));
    socket.on("pong", () => this.#hear());
    socket.on("error", (error) => {
      this.#end = { kind: "lost", message: `The connection failed: ${error.message}` };
    });
    this.ended = new Promise((resolve) => {
      socket.once("close", () => {
        clearInterval(this.#pings);
        this.#deliver(this.stdout, this.#filters.stdout?.end() ?? Buffer.alloc(0));
        this.#deliver(this.stderr, this.#filters.stderr?.end() ?? Buffer.alloc(0));
        this.stdout.push(null);
        this.stderr.push(null);
        resolve(endOf(this.#status) ?? this.#unsaid());
      });
    });
  }

  /** Whether the end of the input can be told apart from the end of the connection. */
  get closesInput(): boolean {
    return this.#socket.protocol === V5;
  }

  /** Whether a reader that is slow holds the server up. */
  get isPaused(): boolean {
    return this.#socket.isPaused;
  }

  /** Sends input. `done` is called when more may be sent. */
  write(bytes: Uint8Array, done: (error?: Error) => void): void {
    this.#send(STDIN, bytes, done);
  }

  /** Ends the input, where the protocol can: see `closesInput`. */
  endInput(done: (error?: Error) => void): void {
    if (this.closesInput) this.#send(CLOSE, Uint8Array.of(STDIN), done);
    else done();
  }

  resize({ columns, rows }: TerminalSize, done: (error?: Error) => void): void {
    this.#send(RESIZE, Buffer.from(JSON.stringify({ Width: columns, Height: rows })), done);
  }

  close(): void {
    clearInterval(this.#pings);
    this.#isOurs = true;
    this.#socket.terminate();
  }

  #send(channel: number, bytes: Uint8Array, done: (error?: Error) => void): void {
    const message = Buffer.allocUnsafe(bytes.length + 1);
    message[0] = channel;
    message.set(bytes, 1);
    this.#socket.send(message, (error) => {
      // It may have been a ticket.
      message.fill(0);
      done(error);
    });
  }

  #output(): Readable {
    const stream: Readable = new Readable({
      highWaterMark: OUTPUT_BUFFER_BYTES,
      read: () => {
        if (this.#full.delete(stream) && this.#full.size === 0) this.#socket.resume();
      },
    });
    return stream;
  }

  #take(message: Buffer): void {
    this.#hear();
    const bytes = message.subarray(1);
    // Servers announce every channel with an empty message.
    if (bytes.length === 0) return;
    const { stdout, stderr } = this.#filters;
    if (message[0] === STDOUT) this.#deliver(this.stdout, stdout?.take(bytes) ?? bytes);
    else if (message[0] === STDERR) this.#deliver(this.stderr, stderr?.take(bytes) ?? bytes);
    else if (message[0] === STATUS) this.#status += bytes.toString();
  }

  #deliver(stream: Readable, bytes: Buffer): void {
    if (bytes.length === 0 || stream.destroyed || stream.push(bytes)) return;
    this.#full.add(stream);
    this.#socket.pause();
  }

  #hear(): void {
    this.#heardAt = performance.now();
  }

  #listen(): void {
    // What a paused socket holds back may well be an answer.
    if (this.#socket.isPaused) this.#hear();
    this.#socket.ping();
    if (this.#isAsking || performance.now() - this.#heardAt < 1.2 * PING_MILLIS) return;
    this.#isAsking = true;
    void this.#isServerAlive().then((alive) => {
      this.#isAsking = false;
      if (alive || this.#socket.isPaused) return;
      this.#end = SILENT;
      this.#socket.terminate();
    });
  }

  /** The end of a connection on which nobody said how the program ended. */
  async #unsaid(): Promise<ChannelsEnd> {
    if (this.#isOurs || this.#end.kind === "silent" || (await this.#isServerAlive())) return this.#end;
    return SILENT;
  }
}

const SILENT: ChannelsEnd = { kind: "silent", message: "The server does not answer any more" };

/** Reads the Status object that ends an exec; undefined when there is none. */
const endOf = (text: string): ChannelsEnd | undefined => {
  const status = parse(text);
  if (status === undefined) return undefined;
  if (status.status === "Success") return { kind: "exited", status: 0 };
  const code = status.details?.causes?.find(({ reason }) => reason === "ExitCode")?.message;
  if (status.reason === "NonZeroExitCode" && code !== undefined)
    return { kind: "exited", status: Number(code) };
  return { kind: "failed", reason: status.reason ?? "", message: status.message ?? "" };
};

const parse = (text: string): V1Status | undefined => {
  try {
    const status: unknown = JSON.parse(text);
    return typeof status === "object" && status !== null ? (status as V1Status) : undefined;
  } catch {
    // Nothing, or the beginning of a message that broke off.
    return undefined;
  }
};
