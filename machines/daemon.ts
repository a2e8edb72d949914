/**
 * The supervisor: starts the services, lets connections in or turns them away, keeps one connection's end from
 * touching another, and stops in order.
 */
import { assign, sendTo, setup } from "xstate";
import { shuttingDown } from "./connection-facts.ts";
import {
  allRunning,
  availableLine,
  type ConnectionDefaults,
  type ConnectionsCommand,
  crashLine,
  type DaemonContext,
  type DaemonEvent,
  type DaemonInput,
  type DaemonOutcome,
  runningLine,
  serviceId,
  shareTurnedAway,
  shutDown,
  startingUp,
  startupsExceeded,
  uncaughtLine,
} from "./daemon-facts.ts";
import { type LogLine, type Refusal, refusalOf } from "./facts.ts";
import { requiredAction, requiredSource } from "./required.ts";
import { serviceMachine } from "./service.ts";

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
    /** What it has left undone is not known: everybody is told, and whoever supervises the process starts it anew. */
    "exception.uncaught": {
      target: ".failing",
      actions: [
        { type: "keepReason", params: ({ event }) => ({ refusal: refusalOf(event.error) }) },
        { type: "log", params: ({ event }) => ({ line: uncaughtLine(event.error) }) },
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
      on: {
        "stop.requested": { target: "failed" },
        "exception.uncaught": {
          actions: { type: "log", params: ({ event }) => ({ line: uncaughtLine(event.error) }) },
        },
      },
    },
    stopped: { type: "final" },
    failed: { type: "final" },
  },
});
