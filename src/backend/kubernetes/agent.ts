/**
 * The guest agent's process ID (github.com/ContainerSSH/agent, `console --pid`): 4 bytes, little endian, then the
 * program. Where the agent waits for a line on a terminal, the terminal's echo of that line comes first.
 */
import type { OutputFilter } from "./channels.ts";

const PID_BYTES = 4;
/** Linux has no process IDs this large: other bytes are somebody's complaint that the agent could not be run. */
const LARGEST_PID = 2 ** 22;
const CR = 0x0d;
const LF = 0x0a;

export class AgentPid implements OutputFilter {
  /** Settles with the process ID, or undefined when the output ended without one. */
  readonly made: Promise<number | undefined>;
  readonly #terminal: boolean;
  readonly #echoLength: number;
  #resolve: (pid: number | undefined) => void = () => undefined;
  #held: Buffer | undefined = Buffer.alloc(0);

  constructor({ terminal, waits }: { readonly terminal: boolean; readonly waits: boolean }) {
    this.#terminal = terminal;
    this.#echoLength = terminal && waits ? "\r\n".length : 0;
    this.made = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  take(bytes: Buffer): Buffer {
    if (this.#held === undefined) return bytes;
    const held = Buffer.concat([this.#held, bytes]);
    this.#held = held;
    const pid = Buffer.alloc(PID_BYTES);
    let position = this.#echoLength;
    for (let filled = 0; filled < PID_BYTES; filled++) {
      // A terminal turns every LF into CR LF, also those of a number.
      if (this.#terminal && held[position] === CR && position + 1 === held.length) return Buffer.alloc(0);
      if (this.#terminal && held[position] === CR && held[position + 1] === LF) position++;
      const byte = held[position++];
      if (byte === undefined) return Buffer.alloc(0);
      pid[filled] = byte;
    }
    const number = pid.readUInt32LE(0);
    if (number > LARGEST_PID) return Buffer.alloc(0);
    this.#held = undefined;
    this.#resolve(number);
    return held.subarray(position);
  }

  end(): Buffer {
    this.#resolve(undefined);
    return Buffer.alloc(0);
  }

  /** What was said instead. */
  get unread(): string {
    return this.#held?.toString() ?? "";
  }
}
