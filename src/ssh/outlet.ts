/**
 * The way out to a peer's socket: packets of one turn of the event loop leave together, those that lie side by
 * side in one piece, and whoever has data to send waits while the socket is full.
 */
import type { Duplex } from "node:stream";
import type { PacketMemory } from "./packet-memory.ts";

/** From this much on, data waits. */
const FULL_BYTES = 256 * 1024;
/** From this much on, nothing more is read from a client that reads nothing: answers would pile up. */
const STUCK_BYTES = 1024 * 1024;

export class Outlet {
  readonly #socket: Duplex;
  readonly #memory: PacketMemory;
  /** What is to be written in this turn. */
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #isHeld = false;
  #waiting: (() => void)[] = [];

  constructor(socket: Duplex, memory: PacketMemory) {
    this.#socket = socket;
    this.#memory = memory;
    socket.on("drain", () => this.resume());
  }

  get isFull(): boolean {
    return this.#unwritten >= FULL_BYTES;
  }

  /** Nothing may be read until it drains. */
  get isStuck(): boolean {
    return this.#unwritten >= STUCK_BYTES;
  }

  write(bytes: Uint8Array): void {
    if (this.#pieces.length === 0 && !this.#isHeld) process.nextTick(this.flush);
    this.#bytes += bytes.length;
    const last = this.#pieces.at(-1);
    const joined = last === undefined ? undefined : join(last, bytes);
    if (joined !== undefined) {
      this.#pieces[this.#pieces.length - 1] = joined;
    } else {
      this.#memory.writing(bytes);
      this.#pieces.push(bytes);
    }
    if (this.isStuck) this.#socket.pause();
  }

  /** What is written from now on waits for `release`, or for a `flush`. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.flush();
  }

  /** Hands everything to the socket now. */
  readonly flush = (): void => {
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    this.#pieces = [];
    this.#bytes = 0;
    const written = (): void => {
      for (const piece of pieces) this.#memory.written(piece);
    };
    const socket = this.#socket;
    if (!socket.writable) {
      written();
      return;
    }
    if (pieces.length > 1) socket.cork();
    pieces.forEach((piece, index) => {
      socket.write(piece, index === pieces.length - 1 ? written : undefined);
    });
    if (pieces.length > 1) socket.uncork();
  };

  /** Calls back once, when there is room again. */
  whenClear(resume: () => void): void {
    this.#waiting.push(resume);
  }

  /** Lets everybody go on who waited, in the order of their coming; those who can't will wait again. */
  resume(): void {
    if (this.#socket.isPaused()) this.#socket.resume();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }

  get #unwritten(): number {
    return this.#bytes + this.#socket.writableLength;
  }
}

/** Two pieces as one, when the second begins where the first ends. */
const join = (first: Uint8Array, second: Uint8Array): Uint8Array | undefined =>
  first.buffer === second.buffer && first.byteOffset + first.byteLength === second.byteOffset
    ? new Uint8Array(first.buffer, first.byteOffset, first.byteLength + second.byteLength)
    : undefined;
