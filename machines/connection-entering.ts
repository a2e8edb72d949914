/** A connection before the login: who is it, may they come in, what do they get, and all of it in time. */
import { assign, not, raise, sendTo } from "xstate";
import { graceExpired, identityOf, lineOf, reportAnswered, shuttingDown } from "./connection-facts.ts";
import { connection } from "./connection-setup.ts";
import { authUnanswered, configUnanswered } from "./unanswered.ts";

export const entering = connection.createStateConfig({
  type: "parallel",
  invoke: {
    id: "authentication",
    src: "authentication",
    input: ({ context }) => context,
    onDone: [
      {
        guard: { type: "wasGranted", params: ({ event }) => event.output },
        target: "provisioning",
        actions: [
          "admit",
          {
            type: "log",
            params: ({ context }) =>
              lineOf(context, {
                level: "info",
                code: "SSH_HANDSHAKE_SUCCESSFUL",
                message: "The user is logged in",
                details: { backend: context.settings?.backend },
              }),
          },
        ],
      },
      {
        target: "closing",
        actions: [{ type: "keepVerdict", params: ({ event }) => event.output }, "logRefusal"],
      },
    ],
  },
  on: {
    "drain.requested": {
      target: "closing",
      actions: [{ type: "refuse", params: { refusal: shuttingDown } }, "logRefusal"],
    },
  },
  states: {
    login: {
      initial: "handshaking",
      states: {
        handshaking: {
          on: {
            "grace.expired": {
              target: "#connection.closing",
              actions: [{ type: "refuse", params: ({ event }) => event }, "logRefusal"],
            },
            "handshake.completed": {
              target: "authenticating",
              actions: [
                assign(({ event }) => ({ clientVersion: event.clientVersion })),
                {
                  type: "log",
                  params: ({ context, event }) =>
                    lineOf(context, {
                      level: "debug",
                      code: "SSH_KEX_COMPLETED",
                      message: "Keys were exchanged",
                      details: { clientVersion: event.clientVersion, algorithms: event.algorithms },
                    }),
                },
              ],
            },
          },
        },
        authenticating: {
          on: {
            "authentication.requested": { actions: sendTo("authentication", ({ event }) => event) },
            "authentication.abandoned": { actions: sendTo("authentication", ({ event }) => event) },
            "grace.expired": { actions: sendTo("authentication", ({ event }) => event) },
            "identity.verified": {
              target: "authorizing",
              actions: [
                assign(({ event }) => ({ identity: event.identity })),
                {
                  type: "log",
                  params: ({ context, event: { method } }) =>
                    lineOf(context, {
                      level: "info",
                      code: "SSH_AUTH_SUCCESSFUL",
                      message: "The user has proven who they are",
                      details: { method },
                    }),
                },
              ],
            },
            "identity.mismatched": {
              target: "reportingMismatch",
              actions: assign(({ event }) => ({ identity: event.identity })),
            },
          },
        },
        authorizing: {
          always: { guard: not("needsAuthorization"), target: "configuring" },
          invoke: {
            src: "authorize",
            input: ({ context }) => identityOf(context),
            onDone: {
              target: "configuring",
              actions: assign(({ event }) => ({ identity: event.output })),
            },
            onError: {
              target: "authenticating",
              actions: { type: "refuseLogin", params: ({ event }) => event },
            },
          },
          on: {
            "grace.expired": {
              target: "#connection.closing",
              actions: [
                { type: "refuse", params: { refusal: authUnanswered("authorization", {}) } },
                "logRefusal",
              ],
            },
          },
        },
        /** Authorization is told who asked for whose name. It can't let them in: there is no way on from here. */
        reportingMismatch: {
          always: { guard: not("needsAuthorization"), target: "authenticating", actions: "endReport" },
          invoke: {
            src: "authorize",
            input: ({ context }) => identityOf(context),
            onDone: { target: "authenticating", actions: "endReport" },
            onError: {
              target: "authenticating",
              actions: [
                { type: "log", params: ({ context, event }) => reportAnswered(context, event.error) },
                "endReport",
              ],
            },
          },
          after: { reportTimeout: { target: "authenticating", actions: "endReport" } },
          on: {
            "grace.expired": {
              target: "authenticating",
              actions: ["endReport", sendTo("authentication", ({ event }) => event)],
            },
          },
        },
        configuring: {
          invoke: {
            src: "configure",
            input: ({ context }) => identityOf(context),
            onDone: {
              actions: [
                assign(({ event }) => event.output),
                sendTo("authentication", { type: "login.granted" }),
              ],
            },
            onError: {
              target: "authenticating",
              actions: { type: "refuseLogin", params: ({ event }) => event },
            },
          },
          on: {
            "grace.expired": {
              target: "#connection.closing",
              actions: [{ type: "refuse", params: { refusal: configUnanswered } }, "logRefusal"],
            },
          },
        },
      },
    },
    /**
     * What clients do by themselves is done in a minute; a person with a browser may take longer, once. What it
     * means that time is over is for each state of the login to say.
     */
    patience: {
      initial: "ordinary",
      states: {
        ordinary: {
          on: { "interaction.began": { target: "interactive" } },
          after: {
            loginGrace: {
              target: "over",
              actions: raise(({ context }) => graceExpired(context.loginGraceMillis)),
            },
          },
        },
        interactive: {
          after: {
            interactiveGrace: {
              target: "over",
              actions: raise(({ context }) => graceExpired(context.interactiveGraceMillis)),
            },
          },
        },
        over: {},
      },
    },
  },
});
