/**
 * What a machine needs from outside, left open: an actor or action that fails by its own name when nobody
 * provided it, so a missing wire shows at once and never as a login that hangs.
 *
 * A state that invokes an actor which no failure of the outside world can end has no `onError`: that the actor breaks
 * nonetheless is a bug of ours. Its machine breaks with it, and so on up to the connection, which ends with a refusal.
 */
import { type EventObject, fromCallback, fromPromise, type NonReducibleUnknown } from "xstate";

/** An actor that answers once. */
export const required = <Output, Input extends NonReducibleUnknown>(name: string) =>
  fromPromise<Output, Input>(() => Promise.reject(new Error(`the actor "${name}" was not provided`)));

/** An actor that goes on talking to its parent until it is stopped. */
export const requiredSource = <Received extends EventObject, Input extends NonReducibleUnknown>(
  name: string,
) =>
  fromCallback<Received, Input>(() => {
    throw new Error(`the actor "${name}" was not provided`);
  });

/** An action with parameters of type `Params`. */
export const requiredAction =
  <Params extends object | undefined = undefined>(name: string) =>
  (_: unknown, _params: Params): void => {
    throw new Error(`the action "${name}" was not provided`);
  };

/** A guard with parameters of type `Params`. */
export const requiredGuard =
  <Params extends object>(name: string) =>
  (_: unknown, _params: Params): boolean => {
    throw new Error(`the guard "${name}" was not provided`);
  };
