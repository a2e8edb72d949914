/**
 * The way out to a client's socket: packets of one turn of the event loop leave in one write, and whoever has data
 * to send waits while the socket is full.
 */
import type { Socket } from "node:net";

/** From this much on, data waits. */
const FULL_BYTES = 256 * 1024;
/** From this much on, nothing more is read from a client that reads nothing: answers would pile up. */
const STUCK_BYTES = 1024 * 1024;

export class Outlet {
  readonly #socket: Socket;
  #isCorked = false;
  #waiting: (() => void)[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("drain", () => this.resume());
  }

  get isFull(): boolean {
    return this.#socket.writableLength >= FULL_BYTES;
  }

  write(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (!socket.writable) return;
    if (!this.#isCorked) {
      this.#isCorked = true;
      socket.cork();
      process.nextTick(() => {
        this.#isCorked = false;
        socket.uncork();
      });
    }
    socket.write(bytes);
    if (socket.writableLength >= STUCK_BYTES) socket.pause();
  }

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
}
