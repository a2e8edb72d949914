/** The one bridge between sources (Effect) and machines (XState). */
import { Effect } from "effect";
import { fromPromise, type NonReducibleUnknown } from "xstate";
import { ownTurn } from "./turns.ts";

/**
 * Runs an effect as an actor; stopping the actor interrupts it, a typed failure becomes the actor's error. The machine
 * hears how it ended in a turn of its own: what it does then is work of milliseconds.
 */
export const fromEffect = <Input extends NonReducibleUnknown, A, E>(
  run: (input: Input) => Effect.Effect<A, E>,
) =>
  fromPromise<A, Input>(({ input, signal }) => {
    const told = Effect.flatMap(Effect.exit(run(input)), (exit) => Effect.andThen(ownTurn, exit));
    return Effect.runPromise(told, { signal });
  });
