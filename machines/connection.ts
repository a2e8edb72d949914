/**
 * One SSH connection, from the socket to its last byte: who is it, may they come in, what do they get, where do
 * their programs run, and why did it end. A reader of this file should understand the product.
 */
import { assign, emit, not, raise, sendTo, setup } from "xstate";
import { type AuthenticationOutcome, authenticationMachine } from "./authentication.ts";
import {
  backendMissing,
  type ConnectionAdmitted,
  type ConnectionContext,
  type ConnectionEvent,
  type ConnectionInput,
  channelOf,
  type DisconnectReason,
  type ForwardingOfConnection,
  farewell,
  forwardingOf,
  graceExpired,
  type IdentityOfConnection,
  identityOf,
  lineOf,
  notForwarded,
  provisioningOf,
  rejected,
  releaseTimedOut,
  type SessionRequestOfConnection,
  sessionId,
  sessionsOf,
  shuttingDown,
} from "./connection-facts.ts";
import { dockerMachine } from "./docker.ts";
import {
  type BackendName,
  type Identity,
  type LogLine,
  type ProvisioningOutcome,
  type Refusal,
  refusalOf,
  type Settings,
} from "./facts.ts";
import { kubernetesMachine } from "./kubernetes.ts";
import { processMachine } from "./process.ts";
import { required, requiredAction, requiredGuard } from "./required.ts";
import { sessionMachine } from "./session.ts";
import { sshProxyMachine } from "./sshproxy.ts";
import { authUnanswered, configUnanswered } from "./unanswered.ts";

const connection = setup({
  types: {
    input: {} as ConnectionInput,
    context: {} as ConnectionContext,
    events: {} as ConnectionEvent,
    emitted: {} as ConnectionAdmitted,
    output: {} as { readonly refusal: Refusal | undefined },
  },
  actors: {
    authentication: authenticationMachine,
    session: sessionMachine,
    docker: dockerMachine,
    kubernetes: kubernetesMachine,
    process: processMachine,
    sshproxy: sshProxyMachine,
    authorize: required<Identity, IdentityOfConnection>("authorize"),
    configure: required<{ identity: Identity; settings: Settings }, IdentityOfConnection>("configure"),
    release: required<void, { connectionId: string }>("release"),
  },
  delays: {
    loginGrace: ({ context }) => context.loginGraceMillis,
    interactiveGrace: ({ context }) => context.interactiveGraceMillis,
    closeTimeout: ({ context }) => context.closeTimeoutMillis,
    releaseTimeout: ({ context }) => context.releaseTimeoutMillis,
  },
  actions: {
    log: requiredAction<{ connectionId: string; line: LogLine }>("log"),
    /** Confirms the channel at hand; one that no step accepted is refused by src/ssh. */
    acceptChannel: requiredAction<{ connectionId: string; channel: number }>("acceptChannel"),
    /** Says which option of the policy refused a session. */
    logSessionRefusal: requiredAction<SessionRequestOfConnection>("logSessionRefusal"),
    /** Says which option of the policy refused a wish for forwarding. */
    logForwardingRefusal: requiredAction<ForwardingOfConnection>("logForwardingRefusal"),
    /** A line for everybody who sits at a terminal. */
    notifyTerminals: requiredAction<{ connectionId: string; text: string }>("notifyTerminals"),
    /** SSH_MSG_DISCONNECT, then the end of the socket. */
    disconnect: requiredAction<{ connectionId: string; reason: DisconnectReason; text: string }>(
      "disconnect",
    ),

    keepVerdict: assign((_, outcome: AuthenticationOutcome) =>
      outcome.kind === "refused" ? { refusal: outcome.refusal } : {},
    ),
    refuse: assign((_, { refusal }: { refusal: Refusal }) => ({ refusal })),
    keepEnvironment: assign((_, outcome: ProvisioningOutcome) =>
      outcome.kind === "ready" ? { environment: outcome.environment } : { refusal: outcome.refusal },
    ),
    /** The verdict on a proven identity goes back to the conversation, which may have attempts left. */
    refuseLogin: sendTo("authentication", (_, { error }: { error: unknown }) => ({
      type: "login.refused",
      refusal: refusalOf(error),
    })),
    admit: emit(
      ({ context }): ConnectionAdmitted => ({
        type: "connection.admitted",
        connectionId: context.connectionId,
      }),
    ),
  },
  guards: {
    wasGranted: (_, { kind }: AuthenticationOutcome) => kind === "granted",
    hasSettings: ({ context }) => context.settings !== undefined,
    hasEnvironment: ({ context }) => context.environment !== undefined,
    runsOn: ({ context }, { backend }: { backend: BackendName }) => context.settings?.backend === backend,
    needsAuthorization: ({ context }) => context.authorizes,
    /** Whether the policy allows one more session next to those that are open. */
    mayOpenSession: requiredGuard<SessionRequestOfConnection>("mayOpenSession"),
    /** Whether the policy allows this kind of forwarding. */
    mayForward: requiredGuard<ForwardingOfConnection>("mayForward"),
    hasNoSessions: ({ context }) => context.sessions.length === 0,
    isLastSession: ({ context }) => context.sessions.length <= 1,
  },
});

const compound = connection.extend({
  actions: {
    logRefusal: connection.enqueueActions(({ context, enqueue }) => {
      if (context.refusal !== undefined) enqueue({ type: "log", params: lineOf(context, context.refusal) });
    }),
    openSession: connection.enqueueActions(({ context, event, enqueue }) => {
      const { connectionId, environment, closeTimeoutMillis } = context;
      const { settings } = provisioningOf(context);
      const channel = channelOf(event);
      enqueue.assign({ sessions: [...context.sessions, channel] });
      enqueue.spawnChild("session", {
        id: sessionId(channel),
        input: { connectionId, channel, environment, settings, closeTimeoutMillis },
      });
      enqueue({ type: "acceptChannel", params: { connectionId, channel } });
    }),
    forgetSession: connection.enqueueActions(({ context, event, enqueue }) => {
      const channel = channelOf(event);
      enqueue.assign({ sessions: context.sessions.filter((open) => open !== channel) });
      enqueue.stopChild(sessionId(channel));
    }),
    tellSession: connection.enqueueActions(({ context, event, enqueue }) => {
      const channel = channelOf(event);
      if (!context.sessions.includes(channel)) return;
      if (event.type === "session.requested") enqueue.sendTo(sessionId(channel), event.request);
      if (event.type === "session.closed") enqueue.sendTo(sessionId(channel), { type: "channel.closed" });
    }),
    tellSessions: connection.enqueueActions(({ context, enqueue }) => {
      const { environment, refusal } = context;
      for (const channel of context.sessions) {
        if (refusal !== undefined)
          enqueue.sendTo(sessionId(channel), { type: "environment.refused", refusal });
        else if (environment !== undefined)
          enqueue.sendTo(sessionId(channel), { type: "environment.ready", environment });
      }
    }),
  },
});

export const connectionMachine = compound.createMachine({
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
    entering: {
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
    },

    /** Sessions may be opened and prepared already; their programs wait for the environment. */
    provisioning: {
      initial: "choosingBackend",
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
      states: {
        choosingBackend: {
          always: [
            { guard: { type: "runsOn", params: { backend: "docker" } }, target: "docker" },
            { guard: { type: "runsOn", params: { backend: "kubernetes" } }, target: "kubernetes" },
            { guard: { type: "runsOn", params: { backend: "process" } }, target: "process" },
            { guard: { type: "runsOn", params: { backend: "sshproxy" } }, target: "sshproxy" },
            {
              target: "#connection.refusing",
              actions: [
                { type: "refuse", params: ({ context }) => ({ refusal: backendMissing(context) }) },
                "logRefusal",
              ],
            },
          ],
        },
        docker: {
          invoke: {
            src: "docker",
            input: ({ context }) => provisioningOf(context),
            onDone: {
              target: "settled",
              actions: { type: "keepEnvironment", params: ({ event }) => event.output },
            },
          },
        },
        kubernetes: {
          invoke: {
            src: "kubernetes",
            input: ({ context }) => provisioningOf(context),
            onDone: {
              target: "settled",
              actions: { type: "keepEnvironment", params: ({ event }) => event.output },
            },
          },
        },
        process: {
          invoke: {
            src: "process",
            input: ({ context }) => provisioningOf(context),
            onDone: {
              target: "settled",
              actions: { type: "keepEnvironment", params: ({ event }) => event.output },
            },
          },
        },
        sshproxy: {
          invoke: {
            src: "sshproxy",
            input: ({ context }) => provisioningOf(context),
            onDone: {
              target: "settled",
              actions: { type: "keepEnvironment", params: ({ event }) => event.output },
            },
          },
        },
        settled: {
          always: [
            { guard: "hasEnvironment", target: "#connection.serving" },
            {
              target: "#connection.refusing",
              actions: [
                "logRefusal",
                { type: "log", params: ({ context }) => lineOf(context, rejected(context)) },
              ],
            },
          ],
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
