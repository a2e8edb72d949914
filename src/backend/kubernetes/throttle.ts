/**
 * Limits requests to the API server from our side, as Kubernetes' own clients do: a bucket of `burst` tokens that
 * fills with `qps` tokens a second. Whoever finds it empty waits in line.
 */
import { Effect } from "effect";

export class Throttle {
  readonly #qps: number;
  readonly #burst: number;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  /** `now` in milliseconds. A `qps` below zero is no limit. */
  constructor(qps: number, burst: number, now: () => number = () => performance.now()) {
    this.#qps = qps;
    this.#burst = Math.max(1, burst);
    this.#now = now;
    this.#tokens = this.#burst;
    this.#filledAt = now();
  }

  /** Waits for a token; the number of milliseconds it took. */
  readonly take: Effect.Effect<number> = Effect.suspend(() => {
    const millis = this.#reserve();
    return millis === 0 ? Effect.succeed(0) : Effect.as(Effect.sleep(millis), millis);
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
