/** Pulls that connections share: who needs what is being pulled already waits for it, and hears of its progress. */
import { Effect, Fiber, type Scope } from "effect";

interface Running<E> {
  readonly fiber: Fiber.Fiber<void, E>;
  readonly listeners: Set<(line: string) => void>;
}

export class SharedPulls<E> {
  readonly #running = new Map<string, Running<E>>();
  readonly #scope: Scope.Scope;

  /** Pulls end with the scope. */
  constructor(scope: Scope.Scope) {
    this.#scope = scope;
  }

  /**
   * Waits for the pull of this key; the first to need it starts it, and the last to lose interest ends it.
   * `key` has to name everything that two pulls may differ in, credentials included.
   */
  join(
    key: string,
    pull: (onProgress: (line: string) => void) => Effect.Effect<void, E>,
    onProgress: (line: string) => void,
  ): Effect.Effect<void, E> {
    return Effect.acquireUseRelease(
      this.#enter(key, pull, onProgress),
      ({ fiber }) => Fiber.join(fiber),
      (running) => this.#leave(key, running, onProgress),
    );
  }

  #enter(
    key: string,
    pull: (onProgress: (line: string) => void) => Effect.Effect<void, E>,
    onProgress: (line: string) => void,
  ): Effect.Effect<Running<E>> {
    return Effect.suspend(() => {
      const running = this.#running.get(key);
      if (running !== undefined) {
        running.listeners.add(onProgress);
        return Effect.succeed(running);
      }
      const listeners = new Set([onProgress]);
      const tell = (line: string): void => {
        for (const listener of listeners) listener(line);
      };
      return Effect.map(Effect.forkIn(Effect.interruptible(pull(tell)), this.#scope), (fiber) => {
        const started = { fiber, listeners };
        this.#running.set(key, started);
        return started;
      });
    });
  }

  /** Whoever comes after a pull has ended starts a new one. */
  #leave(key: string, running: Running<E>, onProgress: (line: string) => void): Effect.Effect<void> {
    return Effect.suspend(() => {
      running.listeners.delete(onProgress);
      const hasEnded = running.fiber.pollUnsafe() !== undefined;
      if (running.listeners.size > 0 && !hasEnded) return Effect.void;
      if (this.#running.get(key) === running) this.#running.delete(key);
      return hasEnded ? Effect.void : Fiber.interrupt(running.fiber);
    });
  }
}
