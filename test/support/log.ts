/** The log of a daemon that runs as a process: its lines, and waiting for one. */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { transcriptOf } from "./command.ts";
import { PATIENCE_SECONDS } from "./patience.ts";
import { type Transcript, within } from "./transcript.ts";

/** A line of the format `ljson`. */
export interface LogLine {
  readonly timestamp: string;
  readonly level: string;
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export type LinePattern = Partial<LogLine["details"]> | ((line: LogLine) => boolean);

export class DaemonLog {
  /** Every line so far. */
  readonly lines: LogLine[] = [];
  /** What was printed besides. */
  readonly other: Transcript;
  readonly #taken = new Set<LogLine>();
  readonly #watchers = new Set<() => void>();
  #ended = false;

  constructor(stdout: Readable, stderr: Readable) {
    this.other = transcriptOf(stderr);
    createInterface({ input: stdout, crlfDelay: Number.POSITIVE_INFINITY })
      .on("line", (text) => this.#read(text))
      .once("close", () => {
        this.#ended = true;
        this.#wake();
      });
  }

  /** All lines with a code. */
  all(code: string): ReadonlyArray<LogLine> {
    return this.lines.filter((line) => line.code === code);
  }

  /** Everything the daemon ever said, to look for what must not be in it. */
  get text(): string {
    return `${this.lines.map((line) => JSON.stringify(line)).join("\n")}\n${this.other.text}`;
  }

  /**
   * The first line with this code, and these details or this property, that no `next` gave before; waits for it.
   * Rejects with the codes that came when the time is over or the log ends.
   */
  async next(code: string, pattern: LinePattern = {}, withinSeconds = PATIENCE_SECONDS): Promise<LogLine> {
    const line = await this.#waitFor(code, pattern, withinSeconds, this.#taken);
    this.#taken.add(line);
    return line;
  }

  /** As `next`, and the line may have been given before and may be given again. */
  any(code: string, pattern: LinePattern = {}, withinSeconds = PATIENCE_SECONDS): Promise<LogLine> {
    return this.#waitFor(code, pattern, withinSeconds, new Set());
  }

  #waitFor(
    code: string,
    pattern: LinePattern,
    withinSeconds: number,
    except: ReadonlySet<LogLine>,
  ): Promise<LogLine> {
    const missed = () =>
      `no ${code} ${typeof pattern === "function" ? pattern : JSON.stringify(pattern)} came; there were: ${this.lines
        .slice(-40)
        .map((line) => `${line.code} ${line.message}`)
        .join("\n")}\n${this.other.text}`;
    const found = new Promise<LogLine>((resolve, reject) => {
      const look = () => {
        const line = this.lines.find(
          (each) => each.code === code && !except.has(each) && matches(each, pattern),
        );
        if (line === undefined && !this.#ended) return;
        this.#watchers.delete(look);
        if (line === undefined) return reject(new Error(`the log ended: ${missed()}`));
        resolve(line);
      };
      this.#watchers.add(look);
      look();
    });
    return within(withinSeconds, found, missed);
  }

  #read(text: string): void {
    const line = lineOf(text);
    if (line === undefined) this.other.append(`${text}\n`);
    else this.lines.push(line);
    this.#wake();
  }

  #wake(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

export const matches = (line: LogLine, pattern: LinePattern): boolean =>
  typeof pattern === "function"
    ? pattern(line)
    : Object.entries(pattern).every(([name, value]) => line.details[name] === value);

const lineOf = (text: string): LogLine | undefined => {
  if (!text.startsWith("{")) return undefined;
  try {
    const line = JSON.parse(text) as LogLine;
    return { ...line, details: line.details ?? {} };
  } catch {
    return undefined;
  }
};
