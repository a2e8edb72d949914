/** One session channel of a client (RFC 4254 sections 5 and 6): its requests, its streams and its end. */
import type { Writable } from "node:stream";
import type { ConnectionEvent } from "../../machines/connection-facts.ts";
import type { Exit } from "../../machines/facts.ts";
import type { SessionRequest } from "../../machines/session.ts";
import type { Logger } from "../log/logger.ts";
import { ChannelOutput, type ChannelPort } from "./channel-output.ts";
import { readSessionRequest } from "./channel-requests.ts";
import { DataStream, ErrorStream } from "./channel-streams.ts";
import type { ChannelStreams } from "./link.ts";
import { Message, message, ProtocolError, quoted, type Reader } from "./wire.ts";

/** How much a client may set by `env` requests: as much as Linux gives a program for one variable. */
const MOST_ENVIRONMENT_BYTES = 128 * 1024;
/** What a variable costs besides its name and value. */
const VARIABLE_BYTES = 128;
/** A notice is dropped rather than kept for a terminal that takes nothing any more. */
const MOST_UNSENT_BYTES = 64 * 1024;

/** Signals that RFC 4254 section 6.10 names. Others need a name of their own (`name@domain`). */
const signals = new Set("ABRT ALRM FPE HUP ILL INT KILL PIPE QUIT SEGV TERM USR1 USR2".split(" "));

/** What a session channel needs of its connection. */
export interface SessionPort extends ChannelPort {
  readonly emit: (event: ConnectionEvent) => void;
  readonly logger: () => Logger;
  /** Both sides have closed the channel. */
  readonly closed: (channel: number) => void;
}

/** The fields of SSH_MSG_CHANNEL_OPEN (RFC 4254 section 5.1). */
export interface ChannelOpening {
  readonly sender: number;
  readonly window: number;
  readonly packetBytes: number;
}

export class SessionChannel {
  readonly number: number;
  readonly #port: SessionPort;
  readonly #recipient: number;
  readonly #output: ChannelOutput;
  readonly #data: DataStream;
  #errors: ErrorStream | undefined;
  #hasTerminal = false;
  #hasStreams = false;
  #environmentBytes = 0;
  /** Whether the request at hand was accepted; undefined when there is none. */
  #isAccepted: boolean | undefined;
  #exit: Exit | undefined;
  #isEndSent = false;
  #isCloseSent = false;
  #isClosed = false;

  constructor(number: number, opening: ChannelOpening, port: SessionPort) {
    this.number = number;
    this.#port = port;
    this.#recipient = opening.sender;
    this.#output = new ChannelOutput(port, opening.sender, opening.window, opening.packetBytes);
    this.#data = new DataStream(this.#output, {
      consumed: (bytes) => this.#extendWindow(bytes),
      finished: () => this.#outputFinished(),
    });
    this.#quieten(this.#data);
  }

  get isServed(): boolean {
    return this.#hasStreams && this.#exit === undefined;
  }

  /** A program request was accepted: bytes flow. */
  get streams(): ChannelStreams | undefined {
    return this.#hasStreams && !this.#isClosed ? { channel: this.#data, stderr: this.#stderr } : undefined;
  }

  // What the client sends.

  dataReceived(data: Buffer): void {
    if (data.length > this.#data.window) throw new ProtocolError("a channel's window is exceeded");
    this.#data.receive(data);
  }

  /** A session's client has nothing to say on standard error: it is counted and dropped. */
  extendedDataReceived(data: Buffer): void {
    if (data.length > this.#data.window) throw new ProtocolError("a channel's window is exceeded");
    this.#data.dismiss(data.length);
  }

  windowExtended(bytes: number): void {
    this.#output.extendWindow(bytes);
  }

  endReceived(): void {
    this.#data.receiveEnd();
  }

  /** SSH_MSG_CHANNEL_CLOSE: answered at once, whatever was still to be sent. */
  closeReceived(): void {
    this.#sendClose();
    this.close();
  }

  /** SSH_MSG_CHANNEL_REQUEST, read up to the fields of its type. */
  requested(type: string, wantsReply: boolean, reader: Reader): void {
    const logger = this.#port.logger();
    const details = { channel: this.number, RequestType: quoted(type) };
    logger.debug("SSH_CHANNEL_REQUEST", "The client sent a request on a channel", details);
    if (type === "x11-req") this.#port.emit({ type: "forwarding.requested", forwarding: type });
    const request = readSessionRequest(type, reader);
    const isAccepted = typeof request !== "string" && this.#isWithinLimits(request) && this.#offer(request);
    if (isAccepted) logger.debug("SSH_CHANNEL_REQUEST_SUCCESSFUL", "The request was fulfilled", details);
    else {
      const reason = typeof request === "string" ? request : "it does not fit the channel's state";
      logger.debug("SSH_CHANNEL_REQUEST_FAILED", "The request was refused", { ...details, reason });
    }
    // Section 5.3: nothing follows a close. Clients that have forgotten the channel end the connection for less.
    if (wantsReply && !this.#isCloseSent) {
      const answer = isAccepted ? Message.CHANNEL_SUCCESS : Message.CHANNEL_FAILURE;
      this.#port.send(message(answer, { uint32: this.#recipient }));
    }
  }

  // What is decided about it.

  accept(): void {
    if (this.#isAccepted === false) this.#isAccepted = true;
  }

  openStreams(): void {
    if (this.#isAccepted !== false) return;
    this.#isAccepted = true;
    this.#hasStreams = true;
  }

  showFailure(text: string): void {
    this.#stderr.write(`${text}${this.#hasTerminal ? "\r\n" : "\n"}`);
  }

  notify(text: string): void {
    if (!this.#hasTerminal || !this.#hasStreams || this.#isCloseSent || this.#exit !== undefined) return;
    if (this.#stderr.writableLength < MOST_UNSENT_BYTES) this.#stderr.write(`\r\n${text}\r\n`);
  }

  finish(exit: Exit): void {
    if (this.#isCloseSent || this.#exit !== undefined) return;
    this.#exit = exit;
    this.#stderr.end();
    this.#data.end();
    this.#outputFinished();
  }

  /** Ends the channel here: its streams are destroyed, and nothing is sent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#isCloseSent = true;
    this.#data.destroy();
    this.#errors?.destroy();
    this.#output.abandon();
    this.#port.closed(this.number);
    this.#port.emit({ type: "session.closed", channel: this.number });
  }

  get #stderr(): ErrorStream {
    if (this.#errors === undefined) {
      this.#errors = new ErrorStream(this.#output, () => this.#outputFinished());
      this.#quieten(this.#errors);
    }
    return this.#errors;
  }

  #isWithinLimits(request: SessionRequest): boolean {
    if (request.type !== "env.requested") return true;
    const { name, value } = request;
    this.#environmentBytes += Buffer.byteLength(name) + Buffer.byteLength(value) + VARIABLE_BYTES;
    return this.#environmentBytes <= MOST_ENVIRONMENT_BYTES;
  }

  /** Announces a request; whoever takes it says so before this returns. */
  #offer(request: SessionRequest): boolean {
    if (this.#isCloseSent) return false;
    this.#isAccepted = false;
    try {
      this.#port.emit({ type: "session.requested", channel: this.number, request });
      if (this.#isAccepted && request.type === "pty.requested") this.#hasTerminal = true;
      return this.#isAccepted;
    } finally {
      this.#isAccepted = undefined;
    }
  }

  #extendWindow(bytes: number): void {
    if (this.#isCloseSent) return;
    this.#port.send(message(Message.CHANNEL_WINDOW_ADJUST, { uint32: this.#recipient }, { uint32: bytes }));
  }

  /** Output ends with standard output and standard error; the channel, when the exit is known, too. */
  #outputFinished(): void {
    if (!isOver(this.#data) || !isOver(this.#errors) || this.#isCloseSent) return;
    const exit = this.#exit;
    if (exit !== undefined) this.#port.send(exitMessage(this.#recipient, exit));
    if (!this.#isEndSent) {
      this.#isEndSent = true;
      this.#port.send(message(Message.CHANNEL_EOF, { uint32: this.#recipient }));
    }
    if (exit !== undefined) this.#sendClose();
  }

  #sendClose(): void {
    if (this.#isCloseSent) return;
    this.#isCloseSent = true;
    this.#output.abandon();
    this.#port.send(message(Message.CHANNEL_CLOSE, { uint32: this.#recipient }));
  }

  /** A late write to a stream that is gone must not become an error that nobody listens for. */
  #quieten(stream: Writable): void {
    stream.on("error", (error) => {
      const details = { channel: this.number, error: error.message };
      this.#port.logger().debug("SSH_STREAM_FAILED", "A channel's stream failed", details);
      this.#outputFinished();
    });
  }
}

/** Whether a stream has sent all it will ever send. */
const isOver = (stream: Writable | undefined): boolean =>
  stream !== undefined && (stream.writableFinished || stream.errored !== null);

/** RFC 4254 section 6.10. */
const exitMessage = (recipient: number, exit: Exit): Buffer => {
  const request = (type: string) => [{ uint32: recipient }, type, false] as const;
  if (exit.kind === "status") {
    return message(Message.CHANNEL_REQUEST, ...request("exit-status"), { uint32: exit.status >>> 0 });
  }
  const isNamed = signals.has(exit.signal) || exit.signal.includes("@");
  const signal = isNamed ? exit.signal : `${exit.signal}@berth`;
  const fields = [signal, exit.coreDumped, exit.message, ""] as const;
  return message(Message.CHANNEL_REQUEST, ...request("exit-signal"), ...fields);
};
