/** What a daemon's inspector tells of one actor, next to the path that is walked: the same steps, in order, to the same states. */
import { expect } from "vitest";
import type { AnyStateMachine } from "xstate";
import { leavesOf, type Trace } from "../../../src/inspect/format.ts";
import { PATIENCE_SECONDS } from "../patience.ts";
import { within } from "../transcript.ts";
import type { ObservedDaemon, Step } from "./observed.ts";
import type { ModelStep } from "./paths.ts";

/** What one event led to: every transition, in order, and the states in which the machine was then. */
type Way = Pick<ModelStep, "transitions" | "states">;

/**
 * Throws when the inspector tells anything else than that the actor has come this way; it may tell what came after.
 *
 * @param begun the actor's first step
 * @param way what has led it here, the step into its initial state first
 * @param besides transitions that may be taken between the steps of the way as often as they like
 */
export const seesInspected = async (
  machine: AnyStateMachine,
  daemon: ObservedDaemon,
  { actor, connection }: Step,
  way: readonly Way[],
  besides: readonly string[],
): Promise<void> => {
  const trace = await traceOf(daemon, connection);
  if (trace === undefined) return;
  expect(trace.dropped, "lines that the inspector left out").toBe(0);
  const all = toldIn(trace, machine, actor);
  const happened = daemon.observed.stepsOf(actor).flatMap(({ transitions }) => transitions);
  const transitions = all.flatMap((each) => each.transitions);
  expect(transitions, "all that the inspector tells").toEqual(happened.slice(0, transitions.length));
  const wanted = way.map(({ transitions, states }) => ({
    transitions,
    states: states.filter((id) => isInnermost(machine, id)).toSorted(),
  }));
  const told: Way[] = [];
  for (const each of all) {
    const isWanted = each.transitions.join() === wanted[told.length]?.transitions.join();
    if (isWanted || !each.transitions.every((id) => besides.includes(id))) told.push(each);
  }
  expect(told.slice(0, wanted.length), "what the inspector tells").toEqual(wanted);
};

const isInnermost = (machine: AnyStateMachine, id: string): boolean => {
  const { type } = machine.getStateNodeById(id);
  return type === "atomic" || type === "final";
};

/** The first step is the one into the initial state. */
const toldIn = ({ lines }: Trace, { id }: AnyStateMachine, actor: string): readonly Way[] =>
  lines
    .flatMap((line) => (line.type === "step" && line.actor === actor ? [line.moves] : []))
    .map((moves) => ({
      transitions: moves.flatMap(({ transitions }) => transitions),
      states: leavesOf(moves.at(-1)?.value ?? "")
        .map((leaf) => `${id}.${leaf}`)
        .toSorted(),
    }))
    // An event that nobody took is told, too.
    .filter(({ transitions }, index) => index === 0 || transitions.length > 0);

/** Nothing of a daemon that ends, or that a service's end takes down: its inspector need not answer any more. */
const traceOf = async (
  daemon: ObservedDaemon,
  connection: string | undefined,
): Promise<Trace | undefined> => {
  const ended = daemon.ending.then(() => undefined);
  try {
    const inspector = await Promise.race([daemon.inspector(), ended]);
    return await (connection === undefined ? inspector?.daemonTrace() : inspector?.trace(connection));
  } catch (error) {
    if (daemon.observed.steps.some(({ states }) => states.includes("service.gaveUp"))) return undefined;
    return await within(PATIENCE_SECONDS, ended, () => `the inspector does not answer: ${error}`);
  }
};
