/**
 * What a connection's machine is told, keeps and answers, and its refusals: the words in which machines/connection.ts
 * is written.
 */
import type { ErrorActorEvent } from "xstate";
import type {
  AuthenticationAbandoned,
  AuthenticationRequested,
  GraceExpired,
  IdentityMismatched,
  IdentityVerified,
  InteractionBegan,
} from "./authentication-facts.ts";
import {
  type AuthenticationMethod,
  type Environment,
  type Forwarding,
  type Identity,
  type LogLine,
  type Provisioning,
  type Refusal,
  refusalOf,
  type Settings,
} from "./facts.ts";
import type { SessionEnded, SessionRequest } from "./session.ts";

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
  /** How long authorization may take to hear of a login that is refused whatever it answers. */
  readonly reportMillis: number;
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
  | GraceExpired
  | IdentityVerified
  | IdentityMismatched
  | { readonly type: "session.opened"; readonly channel: number }
  | { readonly type: "session.requested"; readonly channel: number; readonly request: SessionRequest }
  | { readonly type: "session.closed"; readonly channel: number }
  | SessionEnded
  /** No step takes it, so src/ssh gives the failure answer. */
  | { readonly type: "forwarding.requested"; readonly forwarding: Forwarding }
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

/** What a connection emits when a login was granted: the connection no longer counts against `ssh.maxStartups`. */
export interface ConnectionAdmitted {
  readonly type: "connection.admitted";
  readonly connectionId: string;
}

/** RFC 4253 section 11.1, by name. */
export type DisconnectReason =
  | "byApplication"
  | "noMoreAuthMethodsAvailable"
  | "protocolError"
  | "keyExchangeFailed"
  | "connectionLost";

export interface IdentityOfConnection {
  readonly connectionId: string;
  readonly identity: Identity;
}

export const identityOf = ({ connectionId, identity }: ConnectionContext): IdentityOfConnection => {
  if (identity === undefined) throw new Error("nobody has proven who they are");
  return { connectionId, identity };
};

export const provisioningOf = (context: ConnectionContext): Provisioning => {
  if (context.settings === undefined) throw new Error("the connection has no configuration");
  return { ...identityOf(context), settings: context.settings };
};

export const graceExpired = (loginGraceMillis: number): GraceExpired => ({
  type: "grace.expired",
  refusal: {
    code: "SSH_LOGIN_GRACE_EXPIRED",
    level: "notice",
    userMessage: "Logging in took too long. Please connect again.",
    message: "The client did not log in within the grace time",
    details: { loginGraceSeconds: loginGraceMillis / 1000 },
  },
});

export const shuttingDown: Refusal = {
  code: "SSH_SHUTTING_DOWN",
  level: "info",
  userMessage: "The server is shutting down. Please connect again in a moment.",
  message: "The connection was closed because the daemon stops",
  details: {},
};

/** Beside the backend's own line: what the reference says of every backend. */
export const rejected = ({ refusal }: ConnectionContext): LogLine => ({
  level: "error",
  code: "SSH_BACKEND_REJECTED_HANDSHAKE",
  message: "The backend refused the user after the login was granted",
  details: { reason: refusal?.code },
});

export const releaseTimedOut = ({ releaseTimeoutMillis }: ConnectionContext): Refusal => ({
  code: "SSH_RELEASE_FAILED",
  level: "error",
  userMessage: "",
  message: "Giving back what the connection used took too long",
  details: { releaseTimeoutSeconds: releaseTimeoutMillis / 1000 },
});

/** A line about a connection carries who it is about. */
export const lineOf = ({ connectionId, identity }: ConnectionContext, { details, ...line }: LogLine) => ({
  connectionId,
  line: {
    ...line,
    details: {
      username: identity?.username,
      authenticatedUsername: identity?.authenticatedUsername,
      ...details,
    },
  },
});

/** Why authorization did not agree to a login that is refused anyway, for the log alone. */
export const reportAnswered = (context: ConnectionContext, error: unknown) => {
  const { message, ...line } = refusalOf(error);
  return lineOf(context, { ...line, message: `About a login that is refused anyway: ${message}` });
};

export const farewell = ({ connectionId, refusal }: ConnectionContext) => ({
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

export interface SessionRequestOfConnection {
  readonly connectionId: string;
  readonly settings: Settings;
  /** How many sessions are open. */
  readonly open: number;
}

export const sessionsOf = (context: ConnectionContext): SessionRequestOfConnection => ({
  ...provisioningOf(context),
  open: context.sessions.length,
});

/** A wish for forwarding that the policy has to judge. */
export interface ForwardingOfConnection {
  readonly connectionId: string;
  readonly settings: Settings;
  readonly forwarding: Forwarding;
}

export const forwardingOf = (
  context: ConnectionContext,
  { forwarding }: { readonly forwarding: Forwarding },
): ForwardingOfConnection => ({ ...provisioningOf(context), forwarding });

export const notForwarded = (
  context: ConnectionContext,
  { forwarding }: { readonly forwarding: Forwarding },
) =>
  lineOf(context, {
    level: "notice",
    code: "SSH_NOT_IMPLEMENTED",
    message: "The policy allows this kind of forwarding, which is not built yet",
    details: { request: forwarding },
  });

export const channelOf = (event: ConnectionEvent): number => {
  if (!("channel" in event)) throw new Error(`${event.type} names no channel`);
  return event.channel;
};

export const sessionId = (channel: number): string => `session-${channel}`;
