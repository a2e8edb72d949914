/** What a connection needs of the outside world, by what it decides, and how it speaks with its sessions. */
import { assign, emit, sendTo, setup } from "xstate";
import { authenticationMachine } from "./authentication.ts";
import type { AuthenticationOutcome } from "./authentication-facts.ts";
import {
  type ConnectionAdmitted,
  type ConnectionContext,
  type ConnectionEvent,
  type ConnectionInput,
  channelOf,
  type DisconnectReason,
  type ForwardingOfConnection,
  type IdentityOfConnection,
  lineOf,
  provisioningOf,
  type SessionRequestOfConnection,
  sessionId,
} from "./connection-facts.ts";
import {
  type Identity,
  type LogLine,
  type ProvisioningOutcome,
  type Refusal,
  refusalOf,
  type Settings,
} from "./facts.ts";
import { provisioningMachine } from "./provisioning.ts";
import { required, requiredAction, requiredGuard } from "./required.ts";
import { sessionMachine } from "./session.ts";

const parts = setup({
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
    provisioning: provisioningMachine,
    authorize: required<Identity, IdentityOfConnection>("authorize"),
    configure: required<{ identity: Identity; settings: Settings }, IdentityOfConnection>("configure"),
    release: required<void, { connectionId: string }>("release"),
  },
  delays: {
    loginGrace: ({ context }) => context.loginGraceMillis,
    interactiveGrace: ({ context }) => context.interactiveGraceMillis,
    reportTimeout: ({ context }) => context.reportMillis,
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
    isReady: (_, { kind }: ProvisioningOutcome) => kind === "ready",
    needsAuthorization: ({ context }) => context.authorizes,
    /** Whether the policy allows one more session next to those that are open. */
    mayOpenSession: requiredGuard<SessionRequestOfConnection>("mayOpenSession"),
    /** Whether the policy allows this kind of forwarding. */
    mayForward: requiredGuard<ForwardingOfConnection>("mayForward"),
    hasNoSessions: ({ context }) => context.sessions.length === 0,
    isLastSession: ({ context }) => context.sessions.length <= 1,
  },
});

export const connection = parts.extend({
  actions: {
    endReport: parts.sendTo("authentication", { type: "mismatch.reported" }),
    logRefusal: parts.enqueueActions(({ context, enqueue }) => {
      if (context.refusal !== undefined) enqueue({ type: "log", params: lineOf(context, context.refusal) });
    }),
    openSession: parts.enqueueActions(({ context, event, enqueue }) => {
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
    forgetSession: parts.enqueueActions(({ context, event, enqueue }) => {
      const channel = channelOf(event);
      enqueue.assign({ sessions: context.sessions.filter((open) => open !== channel) });
      enqueue.stopChild(sessionId(channel));
    }),
    tellSession: parts.enqueueActions(({ context, event, enqueue }) => {
      const channel = channelOf(event);
      if (!context.sessions.includes(channel)) return;
      if (event.type === "session.requested") enqueue.sendTo(sessionId(channel), event.request);
      if (event.type === "session.closed") enqueue.sendTo(sessionId(channel), { type: "channel.closed" });
    }),
    tellSessions: parts.enqueueActions(({ context, enqueue }) => {
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
