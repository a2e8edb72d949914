/**
 * The event format of `@statelyai/inspect`, which the Stately Inspector and other tools of XState read: actors with
 * their machines' definitions, events, snapshots. Events and contexts are reduced by type like all that is told.
 */
import {
  type AnyActor,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type InspectionEvent,
  StateMachine,
} from "xstate";
import { reduceContext, reduceEvent } from "./reduce.ts";

/** The version of the package whose format this is. */
const FORMAT_VERSION = "0.7.2";

interface StatelyBase {
  readonly rootId: string;
  readonly sessionId: string;
  /** Milliseconds since the epoch, in digits. */
  readonly createdAt: string;
  readonly id: string;
  readonly _version: string;
}

export type StatelyEvent = StatelyBase &
  (
    | {
        readonly type: "@xstate.actor";
        readonly name: string;
        readonly definition: string;
        readonly parentId: string | undefined;
        readonly snapshot: StatelySnapshot;
      }
    | { readonly type: "@xstate.event"; readonly event: object; readonly sourceId: string | undefined }
    | { readonly type: "@xstate.snapshot"; readonly event: object; readonly snapshot: StatelySnapshot }
  );

interface StatelySnapshot {
  readonly status: string;
  readonly value?: unknown;
  readonly context?: object;
}

/** The actor above another; undefined for the one above all. */
export type ParentOf = (ref: AnyActor) => AnyActor | undefined;

/** An actor as it is now. */
export const introduction = (ref: AnyActor, parentOf: ParentOf): StatelyEvent => ({
  ...base(ref, parentOf),
  type: "@xstate.actor",
  name: ref.id,
  definition: definitionOf(ref),
  parentId: parentOf(ref)?.sessionId,
  snapshot: seen(ref, ref.getSnapshot()),
});

/** What XState told, in Stately's words; undefined for what the format has no word for. */
export const statelyEvent = (event: InspectionEvent, parentOf: ParentOf): StatelyEvent | undefined => {
  const ref = event.actorRef as AnyActor;
  switch (event.type) {
    case "@xstate.event":
      return {
        ...base(ref, parentOf),
        type: event.type,
        event: reduceEvent(event.event),
        sourceId: event.sourceRef?.sessionId,
      };
    case "@xstate.snapshot":
      return {
        ...base(ref, parentOf),
        type: event.type,
        event: reduceEvent(event.event),
        snapshot: seen(ref, event.snapshot),
      };
    default:
      return undefined;
  }
};

const base = (ref: AnyActor, parentOf: ParentOf): StatelyBase => ({
  rootId: rootOf(ref, parentOf).sessionId,
  sessionId: ref.sessionId,
  createdAt: String(Date.now()),
  id: "",
  _version: FORMAT_VERSION,
});

const rootOf = (ref: AnyActor, parentOf: ParentOf): AnyActor => {
  const parent = parentOf(ref);
  return parent === undefined ? ref : rootOf(parent, parentOf);
};

/** Sources' snapshots hold what they were given and what they found: nothing of it is told. */
const seen = ({ logic }: AnyActor, snapshot: { readonly status: string } | undefined): StatelySnapshot => {
  if (snapshot === undefined || !(logic instanceof StateMachine))
    return { status: snapshot?.status ?? "active" };
  const { status, value, context } = snapshot as AnyMachineSnapshot;
  return { status, value, context: reduceContext(String(logic.id), context) };
};

const definitions = new WeakMap<object, string>();

/** A machine's configuration: states, transitions, names. Functions become their names, as Stately has it. */
const definitionOf = ({ id, logic }: AnyActor): string => {
  if (!(logic instanceof StateMachine)) return JSON.stringify({ id });
  const { config } = logic as AnyStateMachine;
  const known = definitions.get(config);
  if (known !== undefined) return known;
  const definition = JSON.stringify(config, (_, value: unknown) =>
    typeof value === "function" ? { type: value.name } : value,
  );
  definitions.set(config, definition);
  return definition;
};
