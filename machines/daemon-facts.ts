/**
 * What the daemon's machine is told and keeps, and what it says to operators and to users: the words in which
 * machines/daemon.ts is written.
 */
import type { ErrorActorEvent } from "xstate";
import type { ConnectionAdmitted, ConnectionEvent, ConnectionInput } from "./connection-facts.ts";
import { type LogLine, type Refusal, refusalOf } from "./facts.ts";
import type { ServiceReport } from "./service.ts";

/** How many connections may be logging in at once, in the manner of OpenSSH's MaxStartups. */
export interface StartupLimit {
  /** Up to this many are let in. */
  readonly start: number;
  /** From `start` on this share is turned away, growing to all of them at `full`. */
  readonly ratePercent: number;
  readonly full: number;
}

/** What all connections begin with. */
export type ConnectionDefaults = Omit<ConnectionInput, "connectionId" | "remoteAddress">;

export interface DaemonInput {
  readonly services: readonly string[];
  /** Those of them that go on until the end: from them it is watched how the daemon stops. */
  readonly lastServices: readonly string[];
  readonly startups: StartupLimit;
  readonly connection: ConnectionDefaults;
  /** How long live connections may go on after a stop was requested. */
  readonly drainMillis: number;
}

export interface DaemonContext extends DaemonInput {
  readonly running: Readonly<Record<string, boolean>>;
  /** How many there are. */
  readonly connections: number;
  /** How many of them have not been granted a login yet. */
  readonly unauthenticated: number;
  readonly refusal: Refusal | undefined;
}

/** What the actor `connections` is told. It answers by `ConnectionReport`s. */
export type ConnectionsCommand =
  | { readonly type: "connection.begun"; readonly connectionId: string; readonly remoteAddress: string }
  /** For all that there are. */
  | Extract<ConnectionEvent, { readonly type: "drain.requested" | "disconnect.requested" }>;

/** What the daemon hears of the connections that it let in: of each one end, and before that one login at most. */
export type ConnectionReport =
  | ConnectionAdmitted
  /** It is closed and has given everything back. */
  | { readonly type: "connection.ended"; readonly connectionId: string; readonly wasAdmitted: boolean }
  /** Its machine threw: a bug of ours, which ends this connection and no other. */
  | {
      readonly type: "connection.crashed";
      readonly connectionId: string;
      readonly wasAdmitted: boolean;
      readonly error: unknown;
    };

export type DaemonEvent =
  | ServiceReport
  | {
      readonly type: "connection.offered";
      readonly connectionId: string;
      readonly remoteAddress: string;
      /** A random number from 0 to 1: chance is the outside world's, machines have none. */
      readonly lot: number;
    }
  | ConnectionReport
  | { readonly type: "stop.requested" }
  /** Something of this process threw, and nothing caught it: a bug of ours, or of a library. */
  | { readonly type: "exception.uncaught"; readonly error: unknown }
  | ErrorActorEvent;

export type DaemonOutcome = { readonly refusal: Refusal | undefined };

/** What the reference logs when a service can be reached. */
const AVAILABLE: Readonly<Record<string, string>> = {
  ssh: "SSH_AVAILABLE",
  health: "HEALTH_AVAILABLE",
  oauth2: "AUTH_OAUTH2_AVAILABLE",
  inspect: "INSPECT_AVAILABLE",
};

export const runningLine = ({ name }: { readonly name: string }): LogLine => ({
  level: "info",
  code: "SERVICE_RUNNING",
  message: `${name} is running`,
  details: { service: name },
});

export const availableLine = ({
  name,
  address,
}: {
  readonly name: string;
  readonly address: string;
}): LogLine => ({
  level: "notice",
  code: AVAILABLE[name] ?? "SERVICE_RUNNING",
  message: `${name} is available at ${address}`,
  details: { service: name, address },
});

export const allRunning: LogLine = {
  level: "info",
  code: "SERVICE_POOL_RUNNING",
  message: "All services are running",
};

export const crashLine = ({ name, refusal }: { name: string; refusal: Refusal }): LogLine => ({
  level: "error",
  code: refusal.code === "UNKNOWN_ERROR" ? "SERVICE_CRASHED" : refusal.code,
  message: refusal.message,
  details: { ...refusal.details, service: name },
});

export const uncaughtLine = (error: unknown): LogLine => {
  const { code, message, details } = refusalOf(error);
  return { level: "crit", code, message: `The daemon has to end: nothing caught ${message}`, details };
};

export const shutDown: Refusal = {
  code: "SSH_SHUTTING_DOWN",
  level: "info",
  userMessage: "The server has been shut down. Please connect again in a moment.",
  message: "The connection was ended because the daemon stops",
  details: {},
};

export const startingUp: Refusal = {
  code: "SSH_STARTING_UP",
  level: "info",
  userMessage: "The server is starting. Please connect again in a moment.",
  message: "A connection was turned away because the daemon is still starting",
  details: {},
};

/** The user reads what OpenSSH's server says. */
export const startupsExceeded = ({ unauthenticated, startups }: DaemonContext): Refusal => ({
  code: "SSH_STARTUPS_EXCEEDED",
  level: "warning",
  userMessage: "Exceeded MaxStartups",
  message: "A connection was turned away: too many are logging in at once",
  details: { unauthenticated, maxStartups: startups.full },
});

/** OpenSSH's random early drop: the share that is turned away grows from `ratePercent` at `start` to 1 at `full`. */
export const shareTurnedAway = (
  { start, ratePercent, full }: StartupLimit,
  unauthenticated: number,
): number => {
  if (unauthenticated < start) return 0;
  if (unauthenticated >= full) return 1;
  const rate = ratePercent / 100;
  return rate + ((1 - rate) * (unauthenticated - start)) / (full - start);
};

export const serviceId = (name: string): string => `service-${name}`;
