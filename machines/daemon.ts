/**
 * The supervisor: starts the services, lets connections in or turns them away, keeps one connection's end from
 * touching another, and stops in order.
 */
import { assign, type ErrorActorEvent, sendTo, setup } from "xstate";
import {
  type ConnectionAdmitted,
  type ConnectionEvent,
  type ConnectionInput,
  shuttingDown,
} from "./connection-facts.ts";
import { type LogLine, type Refusal, refusalOf } from "./facts.ts";
import { requiredAction, requiredSource } from "./required.ts";
import { type ServiceReport, serviceMachine } from "./service.ts";

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
  | ErrorActorEvent;

export type DaemonOutcome = { readonly refusal: Refusal | undefined };

/** What the reference logs when a service can be reached. */
const AVAILABLE: Readonly<Record<string, string>> = {
  ssh: "SSH_AVAILABLE",
  health: "HEALTH_AVAILABLE",
  oauth2: "AUTH_OAUTH2_AVAILABLE",
  inspect: "INSPECT_AVAILABLE",
};

const runningLine = ({ name }: { readonly name: string }): LogLine => ({
  level: "info",
  code: "SERVICE_RUNNING",
  message: `${name} is running`,
  details: { service: name },
});

const availableLine = ({ name, address }: { readonly name: string; readonly address: string }): LogLine => ({
  level: "notice",
  code: AVAILABLE[name] ?? "SERVICE_RUNNING",
  message: `${name} is available at ${address}`,
  details: { service: name, address },
});

const allRunning: LogLine = {
  level: "info",
  code: "SERVICE_POOL_RUNNING",
  message: "All services are running",
};

const crashLine = ({ name, refusal }: { name: string; refusal: Refusal }): LogLine => ({
  level: "error",
  code: refusal.code === "UNKNOWN_ERROR" ? "SERVICE_CRASHED" : refusal.code,
  message: refusal.message,
  details: { ...refusal.details, service: name },
});

const shutDown: Refusal = {
  code: "SSH_SHUTTING_DOWN",
  level: "info",
  userMessage: "The server has been shut down. Please connect again in a moment.",
  message: "The connection was ended because the daemon stops",
  details: {},
};

const startingUp: Refusal = {
  code: "SSH_STARTING_UP",
  level: "info",
  userMessage: "The server is starting. Please connect again in a moment.",
  message: "A connection was turned away because the daemon is still starting",
  details: {},
};

/** The user reads what OpenSSH's server says. */
const startupsExceeded = ({ unauthenticated, startups }: DaemonContext): Refusal => ({
  code: "SSH_STARTUPS_EXCEEDED",
  level: "warning",
  userMessage: "Exceeded MaxStartups",
  message: "A connection was turned away: too many are logging in at once",
  details: { unauthenticated, maxStartups: startups.full },
});

/** OpenSSH's random early drop: the share that is turned away grows from `ratePercent` at `start` to 1 at `full`. */
const shareTurnedAway = ({ start, ratePercent, full }: StartupLimit, unauthenticated: number): number => {
  if (unauthenticated < start) return 0;
  if (unauthenticated >= full) return 1;
  const rate = ratePercent / 100;
  return rate + ((1 - rate) * (unauthenticated - start)) / (full - start);
};

const serviceId = (name: string): string => `service-${name}`;

const daemon = setup({
  types: {
    input: {} as DaemonInput,
    context: {} as DaemonContext,
    events: {} as DaemonEvent,
    output: {} as DaemonOutcome,
  },
  actors: {
    /** Begins connections and tells of them. */
    connections: requiredSource<ConnectionsCommand, ConnectionDefaults>("connections"),
    service: serviceMachine,
  },
  delays: {
    drainDeadline: ({ context }) => context.drainMillis,
    /** Every connection has its own limits for closing; this is for one that ignores them. */
    closeDeadline: ({ context }) =>
      context.connection.closeTimeoutMillis + context.connection.releaseTimeoutMillis + 1_000,
  },
  actions: {
    log: requiredAction<{ line: LogLine }>("log"),
    /** Closes the socket that was offered, with a sentence, and logs why. */
    turnAway: requiredAction<{ connectionId: string; remoteAddress: string; refusal: Refusal }>("turnAway"),
    keepReason: assign((_, { refusal }: { refusal: Refusal }) => ({ refusal })),
    markService: assign(({ context }, { name, running }: { name: string; running: boolean }) => ({
      running: { ...context.running, [name]: running },
    })),
    countIn: assign(({ context }) => ({
      connections: context.connections + 1,
      unauthenticated: context.unauthenticated + 1,
    })),
    countLogin: assign(({ context }) => ({ unauthenticated: context.unauthenticated - 1 })),
    countOut: assign(({ context }, { wasAdmitted }: { wasAdmitted: boolean }) => ({
      connections: context.connections - 1,
      unauthenticated: context.unauthenticated - (wasAdmitted ? 0 : 1),
    })),
    begin: sendTo(
      "connections",
      (
        _,
        { connectionId, remoteAddress }: { connectionId: string; remoteAddress: string },
      ): ConnectionsCommand => ({ type: "connection.begun", connectionId, remoteAddress }),
    ),
    tellToDrain: sendTo(
      "connections",
      ({ context }): ConnectionsCommand => ({
        type: "drain.requested",
        notice: `The server is shutting down. This connection ends in ${Math.round(context.drainMillis / 1000)} seconds.`,
      }),
    ),
    tellToEnd: sendTo("connections", {
      type: "disconnect.requested",
      refusal: shutDown,
    } satisfies ConnectionsCommand),
  },
  guards: {
    allServicesRun: ({ context }) => context.services.every((name) => context.running[name]),
    mayEnter: ({ context }, { lot }: { lot: number }) =>
      lot >= shareTurnedAway(context.startups, context.unauthenticated),
    nobodyIsLeft: ({ context }) => context.connections === 0,
  },
});

const supervisor = daemon.extend({
  actions: {
    startServices: daemon.enqueueActions(({ context, enqueue }) => {
      for (const name of context.services)
        enqueue.spawnChild("service", { id: serviceId(name), input: { name } });
    }),
    stopServices: daemon.enqueueActions(({ context, enqueue }) => {
      for (const name of context.services) {
        if (!context.lastServices.includes(name)) enqueue.stopChild(serviceId(name));
      }
    }),
  },
});

export const daemonMachine = supervisor.createMachine({
  id: "daemon",
  context: ({ input }) => ({
    ...input,
    running: {},
    connections: 0,
    unauthenticated: 0,
    refusal: undefined,
  }),
  output: ({ context }) => ({ refusal: context.refusal }),
  initial: "starting",
  entry: "startServices",
  invoke: { id: "connections", src: "connections", input: ({ context }) => context.connection },
  on: {
    "service.running": {
      actions: [
        { type: "markService", params: ({ event }) => ({ name: event.name, running: true }) },
        { type: "log", params: ({ event }) => ({ line: runningLine(event) }) },
        { type: "log", params: ({ event }) => ({ line: availableLine(event) }) },
      ],
    },
    "service.restarting": {
      actions: [
        { type: "markService", params: ({ event }) => ({ name: event.name, running: false }) },
        { type: "log", params: ({ event }) => ({ line: crashLine(event) }) },
      ],
    },
    "service.gaveUp": {
      target: ".failing",
      actions: [
        { type: "markService", params: ({ event }) => ({ name: event.name, running: false }) },
        { type: "keepReason", params: ({ event }) => event },
        { type: "log", params: ({ event }) => ({ line: { ...crashLine(event), level: "crit" } }) },
      ],
    },
    /** Where it says nothing else, the daemon is on its way out. */
    "connection.offered": {
      actions: { type: "turnAway", params: ({ event }) => ({ ...event, refusal: shuttingDown }) },
    },
    "connection.admitted": { actions: "countLogin" },
    "connection.ended": { actions: { type: "countOut", params: ({ event }) => event } },
    "connection.crashed": {
      actions: [
        { type: "countOut", params: ({ event }) => event },
        {
          type: "log",
          params: ({ event: { connectionId, error } }) => ({
            line: { ...refusalOf(error), details: { connectionId } },
          }),
        },
      ],
    },
    /** What looks after connections, or after a service, threw: a bug of ours that the daemon can't live with. */
    "xstate.error.actor.*": {
      target: ".failing",
      actions: [
        { type: "keepReason", params: ({ event }) => ({ refusal: refusalOf(event.error) }) },
        {
          type: "log",
          params: ({ event: { actorId = "", error } }) => ({
            line: { ...crashLine({ name: actorId, refusal: refusalOf(error) }), level: "crit" },
          }),
        },
      ],
    },
  },
  states: {
    starting: {
      always: {
        guard: "allServicesRun",
        target: "running",
        actions: { type: "log", params: { line: allRunning } },
      },
      on: {
        "connection.offered": {
          actions: { type: "turnAway", params: ({ event }) => ({ ...event, refusal: startingUp }) },
        },
        "stop.requested": { target: "stopped" },
      },
    },
    running: {
      on: {
        "connection.offered": [
          {
            guard: { type: "mayEnter", params: ({ event }) => event },
            actions: ["countIn", { type: "begin", params: ({ event }) => event }],
          },
          {
            actions: {
              type: "turnAway",
              params: ({ context, event }) => ({ ...event, refusal: startupsExceeded(context) }),
            },
          },
        ],
        "stop.requested": { target: "draining" },
      },
    },
    /** A second request to stop, in any of these states, ends it at once. */
    draining: {
      entry: ["stopServices", "tellToDrain"],
      always: { guard: "nobodyIsLeft", target: "stopped" },
      after: { drainDeadline: { target: "closing" } },
      on: { "stop.requested": { target: "stopped" } },
    },
    closing: {
      entry: "tellToEnd",
      always: { guard: "nobodyIsLeft", target: "stopped" },
      after: { closeDeadline: { target: "stopped" } },
      on: { "stop.requested": { target: "stopped" } },
    },
    /** A service that keeps failing takes the daemon down, after everybody was told. */
    failing: {
      entry: ["stopServices", "tellToEnd"],
      always: { guard: "nobodyIsLeft", target: "failed" },
      after: { closeDeadline: { target: "failed" } },
      on: { "stop.requested": { target: "failed" } },
    },
    stopped: { type: "final" },
    failed: { type: "final" },
  },
});
