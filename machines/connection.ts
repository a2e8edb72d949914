/**
 * One SSH connection, from the socket to its last byte: who is it, may they come in, what do they get, where do
 * their programs run, and why did it end. A reader of this file, of machines/connection-entering.ts for everything
 * before the login, and of machines/provisioning.ts for the place programs run in, should understand the product.
 */
import { not } from "xstate";
import { entering } from "./connection-entering.ts";
import {
  farewell,
  forwardingOf,
  lineOf,
  notForwarded,
  provisioningOf,
  rejected,
  releaseTimedOut,
  sessionsOf,
  shuttingDown,
} from "./connection-facts.ts";
import { connection } from "./connection-setup.ts";
import { refusalOf } from "./facts.ts";

export const connectionMachine = connection.createMachine({
  id: "connection",
  context: ({ input }) => ({
    ...input,
    clientVersion: "",
    identity: undefined,
    settings: undefined,
    environment: undefined,
    sessions: [],
    refusal: undefined,
  }),
  output: ({ context }) => ({ refusal: context.refusal }),
  initial: "entering",
  on: {
    "peer.disconnected": { target: ".closing" },
    "peer.failed": {
      target: ".closing",
      actions: [{ type: "refuse", params: ({ event }) => event }, "logRefusal"],
    },
    "disconnect.requested": {
      target: ".closing",
      actions: [{ type: "refuse", params: ({ event }) => event }, "logRefusal"],
    },
    "xstate.error.actor.*": {
      target: ".closing",
      actions: [
        { type: "refuse", params: ({ event }) => ({ refusal: refusalOf(event.error) }) },
        "logRefusal",
      ],
    },
    "forwarding.requested": [
      // There is a policy when somebody is logged in.
      { guard: not("hasSettings") },
      {
        guard: { type: "mayForward", params: ({ context, event }) => forwardingOf(context, event) },
        actions: { type: "log", params: ({ context, event }) => notForwarded(context, event) },
      },
      {
        actions: {
          type: "logForwardingRefusal",
          params: ({ context, event }) => forwardingOf(context, event),
        },
      },
    ],
    "session.requested": {
      actions: "tellSession",
    },
    "session.closed": { actions: "tellSession" },
    "session.ended": { actions: "forgetSession" },
  },
  states: {
    /** Nothing is given to anybody before all of this has said yes, in time. */
    entering,

    /** Sessions may be opened and prepared already; their programs wait for the environment. */
    provisioning: {
      invoke: {
        src: "provisioning",
        input: ({ context }) => provisioningOf(context),
        onDone: [
          {
            guard: { type: "isReady", params: ({ event }) => event.output },
            target: "serving",
            actions: { type: "keepEnvironment", params: ({ event }) => event.output },
          },
          {
            target: "refusing",
            actions: [
              { type: "keepEnvironment", params: ({ event }) => event.output },
              "logRefusal",
              { type: "log", params: ({ context }) => lineOf(context, rejected(context)) },
            ],
          },
        ],
      },
      on: {
        "session.opened": [
          {
            guard: { type: "mayOpenSession", params: ({ context }) => sessionsOf(context) },
            actions: "openSession",
          },
          { actions: { type: "logSessionRefusal", params: ({ context }) => sessionsOf(context) } },
        ],
        "drain.requested": {
          target: "refusing",
          actions: [{ type: "refuse", params: { refusal: shuttingDown } }, "logRefusal"],
        },
      },
    },

    serving: {
      entry: "tellSessions",
      initial: "open",
      on: {
        "environment.lost": [
          {
            guard: "hasNoSessions",
            target: "closing",
            actions: [{ type: "refuse", params: ({ event }) => event }, "logRefusal"],
          },
          {
            target: "refusing",
            actions: [{ type: "refuse", params: ({ event }) => event }, "logRefusal"],
          },
        ],
      },
      states: {
        open: {
          on: {
            "session.opened": [
              {
                guard: { type: "mayOpenSession", params: ({ context }) => sessionsOf(context) },
                actions: "openSession",
              },
              { actions: { type: "logSessionRefusal", params: ({ context }) => sessionsOf(context) } },
            ],
            "drain.requested": {
              target: "draining",
              actions: {
                type: "notifyTerminals",
                params: ({ context, event }) => ({ ...context, text: event.notice }),
              },
            },
          },
        },
        draining: {
          always: {
            guard: "hasNoSessions",
            target: "#connection.closing",
            actions: [{ type: "refuse", params: { refusal: shuttingDown } }, "logRefusal"],
          },
        },
      },
    },

    /** There is no environment: every session, also one yet to be opened, is told why, and then it is over. */
    refusing: {
      entry: "tellSessions",
      on: {
        "session.opened": {
          actions: ["openSession", "tellSessions"],
        },
        "session.ended": [
          {
            guard: "isLastSession",
            target: "closing",
            actions: "forgetSession",
          },
          { actions: "forgetSession" },
        ],
      },
      after: { closeTimeout: { target: "closing" } },
    },

    closing: {
      entry: { type: "disconnect", params: ({ context }) => farewell(context) },
      invoke: {
        src: "release",
        input: ({ context }) => context,
        onDone: { target: "closed" },
        onError: {
          target: "closed",
          actions: { type: "log", params: ({ context, event }) => lineOf(context, refusalOf(event.error)) },
        },
      },
      after: {
        releaseTimeout: {
          target: "closed",
          actions: { type: "log", params: ({ context }) => lineOf(context, releaseTimedOut(context)) },
        },
      },
      on: {
        "peer.disconnected": {},
        "peer.failed": {},
        "disconnect.requested": {},
      },
    },
    closed: {
      type: "final",
      entry: {
        type: "log",
        params: ({ context }) =>
          lineOf(context, { level: "info", code: "SSH_DISCONNECTED", message: "The connection is closed" }),
      },
    },
  },
});
