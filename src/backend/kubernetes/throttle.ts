/**
 * Limits requests to the API server from our side, as Kubernetes' own clients do: a bucket of `burst` tokens that
 * fills with `qps` tokens a second. Whoever finds it empty waits in line.
 */
import { Effect } from "effect";

/** What 0 stands for, as in Kubernetes' own clients (client-go, `rest.Config`). */
const DEFAULT_QPS = 5;
const DEFAULT_BURST = 10;

export class Throttle {
  readonly #qps: number;
  readonly #burst: number;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  /** `now` in milliseconds. A `qps` below zero is no limit, 0 stands for 5, a `burst` of 0 for 10. */
  constructor(qps: number, burst: number, now: () => number = () => performance.now()) {
    this.#qps = qps === 0 ? DEFAULT_QPS : qps;
    this.#burst = burst === 0 ? DEFAULT_BURST : Math.max(1, burst);
    this.#now = now;
    this.#tokens = this.#burst;
    this.#filledAt = now();
  }

  /** Waits for a token; the number of milliseconds it took. */
  readonly take: Effect.Effect<number> = Effect.suspend(() => {
    const millis = this.#reserve();
    if (millis === 0) return Effect.succeed(0);
    // Whoever goes away from the line leaves nobody waiting for it.
    const giveBack = Effect.sync(() => {
      this.#tokens += 1;
    });
    return Effect.as(
      Effect.onInterrupt(Effect.sleep(millis), () => giveBack),
      millis,
    );
  });

  #reserve(): number {
    if (this.#qps < 0) return 0;
    const now = this.#now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#filledAt) / 1000) * this.#qps);
    this.#filledAt = now;
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#qps) * 1000;
  }
}

/** The limits of a daemon: one for each API server and pair of figures, while anybody uses it. */
export class Throttles {
  readonly #throttles = new Map<string, WeakRef<Throttle>>();

  of(server: string, qps: number, burst: number): Throttle {
    const key = JSON.stringify([server, qps, burst]);
    const known = this.#throttles.get(key)?.deref();
    if (known !== undefined) return known;
    for (const [other, throttle] of this.#throttles) {
      if (throttle.deref() === undefined) this.#throttles.delete(other);
    }
    const made = new Throttle(qps, burst);
    this.#throttles.set(key, new WeakRef(made));
    return made;
  }
}
