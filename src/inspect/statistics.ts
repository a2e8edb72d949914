/** What the overview counts: logins and refusals by the minute, refusals by code, how long states last, visits. */
import type { Refusal } from "../../machines/facts.ts";
import type { Minute, RefusalCount, StateTime, Statistics, Visits } from "./format.ts";

const MINUTE_MILLIS = 60_000;
const MINUTES_KEPT = 60;
/** Codes are a closed set; this is for the ones that nobody thought of. */
const MOST_CODES = 200;
const SLOWEST_SHOWN = 12;
/** Times are counted in classes, each a fifth longer than the one before. */
const CLASS_GROWTH = 1.2;
const CLASSES = 100;

const classOf = (millis: number): number =>
  Math.max(0, Math.min(CLASSES - 1, Math.round(Math.log(Math.max(millis, 1)) / Math.log(CLASS_GROWTH))));

/** The durations of one state. */
class Durations {
  readonly #classes = new Uint32Array(CLASSES);
  #count = 0;
  #sum = 0;
  #longest = 0;

  add(millis: number): void {
    const index = classOf(millis);
    this.#classes[index] = (this.#classes[index] ?? 0) + 1;
    this.#count += 1;
    this.#sum += millis;
    this.#longest = Math.max(this.#longest, millis);
  }

  get(state: string): StateTime {
    return {
      state,
      count: this.#count,
      meanMillis: this.#sum / this.#count,
      p95Millis: Math.min(this.#percentile(0.95), this.#longest),
      longestMillis: this.#longest,
    };
  }

  #percentile(share: number): number {
    let seen = 0;
    const index = this.#classes.findIndex((count) => {
      seen += count;
      return seen >= share * this.#count;
    });
    return CLASS_GROWTH ** index;
  }
}

export class Counts {
  readonly #startedAt = Date.now();
  readonly #minutes: { startedAt: number; logins: number; refusals: number }[] = [];
  readonly #codes = new Map<string, RefusalCount>();
  readonly #durations = new Map<string, Durations>();
  readonly #visits = new Map<string, { states: Map<string, number>; transitions: Map<string, number> }>();
  #logins = 0;
  #refusals = 0;

  loggedIn(): void {
    this.#logins += 1;
    this.#minute().logins += 1;
  }

  refused({ code, message }: Pick<Refusal, "code" | "message">, reference: string): void {
    this.#refusals += 1;
    this.#minute().refusals += 1;
    if (!this.#codes.has(code) && this.#codes.size >= MOST_CODES) return;
    const count = (this.#codes.get(code)?.count ?? 0) + 1;
    this.#codes.set(code, { code, count, lastAt: Date.now(), message, reference });
  }

  lasted(state: string, millis: number): void {
    const durations = this.#durations.get(state) ?? new Durations();
    this.#durations.set(state, durations);
    durations.add(millis);
  }

  entered(machine: string, state: string): void {
    increment(this.#visitsOf(machine).states, state);
  }

  taken(machine: string, transition: string): void {
    increment(this.#visitsOf(machine).transitions, transition);
  }

  statistics(): Statistics {
    const oldest = Date.now() - MINUTES_KEPT * MINUTE_MILLIS;
    return {
      startedAt: this.#startedAt,
      logins: this.#logins,
      refusals: this.#refusals,
      minutes: this.#minutes
        .filter(({ startedAt }): boolean => startedAt > oldest)
        .map((each): Minute => ({ ...each })),
      refusalsByCode: [...this.#codes.values()].sort((one, other) => other.count - one.count),
      slowest: [...this.#durations]
        .map(([state, durations]) => durations.get(state))
        .sort((one, other) => other.p95Millis - one.p95Millis)
        .slice(0, SLOWEST_SHOWN),
    };
  }

  /** By the machines' IDs. */
  visits(): Readonly<Record<string, Visits>> {
    return Object.fromEntries(
      [...this.#visits].map(([machine, { states, transitions }]) => [
        machine,
        { states: Object.fromEntries(states), transitions: Object.fromEntries(transitions) },
      ]),
    );
  }

  #minute() {
    const startedAt = Math.floor(Date.now() / MINUTE_MILLIS) * MINUTE_MILLIS;
    const last = this.#minutes.at(-1);
    if (last?.startedAt === startedAt) return last;
    const minute = { startedAt, logins: 0, refusals: 0 };
    this.#minutes.push(minute);
    if (this.#minutes.length > MINUTES_KEPT) this.#minutes.shift();
    return minute;
  }

  #visitsOf(machine: string) {
    const visits = this.#visits.get(machine) ?? { states: new Map(), transitions: new Map() };
    this.#visits.set(machine, visits);
    return visits;
  }
}

const increment = (counts: Map<string, number>, key: string): void =>
  void counts.set(key, (counts.get(key) ?? 0) + 1);
