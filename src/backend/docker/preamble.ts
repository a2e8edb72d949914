/**
 * What a program's launcher says on standard output before the program does: its process id, in the guest agent's or
 * a shell's way, and the terminal's echo of the line that lets it go on. None of it is the user's.
 */

const CR = 0x0d;
const LF = 0x0a;
const AGENT_PID_BYTES = 4;
/** No process id is longer: whatever goes on for longer is not one. */
const LONGEST_LINE = 16;

/** One part: consumes bytes from the front, `undefined` while it needs more. */
type Part = (bytes: Buffer) => { readonly consumed: number; readonly pid?: number } | undefined;

/**
 * - `line`: the process id in digits and a line end, as `echo $$` prints it.
 * - `binary`: 4 bytes, little endian, as the guest agent's `--pid` writes them.
 * - `echo`: the line end that a terminal echoes for the one that was sent to it.
 */
export type PreamblePart = "line" | "binary" | "echo";

const line: Part = (bytes) => {
  const end = bytes.indexOf(LF);
  if (end < 0) return bytes.length > LONGEST_LINE ? { consumed: 0 } : undefined;
  const digits = /^(\d+)\r?$/.exec(bytes.subarray(0, end).toString("latin1"))?.[1];
  return digits === undefined ? { consumed: 0 } : { consumed: end + 1, pid: Number(digits) };
};

/** Linux has no process ids this large: other bytes are somebody's complaint that the agent could not be run. */
const LARGEST_PID = 2 ** 22;

const binary: Part = (bytes) =>
  bytes.length < AGENT_PID_BYTES ? undefined : pidOf(bytes.readUInt32LE(0), AGENT_PID_BYTES);

const pidOf = (pid: number, consumed: number) => (pid > LARGEST_PID ? { consumed: 0 } : { consumed, pid });

/** A terminal turns every LF into CR LF, also those of a number. */
const binaryThroughTerminal: Part = (bytes) => {
  const plain = Buffer.alloc(AGENT_PID_BYTES);
  let consumed = 0;
  for (let filled = 0; filled < AGENT_PID_BYTES; filled++) {
    if (bytes[consumed] === CR && bytes.length === consumed + 1) return undefined;
    if (bytes[consumed] === CR && bytes[consumed + 1] === LF) consumed++;
    const byte = bytes[consumed];
    if (byte === undefined) return undefined;
    plain[filled] = byte;
    consumed++;
  }
  return pidOf(plain.readUInt32LE(0), consumed);
};

const echo: Part = (bytes) => {
  if (bytes.length < 2) return undefined;
  return { consumed: bytes[0] === CR && bytes[1] === LF ? 2 : 0 };
};

export class Preamble {
  /** Settles when everything was said, or never will be: check `pid`. */
  readonly complete: Promise<void>;
  /** Settles when the first part was said, or never will be. */
  readonly begun: Promise<void>;

  readonly #parts: Part[];
  readonly #total: number;
  #bytes: Buffer = Buffer.alloc(0);
  #pid: number | undefined;
  #hasEnded = false;
  #resolveBegun: () => void = () => undefined;
  #resolveComplete: () => void = () => undefined;

  constructor(parts: readonly PreamblePart[], terminal: boolean) {
    const known = { line, echo, binary: terminal ? binaryThroughTerminal : binary };
    this.#parts = parts.map((part) => known[part]);
    this.#total = parts.length;
    this.begun = new Promise((resolve) => {
      this.#resolveBegun = resolve;
    });
    this.complete = new Promise((resolve) => {
      this.#resolveComplete = resolve;
    });
    if (this.isComplete) this.end();
  }

  /** The program's process id in the container, once it was said. */
  get pid(): number | undefined {
    return this.#pid;
  }

  get isComplete(): boolean {
    return this.#hasEnded || this.#parts.length === 0;
  }

  /** Takes the next bytes of the output; gives back those that belong to the program. */
  take(bytes: Buffer): Buffer {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
    let part = this.#parts[0];
    while (part !== undefined) {
      const said = part(this.#bytes);
      if (said === undefined) return Buffer.alloc(0);
      this.#pid = said.pid ?? this.#pid;
      this.#bytes = this.#bytes.subarray(said.consumed);
      this.#parts.shift();
      if (this.#parts.length < this.#total) this.#resolveBegun();
      part = this.#parts[0];
    }
    const rest = this.#bytes;
    this.#bytes = Buffer.alloc(0);
    this.#resolveComplete();
    return rest;
  }

  /** The output has ended. What was held is no preamble, so it is the program's after all. */
  end(): Buffer {
    const rest = this.#bytes;
    this.#hasEnded = true;
    this.#bytes = Buffer.alloc(0);
    this.#resolveBegun();
    this.#resolveComplete();
    return rest;
  }
}
