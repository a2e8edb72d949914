/** A program's standard output or error, read into memory that is used again. */
import { type ConnectOpts, Socket, type SocketConstructorOpts } from "node:net";
import { Readable, type Writable } from "node:stream";

/** As much as a pipe holds. */
const CHUNK_BYTES = 64 * 1024;
/** How many chunks may be on their way before the program has to wait. */
const MOST_LENT = 2;

/**
 * What arrives at the reading end of a pipe, which it owns from then on.
 *
 * Node.js reads everything into new memory, 64 KiB for each read. V8 counts it as pressure and collects garbage in
 * its whole heap about every 30 MB of output, and the system has to give each page anew: together two thirds of
 * what a transfer cost. A stream that keeps nothing gets chunks that are lent to it; any other gets copies.
 */
export class PipeOutput extends Readable {
  readonly #socket: Socket;
  readonly #free: Uint8Array[] = [];
  #lent = 0;
  #sink: Writable | undefined;
  #isDropped = false;

  constructor(fd: number) {
    super();
    const options: SocketConstructorOpts & ConnectOpts = {
      fd,
      readable: true,
      writable: false,
      onread: {
        buffer: () => this.#free.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES),
        callback: (length, memory) => this.#received(memory, length),
      },
    };
    this.#socket = new Socket(options).pause();
    this.#socket.once("end", () => this.push(null));
    this.#socket.once("error", (error) => this.destroy(error));
  }

  /**
   * Instead of `pipe`: passes everything on to a stream that has done with a chunk's memory when it calls back, and
   * does not end it.
   */
  pour(sink: Writable): void {
    this.#sink = sink;
    this.resume();
  }

  /** Whatever else arrives is dropped. */
  discard(): void {
    this.#isDropped = true;
    this.resume();
    this.#socket.resume();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }

  /** Tells whether to go on reading. */
  #received(memory: Uint8Array, length: number): boolean {
    const chunk = Buffer.from(memory.buffer, memory.byteOffset, length);
    const sink = this.#sink;
    if (!this.#isDropped && sink?.writable) {
      this.#lent++;
      sink.write(chunk, () => this.#givenBack(memory));
      return this.#lent < MOST_LENT;
    }
    this.#free.push(memory);
    return this.#isDropped || sink !== undefined || this.push(Buffer.from(chunk));
  }

  #givenBack(memory: Uint8Array): void {
    this.#free.push(memory);
    this.#lent--;
    if (this.#lent === MOST_LENT - 1) this.#socket.resume();
  }
}
