/** Runs effects that need a scope in tests: the scope is closed by the test, or when the test is over. */
import { Effect, Exit, Scope } from "effect";
import { onTestFinished } from "vitest";

export interface Scoped<A> {
  readonly value: A;
  /** Closes the scope early; closing it twice does nothing. */
  readonly close: () => Promise<void>;
}

export const scoped = async <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<Scoped<A>> => {
  const scope = Scope.makeUnsafe();
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void));
  onTestFinished(close);
  return { value: await Effect.runPromise(Scope.provide(effect, scope)), close };
};

/** What an effect fails with; the test fails if it succeeds. */
export const failureOf = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<E> =>
  Effect.runPromise(Effect.flip(Effect.scoped(effect)));
