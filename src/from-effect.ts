/** The one bridge between sources (Effect) and machines (XState). */
import { Effect } from "effect";
import { fromPromise, type NonReducibleUnknown } from "xstate";

/** Runs an effect as an actor; stopping the actor interrupts it, a typed failure becomes the actor's error. */
export const fromEffect = <Input extends NonReducibleUnknown, A, E>(
  run: (input: Input) => Effect.Effect<A, E>,
) => fromPromise<A, Input>(({ input, signal }) => Effect.runPromise(run(input), { signal }));
