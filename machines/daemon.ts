/**
 * The supervisor: starts the services, lets connections in or turns them away, keeps one connection's end from
 * touching another, and stops in order.
 */
import { assign, type ErrorActorEvent, setup } from "xstate";
import { connectionMachine } from "./connection.ts";
import type { ConnectionAdmitted, ConnectionEnded, ConnectionInput } from "./connection-facts.ts";
import { type LogLine, type Refusal, refusalOf } from "./facts.ts";
import { requiredAction } from "./required.ts";
import { type ServiceReport, serviceMachine } from "./service.ts";

/** How many connections may be logging in at once, in the manner of OpenSSH's MaxStartups. */
export interface StartupLimit {
  /** Up to this many are let in. */
  readonly start: number;
  /** From `start` on this share is turned away, growing to all of them at `full`. */
  readonly ratePercent: number;
  readonly full: number;
}

export interface DaemonInput {
  readonly services: readonly string[];
  /** Those of them that go on until the end: from them it is watched how the daemon stops. */
  readonly lastServices: readonly string[];
  readonly startups: StartupLimit;
  readonly connection: Omit<ConnectionInput, "connectionId" | "remoteAddress">;
  /** How long live connections may go on after a stop was requested. */
  readonly drainMillis: number;
}

export interface DaemonContext extends DaemonInput {
  readonly running: Readonly<Record<string, boolean>>;
  readonly connections: readonly string[];
  /** Connections that have not been granted a login yet. */
  readonly unauthenticated: readonly string[];
  readonly refusal: Refusal | undefined;
}

export type DaemonEvent =
  | ServiceReport
  | {
      readonly type: "connection.offered";
      readonly connectionId: string;
      readonly remoteAddress: string;
      /** A random number from 0 to 1: chance is the outside world's, machines have none. */
      readonly lot: number;
    }
  | ConnectionAdmitted
  | ConnectionEnded
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

const crashLine = ({ name, refusal }: { name: string; refusal: Refusal }): LogLine => ({
  level: "error",
  code: refusal.code === "UNKNOWN_ERROR" ? "SERVICE_CRASHED" : refusal.code,
  message: refusal.message,
  details: { ...refusal.details, service: name },
});

const shuttingDown: Refusal = {
  code: "SSH_SHUTTING_DOWN",
  level: "info",
  userMessage: "The server has been shut down. Please connect again in a moment.",
  message: "The connection was ended because the daemon stops",
  details: {},
};

/** OpenSSH's random early drop: the share that is turned away grows from `ratePercent` at `start` to 1 at `full`. */
const shareTurnedAway = ({ start, ratePercent, full }: StartupLimit, unauthenticated: number): number => {
  if (unauthenticated < start) return 0;
  if (unauthenticated >= full) return 1;
  const rate = ratePercent / 100;
  return rate + ((1 - rate) * (unauthenticated - start)) / (full - start);
};

const serviceId = (name: string): string => `service-${name}`;

const crashedActor = (event: DaemonEvent): string | undefined =>
  "actorId" in event ? event.actorId : undefined;

const daemon = setup({
  types: {
    input: {} as DaemonInput,
    context: {} as DaemonContext,
    events: {} as DaemonEvent,
    output: {} as DaemonOutcome,
  },
  actors: { connection: connectionMachine, service: serviceMachine },
  delays: {
    drainDeadline: ({ context }) => context.drainMillis,
    /** Every connection has its own limits for closing; this is for one that ignores them. */
    closeDeadline: ({ context }) =>
      context.connection.closeTimeoutMillis + context.connection.releaseTimeoutMillis + 1_000,
  },
  actions: {
    log: requiredAction<{ line: LogLine }>("log"),
    /** Gives the socket that was offered to the connection's actor. */
    admit: requiredAction<{ connectionId: string }>("admit"),
    /** Closes the socket that was offered. */
    turnAway: requiredAction<{ connectionId: string }>("turnAway"),
    /** Gives back what a connection held whose actor is gone without having done so. */
    abandon: requiredAction<{ connectionId: string }>("abandon"),
    keepReason: assign((_, { refusal }: { refusal: Refusal }) => ({ refusal })),
    markService: assign(({ context }, { name, running }: { name: string; running: boolean }) => ({
      running: { ...context.running, [name]: running },
    })),
    markAdmitted: assign(({ context }, { connectionId }: { connectionId: string }) => ({
      unauthenticated: context.unauthenticated.filter((id) => id !== connectionId),
    })),
  },
  guards: {
    allServicesRun: ({ context }) => context.services.every((name) => context.running[name]),
    mayEnter: ({ context }, { lot }: { lot: number }) =>
      lot >= shareTurnedAway(context.startups, context.unauthenticated.length),
    /** Whether it is a service's own actor that threw, which no other actor will start again. */
    wasService: ({ context }, { actorId }: ErrorActorEvent) =>
      context.services.some((name) => serviceId(name) === actorId),
    nobodyIsLeft: ({ context }) => context.connections.length === 0,
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
    letIn: daemon.enqueueActions(({ context, event, enqueue }) => {
      if (event.type !== "connection.offered") return;
      const { connectionId, remoteAddress } = event;
      enqueue.assign({
        connections: [...context.connections, connectionId],
        unauthenticated: [...context.unauthenticated, connectionId],
      });
      enqueue.spawnChild("connection", {
        id: connectionId,
        input: { ...context.connection, connectionId, remoteAddress },
      });
      enqueue({ type: "admit", params: { connectionId } });
    }),
    forget: daemon.enqueueActions(({ context, event, enqueue }) => {
      const connectionId = event.type === "connection.ended" ? event.connectionId : crashedActor(event);
      if (connectionId === undefined) return;
      enqueue.assign({
        connections: context.connections.filter((id) => id !== connectionId),
        unauthenticated: context.unauthenticated.filter((id) => id !== connectionId),
      });
      enqueue.stopChild(connectionId);
      enqueue({ type: "abandon", params: { connectionId } });
    }),
    tellToDrain: daemon.enqueueActions(({ context, enqueue }) => {
      const notice = `The server is shutting down. This connection ends in ${Math.round(context.drainMillis / 1000)} seconds.`;
      for (const id of context.connections) enqueue.sendTo(id, { type: "drain.requested", notice });
    }),
    tellToEnd: daemon.enqueueActions(({ context, enqueue }) => {
      for (const id of context.connections)
        enqueue.sendTo(id, { type: "disconnect.requested", refusal: shuttingDown });
    }),
  },
});

export const daemonMachine = supervisor.createMachine({
  id: "daemon",
  context: ({ input }) => ({
    ...input,
    running: {},
    connections: [],
    unauthenticated: [],
    refusal: undefined,
  }),
  output: ({ context }) => ({ refusal: context.refusal }),
  initial: "starting",
  entry: "startServices",
  on: {
    "service.running": {
      actions: [
        { type: "markService", params: ({ event }) => ({ name: event.name, running: true }) },
        {
          type: "log",
          params: ({ event }) => ({
            line: {
              level: "notice",
              code: AVAILABLE[event.name] ?? "SERVICE_RUNNING",
              message: `${event.name} is available at ${event.address}`,
              details: { service: event.name, address: event.address },
            },
          }),
        },
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
    "connection.offered": { actions: { type: "turnAway", params: ({ event }) => event } },
    "connection.admitted": { actions: { type: "markAdmitted", params: ({ event }) => event } },
    "connection.ended": { actions: "forget" },
    // An actor that threw is a bug of ours: a connection is the only one it takes with it, a service takes the daemon.
    "xstate.error.actor.*": [
      {
        guard: { type: "wasService", params: ({ event }) => event },
        target: ".failing",
        actions: [
          { type: "keepReason", params: ({ event }) => ({ refusal: refusalOf(event.error) }) },
          {
            type: "log",
            params: ({ event }) => ({
              line: {
                ...crashLine({ name: event.actorId ?? "", refusal: refusalOf(event.error) }),
                level: "crit",
              },
            }),
          },
        ],
      },
      {
        actions: [
          "forget",
          {
            type: "log",
            params: ({ event }) => ({
              line: { ...refusalOf(event.error), details: { connectionId: event.actorId ?? "" } },
            }),
          },
        ],
      },
    ],
  },
  states: {
    starting: {
      always: { guard: "allServicesRun", target: "running" },
      on: { "stop.requested": { target: "stopped" } },
    },
    running: {
      on: {
        "connection.offered": [
          { guard: { type: "mayEnter", params: ({ event }) => event }, actions: "letIn" },
          {
            actions: [
              { type: "turnAway", params: ({ event }) => event },
              {
                type: "log",
                params: ({ context, event }) => ({
                  line: {
                    level: "warning",
                    code: "SSH_STARTUPS_EXCEEDED",
                    message: "A connection was turned away: too many are logging in at once",
                    details: {
                      remoteAddress: event.remoteAddress,
                      unauthenticated: context.unauthenticated.length,
                      maxStartups: context.startups.full,
                    },
                  },
                }),
              },
            ],
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
