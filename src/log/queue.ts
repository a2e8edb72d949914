/**
 * Lines on their way to a destination that may be slow or gone: a bounded number of them waits, writing is tried
 * again until it works, and what did not fit is counted and told. Logging never blocks, throws or grows without end.
 */
import type { Destination } from "./destination.ts";
import { reasonOf } from "./failures.ts";

export interface QueueOptions {
  /** Says a sentence where it can still be heard when the log cannot. */
  readonly tell: (sentence: string) => void;
  /** The line that says in the log itself how many lines are missing from it, and why. */
  readonly lossLine: (lost: number, reason: string) => string;
  /** In UTF-16 units. */
  readonly maximumWaiting?: number;
  readonly retryMillis?: number;
}

/** In UTF-16 units: ten thousand connections that end in one turn of the event loop say 5 million of them. */
const MOST_WAITING = 8 * 1024 * 1024;

/** In one write; keeps a single write short. */
const maximumBatch = 64 * 1024;

/** A destination that fails and works in turns is told of once in this time. */
const tellAgainMillis = 60_000;

/** How long closing waits for a destination that takes nothing. */
const closeMillis = 2_000;

export class LineQueue {
  readonly #destination: Destination;
  readonly #options: Required<QueueOptions>;
  #waiting: string[] = [];
  /** UTF-16 units in `#waiting`. */
  #size = 0;
  #lost = 0;
  #lossReason = "";
  #toldAt = Number.NEGATIVE_INFINITY;
  /** What is done with the destination, one thing after the other. */
  #work: Promise<void> = Promise.resolve();
  #scheduled = false;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(destination: Destination, options: QueueOptions) {
    this.#destination = destination;
    this.#options = { maximumWaiting: MOST_WAITING, retryMillis: 1_000, ...options };
  }

  push(line: string): void {
    if (this.#closed) {
      this.#lose("the log is closed");
    } else if (this.#size + line.length > this.#options.maximumWaiting) {
      const tooSlow = `${this.#destination.description} does not take lines fast enough`;
      this.#lose(this.#lossReason || tooSlow);
    } else {
      this.#waiting.push(line);
      this.#size += line.length;
      if (this.#retry === undefined) this.#schedule();
    }
  }

  /** Opens the destination again, between two writes. */
  async reopen(): Promise<void> {
    await this.#next(() => this.#destination.reopen());
    this.#stopRetrying();
    this.#schedule();
  }

  /** Resolves when everything pushed so far was written or has failed once more. */
  async flush(): Promise<void> {
    this.#stopRetrying();
    this.#schedule();
    await this.#work;
  }

  /** Writes what can be written in a short time, says what could not, and closes the destination. */
  async close(): Promise<void> {
    const patience = deadline(closeMillis);
    await Promise.race([this.flush(), patience.passed]);
    patience.cancel();
    this.#closed = true;
    this.#stopRetrying();
    const unwritten = this.#waiting.length + this.#lost;
    this.#waiting = [];
    this.#size = 0;
    await this.#destination.close();
    if (unwritten > 0) {
      this.#options.tell(`the log is closed; lines that could not be written to it: ${unwritten}`);
    }
  }

  #next(action: () => Promise<void>): Promise<void> {
    const done = this.#work.then(action);
    // The caller sees how its own action went; the next one starts whatever became of this one.
    this.#work = done.catch(() => {});
    return done;
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return;
    this.#scheduled = true;
    void this.#next(() => this.#drain());
  }

  async #drain(): Promise<void> {
    this.#scheduled = false;
    while (this.#waiting.length > 0) {
      const batch = this.#batch();
      const written = await this.#destination.write(batch);
      // Closing has given these lines up meanwhile.
      if (this.#closed) return;
      for (const line of this.#waiting.splice(0, written.lines)) this.#size -= line.length;
      if (written.reason !== undefined) return this.#fail(reasonOf(written.reason));
      this.#report();
    }
  }

  #batch(): string[] {
    let size = 0;
    const end = this.#waiting.findIndex((line) => {
      size += line.length;
      return size > maximumBatch;
    });
    return this.#waiting.slice(0, end === -1 ? undefined : Math.max(1, end));
  }

  #fail(reason: string): void {
    this.#lossReason = reason;
    this.#tell(
      `the log cannot be written (${reason}); it is tried again, and lines that do not fit into memory are lost`,
    );
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#schedule();
    }, this.#options.retryMillis);
    this.#retry.unref();
  }

  #lose(reason: string): void {
    this.#lost += 1;
    this.#lossReason = reason;
    this.#tell(`log lines are being lost: ${reason}`);
  }

  /** Writing works: says in the log what is missing from it. */
  #report(): void {
    const lost = this.#lost;
    const reason = this.#lossReason;
    this.#lost = 0;
    this.#lossReason = "";
    if (lost === 0) return;
    const line = this.#options.lossLine(lost, reason);
    this.#waiting.push(line);
    this.#size += line.length;
  }

  #tell(sentence: string): void {
    const now = Date.now();
    if (now - this.#toldAt < tellAgainMillis) return;
    this.#toldAt = now;
    this.#options.tell(sentence);
  }

  #stopRetrying(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }
}

const deadline = (millis: number) => {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, millis);
  });
  return { passed, cancel: () => clearTimeout(timer) };
};
