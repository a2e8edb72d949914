/**
 * Gives memory back to the system when a crowd of connections is gone. V8 looks for garbage while somebody allocates:
 * a daemon that nobody uses afterwards would hold on to what the crowd had in use.
 */
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What fewer connections leave behind is not worth a pause. */
const SMALLEST_CROWD = 500;
/** For how long nobody must have gone. */
const QUIET_MILLIS = 5_000;
/** Both looks are short pauses, with everybody's turn in between. */
const BETWEEN_MILLIS = 1_000;

export class CrowdMemory {
  readonly #collect: () => unknown;
  #live = 0;
  /** How many there were at most since memory was given back. */
  #most = 0;
  #quiet: NodeJS.Timeout | undefined;

  constructor(collect: () => unknown = collectGarbage) {
    this.#collect = collect;
  }

  began(): void {
    this.#live += 1;
    this.#most = Math.max(this.#most, this.#live);
  }

  ended(): void {
    this.#live -= 1;
    if (!this.#isCrowdGone) return;
    this.#quiet ??= globalThis.setTimeout(() => this.#giveBack(), QUIET_MILLIS).unref();
    this.#quiet.refresh();
  }

  /** The pause is as long as those that are left have in use: there must be more to win. */
  get #isCrowdGone(): boolean {
    const gone = this.#most - this.#live;
    return gone >= SMALLEST_CROWD && gone > this.#live;
  }

  #giveBack(): void {
    this.#quiet = undefined;
    if (!this.#isCrowdGone) return;
    this.#most = this.#live;
    this.#collect();
  }
}

/**
 * Twice: of what ten thousand connections had in use, V8 gives back two thirds after it has looked once. Its own
 * function for it is in a context that is made while `--expose-gc` is set; the command line needs no such option.
 */
const collectGarbage = async (): Promise<void> => {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as NodeJS.GCFunction;
  setFlagsFromString("--no-expose-gc");
  await gc({ type: "major", execution: "async" });
  await setTimeout(BETWEEN_MILLIS, undefined, { ref: false });
  await gc({ type: "major", execution: "async" });
};
