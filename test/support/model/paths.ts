/** Paths through a machine, found in the machine itself by @xstate/graph: together they take every transition that events of the vocabulary can cause. */
import { getShortestPaths } from "@xstate/graph";
import {
  type AnyActorScope,
  type AnyEventObject,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  createEmptyActor,
  fromCallback,
  type InspectionEvent,
} from "xstate";
import { transitionId } from "../../../machines/transition-id.ts";

/** An event of the vocabulary: the name is what the walk calls it. */
export interface ModelEvent extends AnyEventObject {
  readonly cause: string;
}

export interface ModelOptions {
  readonly machine: AnyStateMachine;
  readonly input: unknown;
  readonly events: readonly ModelEvent[];
  /** Whether an event can happen there, beyond what the machine says. */
  readonly mayHappen: (event: ModelEvent, snapshot: AnyMachineSnapshot) => boolean;
  /** What of the context decides later on, and isn't visible in the state. */
  readonly key: (context: Readonly<Record<string, unknown>>) => unknown;
}

export interface ModelStep {
  readonly cause: string;
  /** Every transition that the event leads to, in order. */
  readonly transitions: readonly string[];
  /** The active states, by id, once the machine rests. */
  readonly states: readonly string[];
}

export interface ModelPath {
  /** What happens as soon as the machine gets its input. */
  readonly begins: Omit<ModelStep, "cause">;
  readonly steps: readonly ModelStep[];
}

/** The machine without a world: its actors wait for ever, and its actions are only said, not done. */
export const withoutWorld = (machine: AnyStateMachine): AnyStateMachine => {
  const { actors, actions } = machine.implementations;
  const idle = fromCallback(() => {});
  return machine.provide({
    actors: Object.fromEntries(Object.keys(actors).map((name) => [name, idle])),
    actions: Object.fromEntries(
      Object.entries(actions).map(([name, action]) => [
        name,
        typeof action === "function" && "resolve" in action ? action : () => {},
      ]),
    ),
  } as never) as AnyStateMachine;
};

/** As few paths as a greedy choice finds: each is a shortest one to some state by some event, and goes on to an end. */
export const pathsThrough = (options: ModelOptions): readonly ModelPath[] => {
  const { machine, input, events, mayHappen, key } = options;
  let taken: string[] = [];
  const scope = scopeThatTells((transitions) => taken.push(...transitions));
  const transition = (snapshot: AnyMachineSnapshot, event: ModelEvent): AnyMachineSnapshot =>
    machine.transition(snapshot, event, scope) as AnyMachineSnapshot;
  const logic = {
    transition,
    getInitialSnapshot: () => machine.getInitialSnapshot(scope, input),
    getPersistedSnapshot: (snapshot: AnyMachineSnapshot) => snapshot,
  };
  const place = ({ value, context }: AnyMachineSnapshot): string => JSON.stringify([value, key(context)]);
  const possible = (snapshot: AnyMachineSnapshot): readonly ModelEvent[] =>
    snapshot.status !== "active"
      ? []
      : events.filter(
          (event) => machine.getTransitionData(snapshot, event).length > 0 && mayHappen(event, snapshot),
        );
  const plans = getShortestPaths(
    logic as never,
    {
      events: possible,
      // Each way into a state counts as a state of its own: so there is a path for each transition.
      serializeState: (snapshot: AnyMachineSnapshot, event?: ModelEvent, before?: AnyMachineSnapshot) =>
        [place(snapshot), event?.cause ?? "", before === undefined ? "" : place(before)].join(" "),
      serializeEvent: ({ cause }: ModelEvent) => cause,
    } as never,
  ) as ReadonlyArray<{ readonly steps: ReadonlyArray<{ readonly event: ModelEvent }> }>;

  /** What leads on to an end, by the fewest events; nothing where there is no end. */
  const toEnd = (from: AnyMachineSnapshot): readonly ModelEvent[] => {
    const queue: { readonly snapshot: AnyMachineSnapshot; readonly way: readonly ModelEvent[] }[] = [
      { snapshot: from, way: [] },
    ];
    const seen = new Set([place(from)]);
    for (const { snapshot, way } of queue) {
      if (snapshot.status !== "active") return way;
      for (const event of possible(snapshot)) {
        const next = transition(snapshot, event);
        if (seen.has(place(next))) continue;
        seen.add(place(next));
        queue.push({ snapshot: next, way: [...way, event] });
      }
    }
    return [];
  };
  const replay = (causes: readonly ModelEvent[]): ModelPath => {
    taken = [];
    let snapshot = logic.getInitialSnapshot() as AnyMachineSnapshot;
    const begins = { transitions: [...taken], states: statesOfSnapshot(snapshot) };
    const take = (event: ModelEvent): ModelStep => {
      taken = [];
      snapshot = transition(snapshot, event);
      return { cause: event.cause, transitions: [...taken], states: statesOfSnapshot(snapshot) };
    };
    const steps = causes.map(take);
    return { begins, steps: [...steps, ...toEnd(snapshot).map(take)] };
  };
  return fewest(
    plans.map(({ steps }) =>
      replay(steps.map(({ event }) => event).filter(({ type }) => type !== "xstate.init")),
    ),
  );
};

/** Those that take the most new transitions for each event that has to be caused, one after another. */
const fewest = (paths: readonly ModelPath[]): readonly ModelPath[] => {
  const chosen: ModelPath[] = [];
  const covered = new Set<string>();
  const worthOf = (path: ModelPath): number =>
    new Set(transitionsOn(path).filter((id) => !covered.has(id))).size / Math.max(1, path.steps.length);
  for (;;) {
    const [best] = paths
      .map((path) => ({ path, worth: worthOf(path) }))
      .sort((one, other) => other.worth - one.worth || one.path.steps.length - other.path.steps.length);
    if (best === undefined || best.worth === 0) return chosen.filter(isNeeded(chosen));
    chosen.push(best.path);
    for (const id of transitionsOn(best.path)) covered.add(id);
  }
};

/** A path that was worth it when it was chosen may have become a part of later ones. */
const isNeeded = (chosen: readonly ModelPath[]): ((path: ModelPath) => boolean) => {
  const left = new Set(chosen);
  return (path) => {
    const others = new Set([...left].filter((other) => other !== path).flatMap(transitionsOn));
    if (transitionsOn(path).some((id) => !others.has(id))) return true;
    left.delete(path);
    return false;
  };
};

const transitionsOn = ({ begins, steps }: ModelPath): readonly string[] =>
  [begins, ...steps].flatMap(({ transitions }) => transitions);

const statesOfSnapshot = (snapshot: AnyMachineSnapshot): readonly string[] =>
  (snapshot as unknown as { _nodes: ReadonlyArray<{ id: string }> })._nodes.map(({ id }) => id);

/** XState's pure functions want to know in which actor they are; this one has a parent that hears nothing. */
const scopeThatTells = (tell: (transitions: readonly string[]) => void): AnyActorScope => {
  const parent = createEmptyActor();
  const self = Object.assign(createEmptyActor(), { _parent: parent });
  const inspect = (event: InspectionEvent): void => {
    if (event.type === "@xstate.microstep")
      tell(event._transitions.map(transitionId).filter((id) => id !== undefined));
  };
  return {
    self,
    id: "",
    sessionId: "model",
    logger: () => {},
    defer: () => {},
    stopChild: () => {},
    emit: () => {},
    actionExecutor: () => {},
    system: Object.assign(self.system, { _sendInspectionEvent: inspect }),
  } as unknown as AnyActorScope;
};
