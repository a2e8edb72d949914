/**
 * Walks a machine's paths in the real world: generates them from the machine, causes each of their events for real,
 * and looks from outside at each state they come to. See test/model/README.md.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { AnyEventObject, AnyMachineSnapshot, AnyStateMachine, AnyStateNode } from "xstate";
import { catalogue } from "../../../machines/catalogue.ts";
import { statesOf, transitionId, transitionsOf } from "../../../machines/transition-id.ts";
import { projectRoot } from "../root.ts";
import { seesInspected } from "./inspection.ts";
import type { ObservedDaemon, Step } from "./observed.ts";
import { type ModelEvent, type ModelPath, pathsThrough, withoutWorld } from "./paths.ts";

export interface Cause<W extends AsyncDisposable> {
  /** The event as the machine gets it: what is in it decides the guards. */
  readonly event: AnyEventObject;
  /** Where it can be caused, beyond what the machine says; default is wherever the machine takes it. */
  readonly when?: (snapshot: AnyMachineSnapshot) => boolean;
  /** What has to be so beforehand, for the event to come by itself. Every step's is done before the walk begins. */
  readonly arrange?: (world: W) => unknown;
  /** Makes the event happen, once the machine has come to the state before it. */
  readonly cause?: (world: W, daemon: ObservedDaemon) => unknown;
}

/** What can be seen of a state from outside: a client's output, the log, Docker, Kubernetes. Throws when it is not so. */
export type Look<W extends AsyncDisposable> = (world: W, daemon: ObservedDaemon) => unknown;

export interface Beginning<W extends AsyncDisposable> {
  readonly input: unknown;
  /** What has to be so for the machine to get this input. */
  readonly arrange: (world: W) => unknown;
}

export interface Walk<W extends AsyncDisposable> {
  /** What the machine starts with, where `beginnings` doesn't say it. */
  readonly input?: unknown;
  /** For a machine whose way its input decides: by a name that begins a test's title. */
  readonly beginnings?: Readonly<Record<string, Beginning<W>>>;
  /** Guards and assignments that the machine left open, as far as events decide them. */
  readonly provide?: Parameters<AnyStateMachine["provide"]>[0];
  /** What of the context decides later on and isn't visible in the state; default nothing. */
  readonly key?: (context: never) => unknown;
  /** The vocabulary: by a name that reads well in a test's title. */
  readonly causes: Readonly<Record<string, Cause<W>>>;
  /** A world for one path. */
  readonly world: () => Promise<W>;
  /** The daemon to walk in, when everything has been arranged: one of the path's own, which `world` ends, or a shared one. */
  readonly daemon: (world: W) => Promise<ObservedDaemon>;
  /** Begins what makes the machine's actor; default is that the daemon's start does. */
  readonly begin?: (world: W, daemon: ObservedDaemon) => unknown;
  /** Which actor of this machine is walked, in the order in which they begin; default is the first, 0. */
  readonly subject?: number;
  /** One look for each state in which a path comes to rest. */
  readonly looks: Readonly<Record<string, Look<W>>>;
  /** Transitions and states that no walk can come to, by id, with the reason. */
  readonly unreached?: Readonly<Record<string, string>>;
  /**
   * Transitions, by id, that the machine may take any number of times besides those of a path, with the reason. What
   * the inspector tells is compared without them.
   */
  readonly besides?: (world: W) => Readonly<Record<string, string>>;
}

/** Where walks say what they cannot reach: what `npm run coverage:models` prints. */
export const WALKS_FOLDER = join(projectRoot, ".run/model/walks");

/** Registers a test for each path, and one that there is a path, or a reason, for each state and transition. */
export const walk = <W extends AsyncDisposable>(name: string, walk: Walk<W>): void => {
  const machine = catalogue[name];
  if (machine === undefined) throw new Error(`there is no machine "${name}"`);
  const paths = pathsOf(machine, walk);
  describe(`the machine ${name}`, () => {
    it("has a path, or a reason for none, for each state and each transition", () => {
      mkdirSync(WALKS_FOLDER, { recursive: true });
      writeFileSync(join(WALKS_FOLDER, `${name}.json`), JSON.stringify(walk.unreached ?? {}));
      const { states, transitions } = idsOf(machine);
      const reasons = Object.keys(walk.unreached ?? {});
      const pathed = new Set(paths.flatMap(idsOn));
      expect(reasons.filter((id) => !states.includes(id) && !transitions.includes(id))).toEqual([]);
      expect(
        reasons.filter((id) => pathed.has(id)),
        "reasons for what is reached",
      ).toEqual([]);
      const found = new Set([...pathed, ...reasons]);
      expect(
        [...states, ...transitions].filter((id) => !found.has(id)),
        "without a path or reason",
      ).toEqual([]);
    });

    it("has a look from outside for each state in which a path rests", () => {
      const innermost = new Set(
        statesOf(machine.root)
          .filter(({ type }) => type === "atomic" || type === "final")
          .map(({ id }) => id),
      );
      const resting = paths.flatMap(({ begins, steps }) =>
        [begins, ...steps].flatMap(({ states }) => states),
      );
      const wanted = new Set(resting.filter((id) => innermost.has(id)));
      expect(Object.keys(walk.looks)).toEqual(expect.arrayContaining([...wanted]));
      expect(Object.keys(walk.looks).filter((id) => !innermost.has(id))).toEqual([]);
    });

    it.each(paths.map((path) => [titleOf(path), path] as const))("%s", async (_, path) => {
      await using world = await walk.world();
      await follow(machine, walk, path, world);
    });
  });
};

/** A path with the name of its beginning, if the machine has several. */
type Path = ModelPath & { readonly beginning: string | undefined };

const follow = async <W extends AsyncDisposable>(
  machine: AnyStateMachine,
  walk: Walk<W>,
  path: Path,
  world: W,
): Promise<void> => {
  const causeOf = (name: string): Cause<W> => walk.causes[name] as Cause<W>;
  if (path.beginning !== undefined) await walk.beginnings?.[path.beginning]?.arrange(world);
  for (const { cause } of path.steps) await causeOf(cause).arrange?.(world);
  const daemon = await walk.daemon(world);
  const { observed } = daemon;
  const before = walk.begin === undefined ? 0 : observed.count();
  await walk.begin?.(world, daemon);
  let at = before - 1;
  for (let left = walk.subject ?? 0; left >= 0; left--)
    at = await observed.waitFor(
      ({ machine: id, event }) => id === machine.id && event === "xstate.init",
      `the beginning of ${machine.id}`,
      at + 1,
    );
  const begun = observed.steps[at] as Step;
  const { actor } = begun;
  const look = async (states: readonly string[]): Promise<void> => {
    for (const state of states) await walk.looks[state]?.(world, daemon);
  };
  for (const id of path.begins.transitions)
    await observed.waitFor((step) => step.actor === actor && step.transitions.includes(id), id, before);
  const way = [path.begins];
  const seeInspected = () =>
    seesInspected(machine, daemon, begun, way, Object.keys(walk.besides?.(world) ?? {}));
  await look(path.begins.states);
  await seeInspected();
  for (const { cause, transitions, states } of path.steps) {
    await causeOf(cause).cause?.(world, daemon);
    at += 1;
    for (const id of transitions)
      at = await observed.waitFor(
        (step) => step.actor === actor && step.transitions.includes(id),
        `${id}, by "${cause}"`,
        at,
      );
    await look(states);
    way.push({ transitions, states });
    await seeInspected();
  }
};

const pathsOf = <W extends AsyncDisposable>(machine: AnyStateMachine, walk: Walk<W>): readonly Path[] => {
  const provided = walk.provide === undefined ? machine : machine.provide(walk.provide);
  const pathsFrom = (input: unknown, beginning?: string): readonly Path[] =>
    pathsThrough({
      machine: withoutWorld(provided),
      input,
      events: Object.entries(walk.causes).map(([cause, { event }]): ModelEvent => ({ ...event, cause })),
      mayHappen: ({ cause }, snapshot) => walk.causes[cause]?.when?.(snapshot) ?? true,
      key: (context) => walk.key?.(context as never),
    }).map((path) => ({ ...path, beginning }));
  return walk.beginnings === undefined
    ? pathsFrom(walk.input)
    : Object.entries(walk.beginnings).flatMap(([beginning, { input }]) => pathsFrom(input, beginning));
};

const titleOf = ({ beginning, steps }: Path): string =>
  [...(beginning === undefined ? [] : [beginning]), ...steps.map(({ cause }) => cause)].join(", ");

const idsOn = ({ begins, steps }: ModelPath): readonly string[] =>
  [begins, ...steps].flatMap(({ transitions, states }) => [
    ...transitions,
    ...states,
    // States that are only passed through are the sources of transitions.
    ...transitions.map((id) => id.slice(0, id.indexOf("|"))),
  ]);

export const idsOf = (
  machine: AnyStateMachine,
): { readonly states: readonly string[]; readonly transitions: readonly string[] } => {
  const states = statesOf(machine.root);
  return {
    states: states.map(({ id }) => id),
    transitions: states.flatMap(transitionsOf).map((transition) => transitionId(transition) ?? ""),
  };
};

/** The event of an invoked actor of a state that is done. */
export const done = (machine: AnyStateMachine, state: string, output?: unknown): AnyEventObject => ({
  type: `xstate.done.actor.${invokedIn(machine, state)}`,
  output,
});

/** The event of an invoked actor of a state that failed. */
export const fails = (machine: AnyStateMachine, state: string, error: unknown = REFUSAL): AnyEventObject => ({
  type: `xstate.error.actor.${invokedIn(machine, state)}`,
  error,
});

/** The event of a state's delay that is over. */
export const after = (machine: AnyStateMachine, state: string, delay?: string): AnyEventObject => {
  const delays = nodeOf(machine, state).after.filter(
    ({ eventType }) => delay === undefined || eventType === `xstate.after.${delay}.${state}`,
  );
  const type = delays[0]?.eventType;
  if (type === undefined) throw new Error(`${state} has no delay ${delay ?? ""}`);
  return { type };
};

/** A reason as sources have them. */
export const REFUSAL = { code: "TEST", userMessage: "", message: "", details: {}, level: "error" } as const;

const nodeOf = (machine: AnyStateMachine, state: string): AnyStateNode => machine.getStateNodeById(state);

const invokedIn = (machine: AnyStateMachine, state: string): string => {
  const [invoked] = nodeOf(machine, state).invoke;
  if (invoked === undefined) throw new Error(`${state} invokes nothing`);
  return invoked.id;
};
