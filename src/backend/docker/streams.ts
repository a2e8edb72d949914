/**
 * A program's streams out of the one connection that the Engine gives for them (Docker Engine API, ContainerAttach,
 * "Stream format"). With back-pressure both ways: a reader that stops stops the connection, and the program with it.
 */
import { type Duplex, Readable, Writable } from "node:stream";
import type { Preamble } from "./preamble.ts";

const STDERR = 2;
const HEADER_BYTES = 8;
/** How much a stream may hold that its reader has not asked for. */
const HIGH_WATER_MARK = 128 * 1024;

/** How the Engine's side of the connection ended. */
export type StreamEnd = { readonly error: Error | undefined };

/**
 * - `raw`: a terminal's bytes as they are; otherwise frames of standard output and standard error.
 * - `preamble`: what the program's launcher says first. Input is held back until it is complete, for a terminal
 *   echoes input into the output.
 */
export interface StreamOptions {
  readonly raw: boolean;
  readonly preamble: Preamble | undefined;
}

export class ProgramStreams {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable | undefined;
  /** When the Engine has said everything, read or not. */
  readonly ended: Promise<StreamEnd>;

  readonly #socket: Duplex;
  readonly #preamble: Preamble | undefined;
  /** Streams whose readers have enough for now. */
  readonly #full = new Set<Readable>();
  /** Whether back-pressure has been given up because the program has ended. */
  #draining = false;
  #hasEnded = false;
  #pauses = 0;
  readonly #onSlow: Array<() => void> = [];
  /** The part of a frame's header that has arrived. */
  #header: Buffer = Buffer.alloc(0);
  #frameTarget: Readable;
  #frameBytesLeft = 0;
  #heldInput: { readonly chunk: Buffer; readonly done: () => void } | undefined;
  #heldEnd: (() => void) | undefined;

  constructor(socket: Duplex, { raw, preamble }: StreamOptions) {
    this.#socket = socket;
    this.#preamble = preamble;
    this.stdin = this.#input();
    this.stdout = this.#output();
    this.stderr = raw ? undefined : this.#output();
    this.#frameTarget = this.stdout;
    this.ended = new Promise((resolve) => {
      const end = (error?: Error): void => {
        this.#end();
        resolve({ error });
      };
      socket.once("end", () => end());
      socket.once("error", end);
      socket.once("close", () => end());
    });
    preamble?.complete.then(() => this.#releaseInput());
    socket.on(
      "data",
      raw ? (chunk: Buffer) => this.#stdoutBytes(chunk) : (chunk: Buffer) => this.#frames(chunk),
    );
  }

  /** How often a slow reader has stopped the connection so far. */
  get pauses(): number {
    return this.#pauses;
  }

  /** Whether a slow reader stops the connection now. */
  get isPaused(): boolean {
    return this.#full.size > 0 && !this.#draining && !this.#hasEnded;
  }

  /** Settles when a slow reader stops the connection for the next time, or when it ended. */
  slowed(): Promise<void> {
    return this.isPaused || this.#hasEnded
      ? Promise.resolve()
      : new Promise((resolve) => void this.#onSlow.push(resolve));
  }

  /**
   * Takes in all that is left, however slow the readers are. The Engine gives up on output that nobody took two
   * seconds after the program's end, and what is left then is little (less than 2 MiB).
   */
  drain(): void {
    this.#draining = true;
    this.#socket.resume();
  }

  /** Bytes for whoever starts the program, ahead of its input. */
  sendToLauncher(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Closes the connection; what has not been read is lost. */
  destroy(): void {
    this.#socket.destroy();
    this.#end();
    this.stdin.destroy();
    this.stdout.destroy();
    this.stderr?.destroy();
  }

  #output(): Readable {
    const stream: Readable = new Readable({
      highWaterMark: HIGH_WATER_MARK,
      read: () => {
        if (this.#full.delete(stream) && this.#full.size === 0) this.#socket.resume();
      },
    });
    return stream;
  }

  #input(): Writable {
    return new Writable({
      highWaterMark: HIGH_WATER_MARK,
      write: (chunk: Buffer, _encoding, done) => {
        if (this.#isHoldingInput()) this.#heldInput = { chunk, done };
        else this.#send(chunk, done);
      },
      final: (done) => {
        if (this.#isHoldingInput()) this.#heldEnd = done;
        else this.#sendEnd(done);
      },
    });
  }

  #isHoldingInput(): boolean {
    return this.#preamble !== undefined && !this.#preamble.isComplete;
  }

  #releaseInput(): void {
    const input = this.#heldInput;
    const end = this.#heldEnd;
    this.#heldInput = undefined;
    this.#heldEnd = undefined;
    if (input !== undefined) this.#send(input.chunk, input.done);
    if (end !== undefined) this.#sendEnd(end);
  }

  /** A program that has ended reads no more: what is still sent to it is dropped. */
  #send(chunk: Buffer, done: () => void): void {
    const socket = this.#socket;
    if (!socket.writable || socket.write(chunk)) {
      done();
      return;
    }
    const go = (): void => {
      socket.off("drain", go);
      socket.off("close", go);
      done();
    };
    socket.on("drain", go);
    socket.on("close", go);
  }

  /**
   * A terminal has no end of input, and the Engine would take it for the end of the output. Over TLS the end must not
   * be sent from within the arrival of data: Node.js calls SSL_shutdown twice, and the second call throws away what
   * has arrived and was not read yet.
   */
  #sendEnd(done: () => void): void {
    setImmediate(() => {
      if (this.stderr !== undefined && this.#socket.writable) this.#socket.end();
      done();
    });
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const unsaid = this.#preamble?.end();
    if (unsaid !== undefined && unsaid.length > 0) this.stdout.push(unsaid);
    this.stdout.push(null);
    this.stderr?.push(null);
    this.#tellSlow();
  }

  #frames(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#frameBytesLeft === 0) {
        const header = this.#header.length === 0 ? rest : Buffer.concat([this.#header, rest]);
        if (header.length < HEADER_BYTES) {
          this.#header = header;
          return;
        }
        this.#header = Buffer.alloc(0);
        this.#frameTarget = header[0] === STDERR && this.stderr !== undefined ? this.stderr : this.stdout;
        this.#frameBytesLeft = header.readUInt32BE(4);
        rest = header.subarray(HEADER_BYTES);
        continue;
      }
      const part = rest.subarray(0, this.#frameBytesLeft);
      this.#frameBytesLeft -= part.length;
      rest = rest.subarray(part.length);
      if (this.#frameTarget === this.stdout) this.#stdoutBytes(part);
      else this.#deliver(this.#frameTarget, part);
    }
  }

  #stdoutBytes(bytes: Buffer): void {
    const own = this.#isHoldingInput() ? this.#preamble?.take(bytes) : bytes;
    if (own !== undefined && own.length > 0) this.#deliver(this.stdout, own);
  }

  #deliver(target: Readable, bytes: Buffer): void {
    if (target.destroyed || target.push(bytes) || this.#draining) return;
    if (!this.#full.has(target)) this.#pauses += 1;
    this.#full.add(target);
    this.#socket.pause();
    this.#tellSlow();
  }

  #tellSlow(): void {
    for (const resolve of this.#onSlow.splice(0)) resolve();
  }
}
