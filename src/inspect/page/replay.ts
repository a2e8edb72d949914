/** What a trace says about each moment: which actors there are, where their machines stand, what led there. */
import type { ActorStatus, Line, LogLineSeen, RefusalSeen, StateValue, StepLine, Trace } from "../format.ts";

export interface ActorSeen {
  readonly id: string;
  readonly parent: ActorSeen | undefined;
  readonly name: string;
  /** Missing for promises and callbacks. */
  readonly machine: string | undefined;
  readonly startedAt: number;
  /** Missing while it lives. */
  endedAt: number | undefined;
  status: ActorStatus;
  readonly children: ActorSeen[];
}

/** A line of the timeline. Times are milliseconds since the trace began. */
export type Entry = { readonly at: number; readonly actor: ActorSeen | undefined } & (
  | {
      readonly kind: "step";
      readonly line: StepLine;
      /** The state before; missing in the first step. */
      readonly before: StateValue | undefined;
      readonly after: StateValue;
      /** How long the state after it lasted; missing while it lasts. */
      spent: number | undefined;
    }
  /** A source was asked: a promise or a callback. */
  | { readonly kind: "source"; readonly source: ActorSeen }
  | { readonly kind: "log"; readonly line: LogLineSeen }
  /** An actor has thrown. */
  | { readonly kind: "crash" }
);

export interface Replay {
  readonly trace: Trace;
  readonly entries: readonly Entry[];
  readonly actors: ReadonlyMap<string, ActorSeen>;
  readonly roots: readonly ActorSeen[];
  /** Numbers of the entries in which a refusal came up that somebody was told of, or that ended the connection. */
  readonly refusals: readonly number[];
  /** How long it all took so far. */
  readonly length: number;
}

export const replayOf = (trace: Trace): Replay => {
  const actors = new Map<string, ActorSeen>();
  const roots: ActorSeen[] = [];
  const entries: Entry[] = [];
  const lastSteps = new Map<string, Extract<Entry, { kind: "step" }>>();
  for (const line of trace.lines) read(line, { actors, roots, entries, lastSteps });
  const length = trace.lines.reduce((latest, { at }) => Math.max(latest, at), 0);
  return { trace, entries, actors, roots, refusals: refusalsOf(trace, entries), length };
};

interface Reading {
  readonly actors: Map<string, ActorSeen>;
  readonly roots: ActorSeen[];
  readonly entries: Entry[];
  readonly lastSteps: Map<string, Extract<Entry, { kind: "step" }>>;
}

const read = (line: Line, { actors, roots, entries, lastSteps }: Reading): void => {
  switch (line.type) {
    case "actor": {
      const parent = line.parent === undefined ? undefined : actors.get(line.parent);
      const actor: ActorSeen = {
        id: line.actor,
        parent,
        name: line.src ?? line.machine ?? line.name,
        machine: line.machine,
        startedAt: line.at,
        endedAt: undefined,
        status: "active",
        children: [],
      };
      actors.set(line.actor, actor);
      (parent?.children ?? roots).push(actor);
      if (line.machine === undefined)
        entries.push({ kind: "source", at: line.at, actor: parent, source: actor });
      break;
    }
    case "step": {
      const actor = actors.get(line.actor);
      const last = lastSteps.get(line.actor);
      const after = line.moves.at(-1)?.value ?? last?.after ?? "";
      if (last !== undefined) last.spent = line.at - last.at;
      const entry = {
        kind: "step",
        at: line.at,
        actor,
        line,
        before: last?.after,
        after,
        spent: undefined,
      } as const;
      entries.push(entry);
      lastSteps.set(line.actor, entry);
      if (line.status !== "active" && actor !== undefined) end(actor, line.at, line.status);
      break;
    }
    case "end": {
      const actor = actors.get(line.actor);
      if (actor === undefined) break;
      end(actor, line.at, line.status);
      if (actor.machine !== undefined) entries.push({ kind: "crash", at: line.at, actor });
      break;
    }
    case "log":
      entries.push({ kind: "log", at: line.at, actor: undefined, line });
      break;
  }
};

const end = (actor: ActorSeen, at: number, status: ActorStatus): void => {
  actor.endedAt = at;
  actor.status = status;
};

/** Where nobody was told anything and nobody was let in, the last reason there was is why. */
const refusalsOf = ({ connection }: Trace, entries: readonly Entry[]): readonly number[] => {
  const told = refusalsIn(entries);
  if (told.length > 0 || connection?.loggedIn !== false || connection.endedAt === undefined) return told;
  const last = entries.findLastIndex((entry) => entry.kind === "step" && entry.line.refusal !== undefined);
  return last === -1 ? [] : [last];
};

/** The reason passes from one actor to the next until somebody is told: the first that had it is the one that refused. */
const refusalsIn = (entries: readonly Entry[]): readonly number[] => {
  const found: number[] = [];
  let from = 0;
  entries.forEach((entry, number) => {
    if (entry.kind !== "step" || !entry.line.told) return;
    const reason = reasonAt(entries, number);
    const first = entries.findIndex(
      (each, index) =>
        index >= from && index <= number && each.kind === "step" && isSame(each.line.refusal, reason),
    );
    // One that came up before somebody was told last is the same once more.
    if (first === -1) return;
    found.push(first);
    from = number + 1;
  });
  return found;
};

/** The last reason that the actor of a step came to. */
const reasonAt = (entries: readonly Entry[], number: number): RefusalSeen | undefined => {
  const { actor } = entries[number] ?? {};
  for (let index = number; index >= 0; index--) {
    const entry = entries[index];
    if (entry?.kind === "step" && entry.actor === actor && entry.line.refusal !== undefined)
      return entry.line.refusal;
  }
  return undefined;
};

const isSame = (one: RefusalSeen | undefined, other: RefusalSeen | undefined): boolean =>
  one !== undefined && other !== undefined && one.code === other.code && one.message === other.message;

/** Where one machine stands at a moment. */
export interface Standing {
  readonly active: ReadonlySet<string>;
  readonly taken: ReadonlySet<string>;
  /** Those of the actor's latest step. */
  readonly last: ReadonlySet<string>;
  readonly status: ActorStatus;
}

export const standingOf = ({ entries }: Replay, actor: ActorSeen, moment: number): Standing => {
  const taken = new Set<string>();
  let last = new Set<string>();
  let step: StepLine | undefined;
  for (const entry of entries.slice(0, moment + 1)) {
    if (entry.kind !== "step" || entry.actor !== actor) continue;
    step = entry.line;
    const transitions = step.moves.flatMap((move) => move.transitions);
    if (transitions.length > 0) last = new Set(transitions);
    for (const transition of transitions) taken.add(transition);
  }
  const value = step?.moves.at(-1)?.value;
  return {
    active: new Set(value === undefined || actor.machine === undefined ? [] : idsOf(actor.machine, value)),
    taken,
    last,
    status: step?.status ?? "active",
  };
};

/** The IDs of all active states, those around the innermost included. */
const idsOf = (prefix: string, value: StateValue): readonly string[] =>
  typeof value === "string"
    ? [prefix, ...(value === "" ? [] : [`${prefix}.${value}`])]
    : [prefix, ...Object.entries(value).flatMap(([region, inner]) => idsOf(`${prefix}.${region}`, inner))];

/** The machines that have begun by a moment, in that order. */
export const machinesAt = ({ actors, entries }: Replay, moment: number): readonly ActorSeen[] => {
  const begun = new Set(
    entries
      .slice(0, moment + 1)
      .flatMap((entry) => (entry.kind === "step" && entry.actor ? [entry.actor] : [])),
  );
  return [...actors.values()].filter((actor) => actor.machine !== undefined && begun.has(actor));
};

/** Whether an actor had not ended yet. */
export const livesAt = (actor: ActorSeen, at: number): boolean =>
  actor.endedAt === undefined || actor.endedAt > at;

/** What is wrong with a file that is to be a trace; undefined when nothing is. */
export const traceOfText = (text: string): Trace | string => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "This file is not JSON.";
  }
  const trace = value as Partial<Trace>;
  if (typeof value !== "object" || value === null || trace.format !== "berth-trace") {
    return "This file is not a trace of Berth. `berth trace REFERENCE` saves one.";
  }
  if (trace.version !== 1) return "This trace was saved by a newer version of Berth.";
  return Array.isArray(trace.lines) && typeof trace.startedAt === "number"
    ? (trace as Trace)
    : "This trace is damaged.";
};
