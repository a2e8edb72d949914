/**
 * What the inspector tells: rows of the overview, traces of connections, and the messages of its WebSocket. The page
 * reads the same types, and a trace that was saved as a file is a `Trace` as JSON. Nothing here may hold a secret:
 * `reduce.ts` says what may pass.
 */
import type { Level } from "../../machines/facts.ts";

/** The WebSocket's subprotocol for the page; without it the WebSocket speaks the format of `@statelyai/inspect`. */
export const SUBPROTOCOL = "berth.inspect.v1";
/** A browser cannot give a WebSocket a header: it offers the token as a second subprotocol with this prefix. */
export const BEARER_PREFIX = "bearer.";

export type StateValue = string | { readonly [region: string]: StateValue };

/** A field of an event or of a log line. */
export type Plain = string | number | boolean;
export type Fields = Readonly<Record<string, Plain | Readonly<Record<string, Plain>>>>;

/** Why something was refused, as the log has it, and the sentence for the user. */
export interface RefusalSeen {
  readonly code: string;
  readonly level: Level;
  readonly message: string;
  readonly userMessage: string;
  readonly details: Readonly<Record<string, Plain>>;
}

export type ActorStatus = "active" | "done" | "error" | "stopped";

/** An actor was made. Promises and callbacks have no machine. */
export interface ActorLine {
  readonly type: "actor";
  /** Milliseconds since the trace's `startedAt`, here and in every other line. */
  readonly at: number;
  /** XState's session ID, such as `x:12`. */
  readonly actor: string;
  readonly parent?: string;
  /** Its ID among its parent's children: `authentication`, `session-3`. */
  readonly name: string;
  /** By which name its parent's machine knows its logic: `checkPassword`. */
  readonly src?: string;
  /** The machine's ID. */
  readonly machine?: string;
}

/** One microstep: the transitions that were taken at once, and the state after them. */
export interface Move {
  /** The type of the event where it is another than the step's: one that the machine raised itself. */
  readonly event?: string;
  /** As `machines/transition-id.ts` names them. None: the step into the initial state, or nobody took the event. */
  readonly transitions: readonly string[];
  readonly value: StateValue;
}

/** What a machine did with one event. */
export interface StepLine {
  readonly type: "step";
  readonly at: number;
  readonly actor: string;
  /** Who sent the event. */
  readonly from?: string;
  readonly event: { readonly type: string } & Fields;
  /** Every microstep, in order. */
  readonly moves: readonly Move[];
  readonly status: ActorStatus;
  /** The reason that this step brought up. */
  readonly refusal?: RefusalSeen;
  /** Whether the user was told the reason in this step. */
  readonly told?: true;
}

/** An actor that is no machine has ended. */
export interface EndLine {
  readonly type: "end";
  readonly at: number;
  readonly actor: string;
  readonly status: ActorStatus;
}

export interface LogLineSeen {
  readonly type: "log";
  readonly at: number;
  readonly level: Level;
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, Plain>>;
}

export type Line = ActorLine | StepLine | EndLine | LogLineSeen;

/** A connection at a glance. Times are milliseconds since the epoch. */
export interface Row {
  readonly id: string;
  readonly reference: string;
  readonly remoteAddress: string;
  /** Empty until somebody tried to log in. */
  readonly username: string;
  /** Empty until the login was granted. */
  readonly backend: string;
  readonly environment: string;
  /** Where the connection's machine is, by names of states with dots between: `entering.login.authenticating`. */
  readonly state: string;
  /** Where the innermost machine it waits for is: `docker: container.creating`; empty when it waits for none. */
  readonly detail: string;
  /** How many session channels are open. */
  readonly sessions: number;
  readonly startedAt: number;
  /** When `state` was entered. */
  readonly since: number;
  /** Missing while it lives. */
  readonly endedAt?: number;
  /** The code of the last reason the user was told, or the connection ended with; none of before a granted login. */
  readonly code?: string | undefined;
  /** Whether a login was granted. */
  readonly loggedIn: boolean;
}

export const TRACE_FORMAT = "berth-trace";
export const TRACE_VERSION = 1;

export interface Trace {
  readonly format: typeof TRACE_FORMAT;
  readonly version: typeof TRACE_VERSION;
  /** The connection this is the trace of; missing in the daemon's own. */
  readonly connection?: Row;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  /** How many lines were left out of the middle, to keep memory bounded. */
  readonly dropped: number;
  readonly lines: readonly Line[];
}

/** What happened in one minute. */
export interface Minute {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly logins: number;
  readonly refusals: number;
}

export interface RefusalCount {
  readonly code: string;
  readonly count: number;
  readonly lastAt: number;
  readonly message: string;
  /** Of the last connection it happened to; empty when it was turned away before it was one. */
  readonly reference: string;
}

/** How long one state of a machine lasted, of those in which the machine waits for a source's answer. */
export interface StateTime {
  /** The state's ID: `docker.container.creating`. */
  readonly state: string;
  readonly count: number;
  readonly meanMillis: number;
  /** 95% of the times were at most this, give or take a fifth. */
  readonly p95Millis: number;
  readonly longestMillis: number;
}

export interface Visits {
  /** How often each state was entered, by its ID. */
  readonly states: Readonly<Record<string, number>>;
  /** How often each transition was taken, by its ID. */
  readonly transitions: Readonly<Record<string, number>>;
}

export interface Statistics {
  readonly startedAt: number;
  readonly logins: number;
  readonly refusals: number;
  /** The last hour, the oldest first; minutes in which nothing happened are left out. */
  readonly minutes: readonly Minute[];
  readonly refusalsByCode: readonly RefusalCount[];
  /** The slowest first. */
  readonly slowest: readonly StateTime[];
}

/** What the page gets: first `hello`, then, as `changes`, all rows there are, in pieces, between what is new. */
export type ServerMessage =
  | {
      readonly type: "hello";
      readonly version: string;
      /** The server's clock, in milliseconds since the epoch. */
      readonly now: number;
      readonly allowControl: boolean;
      readonly daemon: Trace;
      readonly statistics: Statistics;
    }
  | {
      readonly type: "changes";
      readonly now: number;
      readonly rows: readonly Row[];
      /** Connections that memory had no more room for. */
      readonly forgotten: readonly string[];
      readonly daemon: readonly Line[];
      readonly statistics?: Statistics;
    }
  /** The connection that is followed: everything so far, then what comes. */
  | { readonly type: "trace"; readonly trace: Trace }
  | { readonly type: "lines"; readonly connectionId: string; readonly lines: readonly Line[] };

/** What the page says. */
export type ClientMessage =
  /** `undefined` follows nobody. */
  { readonly type: "follow"; readonly connectionId?: string };

/** The active states of a value that have no active state within, with dots: `["entering.login.authenticating", …]`. */
export const leavesOf = (value: StateValue): readonly string[] =>
  typeof value === "string"
    ? [value]
    : Object.entries(value).flatMap(([region, inner]) =>
        leavesOf(inner).map((leaf) => (leaf === "" ? region : `${region}.${leaf}`)),
      );
