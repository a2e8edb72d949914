/**
 * Memory for outgoing packets that is used again as soon as the system has taken them: a transfer stays in the
 * processor's cache, and packets that follow each other lie side by side and leave in one write.
 */
import { randomFillSync } from "node:crypto";

const SLAB_BYTES = 256 * 1024;
/** How many slabs are kept for later; more are left to the garbage collector. */
const MOST_SPARE = 16;
const RANDOM_BYTES = 8 * 1024;

/** A piece of memory that holds packets of one or several connections. */
interface Slab {
  readonly memory: Buffer;
  /** How much of it, from its start, may still be needed. */
  used: number;
  /** How many writes that read from it are under way. */
  writes: number;
}

export class PacketMemory {
  readonly #slabs = new Map<ArrayBufferLike, Slab>();
  readonly #spare: Slab[] = [];
  #current: Slab | undefined;

  /**
   * Memory for a packet that is written before this is called again. What is not under way then by `writing` is
   * given to somebody else.
   */
  allocate(length: number): Buffer {
    if (length > SLAB_BYTES) return Buffer.allocUnsafe(length);
    let slab = this.#current;
    if (slab === undefined || slab.used + length > SLAB_BYTES) {
      if (slab !== undefined && slab.writes === 0) this.#keep(slab);
      slab = this.#spare.pop() ?? this.#create();
      this.#current = slab;
    }
    const start = slab.used;
    slab.used += length;
    return slab.memory.subarray(start, start + length);
  }

  /** Bytes are being written; `written` has to be told when they were. */
  writing(bytes: Uint8Array): void {
    const slab = this.#slabs.get(bytes.buffer);
    if (slab !== undefined) slab.writes++;
  }

  written(bytes: Uint8Array): void {
    const slab = this.#slabs.get(bytes.buffer);
    if (slab === undefined || --slab.writes > 0) return;
    if (slab === this.#current) slab.used = 0;
    else this.#keep(slab);
  }

  #create(): Slab {
    const memory = Buffer.allocUnsafeSlow(SLAB_BYTES);
    const slab: Slab = { memory, used: 0, writes: 0 };
    this.#slabs.set(memory.buffer, slab);
    return slab;
  }

  #keep(slab: Slab): void {
    slab.used = 0;
    if (this.#spare.length < MOST_SPARE) this.#spare.push(slab);
    else this.#slabs.delete(slab.memory.buffer);
  }
}

/** Random bytes for the padding of packets (RFC 4253 section 6), none of them twice. */
export class Padding {
  readonly #random = Buffer.allocUnsafeSlow(RANDOM_BYTES);
  #used = RANDOM_BYTES;

  fill(packet: Buffer, start: number, length: number): void {
    if (this.#used + length > RANDOM_BYTES) {
      randomFillSync(this.#random);
      this.#used = 0;
    }
    this.#random.copy(packet, start, this.#used, this.#used + length);
    this.#used += length;
  }
}
