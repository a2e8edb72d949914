/** What the recorder keeps of each actor and of each connection while it lives, and of a connection afterwards. */
import type { AnyActor, AnyStateNode } from "xstate";
import type { ActorStatus, Move, RefusalSeen, Row } from "./format.ts";
import { Lines, type Place } from "./lines.ts";
import { referenceOf } from "./reference.ts";

/** A step that is being taken. */
export interface OpenStep {
  readonly place: Place;
  readonly at: number;
  readonly moves: Move[];
  told: boolean;
}

export interface WatchedActor {
  /** Its session ID. */
  readonly actor: string;
  /** Its ID among its parent's children. */
  readonly name: string;
  /** On the clock that measures durations. */
  readonly madeAt: number;
  /** Missing for promises and callbacks. */
  readonly machine: string | undefined;
  readonly owner: Owner;
  /** Events that were sent to it, until it has taken them. */
  readonly inbox: { readonly event: object; readonly from: string | undefined }[];
  active: readonly AnyStateNode[];
  step: OpenStep | undefined;
  /** The reason in its context, as it was last seen. */
  refusal: RefusalSeen | undefined;
  refusalRef: object | undefined;
  status: ActorStatus;
}

/** A connection, or the daemon with its services: whose trace an actor's lines belong to. */
export interface Owner {
  readonly lines: Lines;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** The same on the clock that measures durations. */
  readonly startedAtMonotonic: number;
  readonly actors: Set<AnyActor>;
  /** Bytes that are in the recorder's sum. */
  accountedBytes: number;
  /** Missing in the daemon's own. */
  readonly connection: WatchedConnection | undefined;
}

export interface WatchedConnection {
  row: Row;
  /** The last reason, told or not. */
  refusal: RefusalSeen | undefined;
  /** The last reason that was counted, and whose it was: the actors around it tell the same one on. */
  counted: { readonly actor: string; readonly code: string; readonly message: string } | undefined;
}

const owner = (connection: WatchedConnection | undefined): Owner => ({
  lines: new Lines(),
  startedAt: Date.now(),
  startedAtMonotonic: performance.now(),
  actors: new Set(),
  accountedBytes: 0,
  connection,
});

export const daemonOwner = (): Owner => owner(undefined);

export const connectionOwner = (id: string, remoteAddress: string): Owner => {
  const now = Date.now();
  return owner({
    row: {
      id,
      reference: referenceOf(id),
      remoteAddress,
      username: "",
      backend: "",
      environment: "",
      state: "",
      detail: "",
      sessions: 0,
      startedAt: now,
      since: now,
      loggedIn: false,
    },
    refusal: undefined,
    counted: undefined,
  });
};

/** Milliseconds since the owner began, to the hundredth. */
export const sinceStart = ({ startedAtMonotonic }: Owner): number =>
  Math.round((performance.now() - startedAtMonotonic) * 100) / 100;
