/**
 * What a channel sends: packets as big as its client's window and packet size allow, in the order they were written,
 * and not faster than the connection's socket takes them (RFC 4254 section 5.2).
 */
import { Message, ProtocolError } from "./wire.ts";

/** RFC 4253 section 6.1: every implementation takes packets with this much of payload. */
export const PACKET_BYTES = 32 * 1024;
const LARGEST_WINDOW = 2 ** 32 - 1;

/** RFC 4254 section 5.2: SSH_EXTENDED_DATA_STDERR. */
const STDERR = 1;

/** What channels need of their connection. */
export interface ChannelPort {
  readonly send: (payload: Buffer) => void;
  /** Sends a message of `length` bytes that `fill` writes into the packet from `offset` on. */
  readonly sendFilled: (length: number, fill: (packet: Buffer, offset: number) => void) => void;
  /** Whether data has to wait: the socket is full or keys are being exchanged. */
  readonly isCongested: () => boolean;
  /** Calls back once, when data may be sent again. */
  readonly whenClear: (resume: () => void) => void;
}

interface Pending {
  readonly chunks: Buffer[];
  /** How much of the chunks is not sent yet. */
  bytes: number;
  readonly isError: boolean;
  readonly done: () => void;
}

export class ChannelOutput {
  readonly #port: ChannelPort;
  readonly #recipient: number;
  readonly #packetBytes: number;
  /** How much the client is ready to take. */
  #window: number;
  #pending: Pending[] = [];
  #isWaiting = false;
  #isAbandoned = false;

  constructor(port: ChannelPort, recipient: number, window: number, largestPacket: number) {
    this.#port = port;
    this.#recipient = recipient;
    this.#window = window;
    this.#packetBytes = Math.min(PACKET_BYTES, largestPacket);
  }

  /** Sends all chunks, then calls `done`. They must not be changed until then. */
  write(chunks: Buffer[], isError: boolean, done: () => void): void {
    if (this.#isAbandoned) {
      done();
      return;
    }
    const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
    this.#pending.push({ chunks, isError, done, bytes });
    this.#pump();
  }

  /** SSH_MSG_CHANNEL_WINDOW_ADJUST. */
  extendWindow(bytes: number): void {
    this.#window += bytes;
    if (this.#window > LARGEST_WINDOW) throw new ProtocolError("a channel's window is too big");
    this.#pump();
  }

  /** Nothing is sent any more; what waits is dropped, and its writers may go on. */
  abandon(): void {
    this.#isAbandoned = true;
    const pending = this.#pending;
    this.#pending = [];
    for (const { done } of pending) done();
  }

  readonly #pump = (): void => {
    for (let next = this.#pending[0]; next !== undefined; next = this.#pending[0]) {
      while (next.bytes > 0) {
        if (this.#window === 0) return;
        if (this.#port.isCongested()) {
          this.#wait();
          return;
        }
        this.#sendPacket(next);
      }
      this.#pending.shift();
      next.done();
    }
  };

  #wait(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#port.whenClear(() => {
      this.#isWaiting = false;
      this.#pump();
    });
  }

  #sendPacket(pending: Pending): void {
    const { chunks, isError } = pending;
    const length = Math.min(pending.bytes, this.#window, this.#packetBytes);
    this.#window -= length;
    pending.bytes -= length;
    const headerBytes = isError ? 13 : 9;
    this.#port.sendFilled(headerBytes + length, (packet, offset) => {
      packet[offset] = isError ? Message.CHANNEL_EXTENDED_DATA : Message.CHANNEL_DATA;
      packet.writeUInt32BE(this.#recipient, offset + 1);
      if (isError) packet.writeUInt32BE(STDERR, offset + 5);
      packet.writeUInt32BE(length, offset + headerBytes - 4);
      take(chunks, length, packet, offset + headerBytes);
    });
  }
}

/** Moves bytes from the front of a list of chunks into a packet. */
const take = (chunks: Buffer[], length: number, packet: Buffer, offset: number): void => {
  let at = offset;
  const end = offset + length;
  while (at < end) {
    const [chunk] = chunks;
    if (chunk === undefined) throw new Error("a channel promised more than it has");
    if (chunk.length > end - at) {
      packet.set(chunk.subarray(0, end - at), at);
      chunks[0] = chunk.subarray(end - at);
      return;
    }
    packet.set(chunk, at);
    at += chunk.length;
    chunks.shift();
  }
};
