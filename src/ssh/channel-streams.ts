/** The byte streams of a session channel, with back-pressure both ways: a Duplex for data, a Writable for errors. */
import { Duplex, Readable, Writable } from "node:stream";
import type { ChannelOutput } from "./channel-output.ts";

/** How much a client may send before its data has been read. */
export const WINDOW_BYTES = 2 * 1024 * 1024;
/** The window is opened again in steps of at least this much. */
const STEP_BYTES = WINDOW_BYTES / 8;
/** Data that comes in smaller pieces is gathered while this much waits to be read: pieces cost more than bytes. */
const GATHER_BYTES = 64 * 1024;
const SMALL_BYTES = 8 * 1024;
/** How much a program may write ahead of the socket. */
const WRITE_AHEAD_BYTES = 64 * 1024;

interface Written {
  readonly chunk: Buffer;
  readonly encoding: BufferEncoding;
}

/** What the streams tell their channel. */
export interface StreamListener {
  /** The client may send this much more. */
  readonly consumed: (bytes: number) => void;
  /** Everything written was sent, and there will be no more. */
  readonly finished: () => void;
  /** How much waits to be read from other streams that share the window. */
  readonly unreadElsewhere?: () => number;
}

/** A channel's data: what the peer sends, and what it gets. */
export class DataStream extends Duplex {
  readonly #output: ChannelOutput;
  readonly #listener: StreamListener;
  /** What was received and not yet given back as window. */
  #unreturned = 0;
  #gathered: Buffer | undefined;
  #gatheredBytes = 0;
  #hasEnded = false;

  constructor(output: ChannelOutput, listener: StreamListener) {
    super({ readableHighWaterMark: WINDOW_BYTES, writableHighWaterMark: WRITE_AHEAD_BYTES });
    this.#output = output;
    this.#listener = listener;
    this.once("finish", listener.finished);
  }

  /** Data of the client. Its memory is kept. */
  receive(data: Buffer): void {
    this.#unreturned += data.length;
    if (!this.#hasEnded && !this.destroyed) {
      const isPiece = data.length < SMALL_BYTES && this.readableLength >= GATHER_BYTES;
      if (isPiece || this.#gatheredBytes > 0) this.#gather(data);
      else this.push(data);
    }
    this.#returnRead();
  }

  /** Data that nobody is to read, or that another stream has taken. */
  dismiss(bytes: number): void {
    this.#unreturned += bytes;
    this.#returnRead();
  }

  receiveEnd(): void {
    if (this.destroyed || this.#hasEnded) return;
    this.#hasEnded = true;
    this.#pushGathered();
    this.push(null);
  }

  /** How much the client may still send. */
  get window(): number {
    return WINDOW_BYTES - this.#unreturned;
  }

  // Every way of reading a stream that has data in its buffer goes through here.
  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    if (this.readableLength < GATHER_BYTES) this.#pushGathered();
    this.#returnRead();
    return chunk;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#output.write([chunk], false, done);
  }

  override _writev(written: Written[], done: () => void): void {
    this.#output.write(
      written.map(({ chunk }) => chunk),
      false,
      done,
    );
  }

  #gather(data: Buffer): void {
    if (this.#gatheredBytes + data.length > GATHER_BYTES) this.#pushGathered();
    this.#gathered ??= Buffer.allocUnsafe(GATHER_BYTES);
    this.#gathered.set(data, this.#gatheredBytes);
    this.#gatheredBytes += data.length;
  }

  #pushGathered(): void {
    if (this.#gathered === undefined) return;
    const data = this.#gathered.subarray(0, this.#gatheredBytes);
    this.#gathered = undefined;
    this.#gatheredBytes = 0;
    this.push(data);
  }

  #returnRead(): void {
    const unread = this.destroyed ? 0 : this.readableLength + this.#gatheredBytes;
    const consumed = this.#unreturned - unread - (this.#listener.unreadElsewhere?.() ?? 0);
    if (consumed < STEP_BYTES) return;
    this.#unreturned -= consumed;
    this.#listener.consumed(consumed);
  }
}

/** Standard error, as a client receives it. It shares the window with the channel's data. */
export class ErrorInput extends Readable {
  readonly #onRead: () => void;
  #hasEnded = false;

  /** `onRead` is told when there may be room again. */
  constructor(onRead: () => void) {
    super({ highWaterMark: WINDOW_BYTES });
    this.#onRead = onRead;
  }

  receive(data: Buffer): void {
    if (!this.destroyed && !this.#hasEnded) this.push(data);
  }

  receiveEnd(): void {
    if (this.destroyed || this.#hasEnded) return;
    this.#hasEnded = true;
    this.push(null);
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    this.#onRead();
    return chunk;
  }

  override _read(): void {}
}

/** Standard error, as a server sends it. */
export class ErrorStream extends Writable {
  readonly #output: ChannelOutput;

  constructor(output: ChannelOutput, finished: () => void) {
    super({ highWaterMark: WRITE_AHEAD_BYTES });
    this.#output = output;
    this.once("finish", finished);
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#output.write([chunk], true, done);
  }

  override _writev(written: Written[], done: () => void): void {
    this.#output.write(
      written.map(({ chunk }) => chunk),
      true,
      done,
    );
  }
}
