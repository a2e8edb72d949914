/**
 * One SSH connection, from the socket to its last byte: who is it, may they come in, what do they get, where do
 * their programs run, and why did it end. A reader of this file should understand the product.
 */
import { assign, type ErrorActorEvent, not, sendParent, sendTo, setup } from "xstate";
import {
  type AuthenticationAbandoned,
  type AuthenticationOutcome,
  type AuthenticationRequested,
  authenticationMachine,
  type IdentityVerified,
  type InteractionBegan,
} from "./authentication.ts";
import { dockerMachine } from "./docker.ts";
import {
  type AuthenticationMethod,
  type BackendName,
  type Environment,
  type Identity,
  type LogLine,
  type Provisioning,
  type ProvisioningOutcome,
  type Refusal,
  refusalOf,
  type Settings,
} from "./facts.ts";
import { kubernetesMachine } from "./kubernetes.ts";
import { processMachine } from "./process.ts";
import { required, requiredAction, requiredGuard } from "./required.ts";
import { type SessionEnded, type SessionRequest, sessionMachine } from "./session.ts";
import { sshProxyMachine } from "./sshproxy.ts";

export interface ConnectionInput {
  readonly connectionId: string;
  /** `address:port` of the client. */
  readonly remoteAddress: string;
  readonly methods: readonly AuthenticationMethod[];
  /** Those of the methods that are for Kerberos to decide. */
  readonly kerberosMethods: readonly AuthenticationMethod[];
  readonly attemptLimit: number;
  /** Whether an authorization webhook is configured. */
  readonly authorizes: boolean;
  /** Everything before a granted login has to fit into this. */
  readonly loginGraceMillis: number;
  /** The same from where a person is asked to log in with a browser. */
  readonly interactiveGraceMillis: number;
  /** How long refused sessions may take to read why, and a client to close a channel. */
  readonly closeTimeoutMillis: number;
  /** How long giving resources back may take before the connection ends without it. */
  readonly releaseTimeoutMillis: number;
}

export interface ConnectionContext extends ConnectionInput {
  readonly clientVersion: string;
  readonly identity: Identity | undefined;
  readonly settings: Settings | undefined;
  readonly environment: Environment | undefined;
  /** Numbers of the open session channels; the actor of channel 3 is `session-3`. */
  readonly sessions: readonly number[];
  readonly refusal: Refusal | undefined;
}

export type ConnectionEvent =
  /** Version strings and keys have been exchanged (RFC 4253). */
  | { readonly type: "handshake.completed"; readonly clientVersion: string; readonly algorithms: string }
  | AuthenticationRequested
  | AuthenticationAbandoned
  | InteractionBegan
  | IdentityVerified
  | { readonly type: "session.opened"; readonly channel: number }
  | { readonly type: "session.requested"; readonly channel: number; readonly request: SessionRequest }
  | { readonly type: "session.closed"; readonly channel: number }
  | SessionEnded
  /** The environment is gone while the connection lives: an Engine, API server or upstream was lost. */
  | { readonly type: "environment.lost"; readonly refusal: Refusal }
  | { readonly type: "peer.disconnected" }
  /** The client broke the protocol, stopped answering, or its socket failed. */
  | { readonly type: "peer.failed"; readonly refusal: Refusal }
  /** The daemon is stopping: the connection may finish, but not for longer than its daemon waits. */
  | { readonly type: "drain.requested"; readonly notice: string }
  /** The daemon's patience or an administrator's has ended. */
  | { readonly type: "disconnect.requested"; readonly refusal: Refusal }
  /** An actor of this connection threw: a bug of ours, which ends this connection and no other. */
  | ErrorActorEvent;

/** What the daemon hears when a login was granted: the connection no longer counts against `ssh.maxStartups`. */
export interface ConnectionAdmitted {
  readonly type: "connection.admitted";
  readonly connectionId: string;
}

/** What the daemon hears when a connection is closed and has given everything back. */
export interface ConnectionEnded {
  readonly type: "connection.ended";
  readonly connectionId: string;
}

/** RFC 4253 section 11.1, by name. */
export type DisconnectReason =
  | "byApplication"
  | "noMoreAuthMethodsAvailable"
  | "protocolError"
  | "keyExchangeFailed"
  | "connectionLost";

interface IdentityOfConnection {
  readonly connectionId: string;
  readonly identity: Identity;
}

const identityOf = ({ connectionId, identity }: ConnectionContext): IdentityOfConnection => {
  if (identity === undefined) throw new Error("nobody has proven who they are");
  return { connectionId, identity };
};

const provisioningOf = (context: ConnectionContext): Provisioning => {
  if (context.settings === undefined) throw new Error("the connection has no configuration");
  return { ...identityOf(context), settings: context.settings };
};

const graceExpired = (loginGraceMillis: number): Refusal => ({
  code: "SSH_LOGIN_GRACE_EXPIRED",
  level: "notice",
  userMessage: "Logging in took too long. Please connect again.",
  message: "The client did not log in within the grace time",
  details: { loginGraceSeconds: loginGraceMillis / 1000 },
});

const shuttingDown: Refusal = {
  code: "SSH_SHUTTING_DOWN",
  level: "info",
  userMessage: "The server is shutting down. Please connect again in a moment.",
  message: "The connection was closed because the daemon stops",
  details: {},
};

const backendMissing = ({ settings }: ConnectionContext): Refusal => ({
  code: "BACKEND_CONFIG_ERROR",
  level: "error",
  userMessage: "Your environment is not configured correctly. Please ask your administrator.",
  message: "The configured backend is not available",
  details: { backend: settings?.backend ?? "" },
});

const releaseTimedOut = ({ releaseTimeoutMillis }: ConnectionContext): Refusal => ({
  code: "SSH_RELEASE_FAILED",
  level: "error",
  userMessage: "",
  message: "Giving back what the connection used took too long",
  details: { releaseTimeoutSeconds: releaseTimeoutMillis / 1000 },
});

/** A line about a connection carries who it is about. */
const lineOf = ({ connectionId, identity }: ConnectionContext, { details, ...line }: LogLine) => ({
  connectionId,
  line: {
    ...line,
    details: {
      ...details,
      username: identity?.username,
      authenticatedUsername: identity?.authenticatedUsername,
    },
  },
});

const farewell = ({ connectionId, refusal }: ConnectionContext) => ({
  connectionId,
  reason: disconnectReasonOf(refusal),
  text: refusal?.userMessage ?? "",
});

const disconnectReasonOf = (refusal: Refusal | undefined): DisconnectReason => {
  switch (refusal?.code) {
    case "AUTH_FAILED":
      return "noMoreAuthMethodsAvailable";
    case "SSH_DECODE_FAILED":
      return "protocolError";
    case "SSH_HANDSHAKE_FAILED":
      return "keyExchangeFailed";
    case "SSH_KEEPALIVE_NORESP":
      return "connectionLost";
    default:
      return "byApplication";
  }
};

interface SessionRequestOfConnection {
  readonly connectionId: string;
  readonly settings: Settings;
  /** How many sessions are open. */
  readonly open: number;
}

const sessionsOf = (context: ConnectionContext): SessionRequestOfConnection => ({
  ...provisioningOf(context),
  open: context.sessions.length,
});

const channelOf = (event: ConnectionEvent): number => {
  if (!("channel" in event)) throw new Error(`${event.type} names no channel`);
  return event.channel;
};

const sessionId = (channel: number): string => `session-${channel}`;

const connection = setup({
  types: {
    input: {} as ConnectionInput,
    context: {} as ConnectionContext,
    events: {} as ConnectionEvent,
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
    fail: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
    keepEnvironment: assign((_, outcome: ProvisioningOutcome) =>
      outcome.kind === "ready" ? { environment: outcome.environment } : { refusal: outcome.refusal },
    ),
    /** The verdict on a proven identity goes back to the conversation, which may have attempts left. */
    refuseLogin: sendTo("authentication", (_, { error }: { error: unknown }) => ({
      type: "login.refused",
      refusal: refusalOf(error),
    })),
    admit: sendParent(
      ({ context }): ConnectionAdmitted => ({
        type: "connection.admitted",
        connectionId: context.connectionId,
      }),
    ),
  },
  guards: {
    wasGranted: (_, { kind }: AuthenticationOutcome) => kind === "granted",
    hasEnvironment: ({ context }) => context.environment !== undefined,
    runsOn: ({ context }, { backend }: { backend: BackendName }) => context.settings?.backend === backend,
    needsAuthorization: ({ context }) => context.authorizes,
    /** Whether the policy allows one more session next to those that are open. */
    mayOpenSession: requiredGuard<SessionRequestOfConnection>("mayOpenSession"),
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
          actions: { type: "refuse", params: { refusal: shuttingDown } },
        },
      },
      states: {
        login: {
          initial: "handshaking",
          states: {
            handshaking: {
              on: {
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
                "identity.verified": {
                  target: "authorizing",
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
            },
          },
        },
        /** What clients do by themselves is done in a minute; a person with a browser may take longer, once. */
        patience: {
          initial: "ordinary",
          states: {
            ordinary: {
              on: { "interaction.began": { target: "interactive" } },
              after: {
                loginGrace: {
                  target: "#connection.closing",
                  actions: [
                    {
                      type: "refuse",
                      params: ({ context }) => ({ refusal: graceExpired(context.loginGraceMillis) }),
                    },
                    "logRefusal",
                  ],
                },
              },
            },
            interactive: {
              after: {
                interactiveGrace: {
                  target: "#connection.closing",
                  actions: [
                    {
                      type: "refuse",
                      params: ({ context }) => ({ refusal: graceExpired(context.interactiveGraceMillis) }),
                    },
                    "logRefusal",
                  ],
                },
              },
            },
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
          actions: { type: "refuse", params: { refusal: shuttingDown } },
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
            onError: { target: "settled", actions: { type: "fail", params: ({ event }) => event } },
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
            onError: { target: "settled", actions: { type: "fail", params: ({ event }) => event } },
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
            onError: { target: "settled", actions: { type: "fail", params: ({ event }) => event } },
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
            onError: { target: "settled", actions: { type: "fail", params: ({ event }) => event } },
          },
        },
        settled: {
          always: [
            { guard: "hasEnvironment", target: "#connection.serving" },
            { target: "#connection.refusing", actions: "logRefusal" },
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
            actions: { type: "refuse", params: { refusal: shuttingDown } },
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
      entry: [
        {
          type: "log",
          params: ({ context }) =>
            lineOf(context, { level: "info", code: "SSH_DISCONNECTED", message: "The connection is closed" }),
        },
        sendParent(
          ({ context }): ConnectionEnded => ({
            type: "connection.ended",
            connectionId: context.connectionId,
          }),
        ),
      ],
    },
  },
});
