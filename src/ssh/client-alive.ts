/** Asks a silent client for a sign of life, as OpenSSH's ClientAliveInterval and ClientAliveCountMax do. */

/** A timer can't wait longer than this: one that is told to does not wait at all. */
const LONGEST_TIMER_MILLIS = 2 ** 31 - 1;

export interface ClientAliveOptions {
  /** How long a client may be silent until it is asked; 0 never asks. */
  readonly intervalMillis: number;
  /** How many questions in a row may go without an answer. */
  readonly countMax: number;
  readonly ask: () => void;
  readonly lost: () => void;
}

export class ClientAlive {
  readonly #options: ClientAliveOptions;
  #timer: NodeJS.Timeout | undefined;
  #heardAt = 0;
  #unanswered = 0;

  constructor(options: ClientAliveOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.intervalMillis > 0) {
      this.heard();
      this.#wait(this.#options.intervalMillis);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Anything at all arrived. */
  heard(): void {
    this.#heardAt = performance.now();
    this.#unanswered = 0;
  }

  // Cheaper than a timer that is set back by every packet.
  #wait(millis: number): void {
    this.#timer = setTimeout(() => this.#check(), Math.min(millis, LONGEST_TIMER_MILLIS));
  }

  #check(): void {
    const { intervalMillis, countMax, ask, lost } = this.#options;
    const silentMillis = performance.now() - this.#heardAt;
    if (this.#unanswered === 0 && silentMillis < intervalMillis) {
      this.#wait(intervalMillis - silentMillis);
    } else if (this.#unanswered >= countMax) {
      lost();
    } else {
      this.#unanswered++;
      ask();
      this.#wait(intervalMillis);
    }
  }
}
