/**
 * What may leave the process, by type: of each event the fields that are named here and no others, of each machine's
 * context the same. The compiler asks for an entry here for every event of the machines listed; an event of another
 * machine, and a machine that is not named, show their names alone.
 */
import { Redacted } from "effect";
import type { AuthenticationEvent } from "../../machines/authentication-facts.ts";
import type { ConnectionEvent } from "../../machines/connection-facts.ts";
import type { DaemonEvent } from "../../machines/daemon-facts.ts";
import { type Exit, type Program, type Refusal, refusalOf, type TerminalSize } from "../../machines/facts.ts";
import type { ServiceEvent } from "../../machines/service.ts";
import type { SessionEvent, SessionRequest } from "../../machines/session.ts";
import type { Fields, Plain, RefusalSeen } from "./format.ts";

const LONGEST_TEXT = 400;

const cut = (text: string): string =>
  text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}… (${text.length} characters)` : text;

/** Details of a log line or refusal: texts, numbers, yes and no; of anything else not even its insides' names. */
export const plainDetails = (details: Readonly<Record<string, unknown>>): Record<string, Plain> => {
  const plain: Record<string, Plain> = {};
  for (const [name, detail] of Object.entries(details)) {
    if (typeof detail === "string") plain[name] = cut(detail);
    else if (typeof detail === "number" || typeof detail === "boolean") plain[name] = detail;
    else if (Redacted.isRedacted(detail)) plain[name] = "<redacted>";
    else if (detail instanceof Error) plain[name] = cut(`${detail.name}: ${detail.message}`);
  }
  return plain;
};

/** A refusal holds what the log is told and the user reads. */
export const reduceRefusal = ({ code, level, message, userMessage, details }: Refusal): RefusalSeen => ({
  code,
  level,
  message: cut(message),
  userMessage: cut(userMessage),
  details: plainDetails(details),
});

const codeOf = (refusal: Refusal): Fields => ({ code: refusal.code });

/** A command may hold a password: its kind is told, and a subsystem's name. */
const programFields = (program: Program): Fields => ({
  program: program.kind,
  ...(program.kind === "subsystem" && { subsystem: cut(program.name) }),
});

const exitFields = (exit: Exit): Fields =>
  exit.kind === "status" ? { status: exit.status } : { signal: cut(exit.signal) };

const sizeFields = ({ columns, rows }: TerminalSize): Fields => ({ columns, rows });

type EventOf<Union extends { readonly type: string }> = {
  readonly [Type in Exclude<Union["type"], `xstate.${string}`>]: (
    event: Extract<Union, { readonly type: Type }>,
  ) => Fields;
};

const nothing = (): Fields => ({});

/** Of a variable the name, never the value. */
const requests: EventOf<SessionRequest> = {
  "env.requested": ({ name }) => ({ name: cut(name) }),
  "pty.requested": ({ terminal }) => ({ term: cut(terminal.term), ...sizeFields(terminal) }),
  "program.requested": ({ program }) => programFields(program),
  "window.changed": ({ size }) => sizeFields(size),
  "signal.requested": ({ signal }) => ({ signal: cut(signal) }),
};

const reduceRequest = (request: SessionRequest): Fields => ({
  request: request.type,
  ...(requests[request.type] as (request: SessionRequest) => Fields)(request),
});

type BerthEvent = DaemonEvent | ServiceEvent | ConnectionEvent | AuthenticationEvent | SessionEvent;

const events: EventOf<BerthEvent> = {
  ...requests,
  "service.ready": ({ address }) => ({ address }),
  "service.crashed": ({ error }) => codeOf(refusalOf(error)),
  "exception.uncaught": ({ error }) => codeOf(refusalOf(error)),
  "service.running": ({ name, address }) => ({ name, address }),
  "service.restarting": ({ name, refusal }) => ({ name, ...codeOf(refusal) }),
  "service.gaveUp": ({ name, refusal }) => ({ name, ...codeOf(refusal) }),
  "connection.offered": ({ connectionId, remoteAddress }) => ({ connectionId, remoteAddress }),
  "connection.admitted": ({ connectionId }) => ({ connectionId }),
  "connection.ended": ({ connectionId }) => ({ connectionId }),
  "connection.crashed": ({ connectionId, error }) => ({ connectionId, ...codeOf(refusalOf(error)) }),
  "stop.requested": nothing,
  "handshake.completed": ({ clientVersion, algorithms }) => ({
    clientVersion: cut(clientVersion),
    algorithms: cut(algorithms),
  }),
  "authentication.requested": ({ username, method, credential }) => ({
    username: cut(username),
    method: cut(method),
    ...(credential?.method === "publickey" && {
      algorithm: cut(credential.algorithm),
      fingerprint: credential.fingerprint,
      signed: credential.signed,
    }),
  }),
  "authentication.abandoned": nothing,
  "interaction.began": nothing,
  "grace.expired": nothing,
  "identity.verified": ({ identity, method }) => ({
    username: cut(identity.username),
    authenticatedUsername: cut(identity.authenticatedUsername),
    method,
  }),
  "identity.mismatched": ({ identity }) => ({
    username: cut(identity.username),
    authenticatedUsername: cut(identity.authenticatedUsername),
  }),
  "mismatch.reported": nothing,
  "login.granted": nothing,
  "login.refused": ({ refusal }) => codeOf(refusal),
  "session.opened": ({ channel }) => ({ channel }),
  "session.requested": ({ channel, request }) => ({ channel, ...reduceRequest(request) }),
  "session.closed": ({ channel }) => ({ channel }),
  "session.ended": ({ channel }) => ({ channel }),
  "forwarding.requested": ({ forwarding }) => ({ forwarding }),
  "environment.lost": ({ refusal }) => codeOf(refusal),
  "environment.ready": ({ environment }) => ({ environment: cut(environment.description) }),
  "environment.refused": ({ refusal }) => codeOf(refusal),
  "peer.disconnected": nothing,
  "peer.failed": ({ refusal }) => codeOf(refusal),
  "drain.requested": ({ notice }) => ({ notice: cut(notice) }),
  "disconnect.requested": ({ refusal }) => codeOf(refusal),
  "program.started": nothing,
  "program.exited": ({ exit }) => exitFields(exit),
  "program.failed": ({ error }) => codeOf(refusalOf(error)),
  "channel.closed": nothing,
};

const reducers = new Map<string, (event: never) => Fields>(Object.entries(events));

const kindOf = (output: unknown): Fields =>
  typeof output === "object" && output !== null && "kind" in output && typeof output.kind === "string"
    ? { kind: cut(output.kind) }
    : {};

/** An event as it may be seen. Of a source's answer no more passes than which kind of answer of our own it is. */
export const reduceEvent = (event: { readonly type: string }): { readonly type: string } & Fields => {
  const { type } = event;
  if (type.startsWith("xstate.done.")) return { type, ...("output" in event ? kindOf(event.output) : {}) };
  if (type.startsWith("xstate.error.")) {
    return { type, ...("error" in event ? codeOf(refusalOf(event.error)) : {}) };
  }
  const reduce = reducers.get(type);
  // The map was made from a table in which each type has a function for its own events.
  return reduce === undefined ? { type } : { type, ...reduce(event as never) };
};

const isRefusal = (value: unknown): value is Refusal =>
  typeof value === "object" && value !== null && "code" in value && "userMessage" in value;

/** The reason a machine keeps in its context. */
export const refusalIn = (context: unknown): Refusal | undefined =>
  typeof context === "object" && context !== null && "refusal" in context && isRefusal(context.refusal)
    ? context.refusal
    : undefined;

/** What a connection's context tells of it; every field may be missing. */
export interface ConnectionSeen {
  readonly username?: string;
  readonly backend?: string;
  readonly environment?: string;
  readonly sessions?: number;
}

/** What the contexts of machines have in common with those whose fields are named here. */
interface Contexts {
  readonly identity?: { readonly username: string } | undefined;
  readonly attempt?: { readonly username: string } | undefined;
  readonly settings?: { readonly backend: string } | undefined;
  readonly environment?: { readonly description: string } | undefined;
  readonly sessions?: readonly number[];
  readonly failures?: number;
  readonly crashes?: number;
  readonly channel?: number;
  readonly connections?: number;
}

/** Of the connection machine and of `authentication`, which knows first who tries to log in. */
export const reduceConnection = (context: Contexts): ConnectionSeen => {
  const username = (context.identity ?? context.attempt)?.username;
  return {
    ...(username !== undefined && { username: cut(username) }),
    ...(context.settings !== undefined && { backend: context.settings.backend }),
    ...(context.environment !== undefined && { environment: cut(context.environment.description) }),
    ...(context.sessions !== undefined && { sessions: context.sessions.length }),
  };
};

const contexts: Readonly<Record<string, (context: Contexts) => Fields>> = {
  daemon: ({ connections = 0 }) => ({ connections }),
  service: ({ crashes = 0 }) => ({ crashes }),
  connection: (context) => ({ ...reduceConnection(context) }),
  authentication: ({ failures = 0, attempt }) => ({
    failures,
    ...(attempt !== undefined && { username: cut(attempt.username) }),
  }),
  session: ({ channel = 0 }) => ({ channel }),
};

/** A machine's context as it may be seen. */
export const reduceContext = (machine: string, context: object): Fields => {
  const refusal = refusalIn(context);
  const reduce = contexts[machine];
  return {
    ...reduce?.(context),
    ...(refusal !== undefined && { refusal: refusal.code }),
  };
};
