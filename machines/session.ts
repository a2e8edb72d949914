/**
 * One session channel (RFC 4254 section 6): requests before the program prepare it; shell, exec or subsystem starts
 * it; window and signal act on it; its exit goes back and the channel closes in the RFC's order.
 */
import { assign, sendParent, sendTo, setup } from "xstate";
import {
  type Environment,
  type Exit,
  type LogLine,
  type Program,
  type Refusal,
  refusalOf,
  type Settings,
  type Terminal,
  type TerminalSize,
} from "./facts.ts";
import { requiredAction, requiredGuard, requiredSource } from "./required.ts";

export interface SessionInput {
  readonly connectionId: string;
  /** The channel's number on our side. */
  readonly channel: number;
  /** Missing while the environment is still being made: the program waits for it. */
  readonly environment: Environment | undefined;
  /** What this user may do, among other things. */
  readonly settings: Settings;
  /** How long a client may take to close a channel whose program has ended. */
  readonly closeTimeoutMillis: number;
}

export interface SessionContext extends SessionInput {
  readonly variables: Readonly<Record<string, string>>;
  readonly terminal: Terminal | undefined;
  readonly program: Program | undefined;
  readonly exit: Exit | undefined;
  readonly refusal: Refusal | undefined;
}

/** Channel requests. A step that takes one accepts it; one that no step took is refused by src/ssh. */
export type SessionRequest =
  | { readonly type: "env.requested"; readonly name: string; readonly value: string }
  | { readonly type: "pty.requested"; readonly terminal: Terminal }
  | { readonly type: "program.requested"; readonly program: Program }
  | { readonly type: "window.changed"; readonly size: TerminalSize }
  | { readonly type: "signal.requested"; readonly signal: string };

export type SessionEvent =
  | SessionRequest
  | { readonly type: "environment.ready"; readonly environment: Environment }
  | { readonly type: "environment.refused"; readonly refusal: Refusal }
  /** The program runs; its streams are wired to the channel. */
  | { readonly type: "program.started" }
  /** The program ended and its output has been handed to the channel. */
  | { readonly type: "program.exited"; readonly exit: Exit }
  | { readonly type: "program.failed"; readonly error: unknown }
  /** Both sides have closed the channel, or the connection is gone. */
  | { readonly type: "channel.closed" };

/** What the parent hears when a session is over. */
export interface SessionEnded {
  readonly type: "session.ended";
  readonly channel: number;
}

/** What the source that runs the program gets. */
export interface ProgramInput {
  readonly connectionId: string;
  readonly channel: number;
  readonly environment: Environment;
  readonly program: Program;
  readonly terminal: Terminal | undefined;
  readonly variables: Readonly<Record<string, string>>;
}

/** What the source that runs the program hears. */
export type ProgramCommand = Extract<SessionRequest, { type: "window.changed" | "signal.requested" }>;

/** A channel request that the policy has to judge. */
export interface JudgedRequest {
  readonly connectionId: string;
  readonly channel: number;
  readonly settings: Settings;
  readonly request: SessionRequest;
}

const judged = (
  { connectionId, channel, settings }: SessionContext,
  request: SessionRequest,
): JudgedRequest => ({ connectionId, channel, settings, request });

interface Target {
  readonly connectionId: string;
  readonly channel: number;
}

/** What a program that could not run leaves behind: the status OpenSSH's own client uses for its errors. */
const FAILED: Exit = { kind: "status", status: 255 };

const programInputOf = (context: SessionContext): ProgramInput => {
  const { environment, program } = context;
  if (environment === undefined || program === undefined) throw new Error("there is nothing to run yet");
  return { ...context, environment, program };
};

const exitLine = ({
  connectionId,
  channel,
  exit,
}: SessionContext): { connectionId: string; line: LogLine } => ({
  connectionId,
  line:
    exit?.kind === "signal"
      ? {
          level: "debug",
          code: "SSH_EXIT_SIGNAL",
          message: "Program ended by a signal",
          details: { channel, signal: exit.signal },
        }
      : {
          level: "debug",
          code: "SSH_EXIT",
          message: "Program exited",
          details: { channel, status: exit?.status },
        },
});

const failureLine = ({
  connectionId,
  channel,
  refusal,
}: SessionContext): { connectionId: string; line: LogLine } => ({
  connectionId,
  line: {
    level: refusal?.level ?? "error",
    code: refusal?.code ?? "UNKNOWN_ERROR",
    message: refusal?.message ?? "",
    details: { ...refusal?.details, channel },
  },
});

export const sessionMachine = setup({
  types: {
    input: {} as SessionInput,
    context: {} as SessionContext,
    events: {} as SessionEvent,
  },
  actors: { runProgram: requiredSource<ProgramCommand, ProgramInput>("runProgram") },
  delays: { closeTimeout: ({ context }) => context.closeTimeoutMillis },
  actions: {
    /** Answers the channel request at hand with SSH_MSG_CHANNEL_SUCCESS. */
    acceptRequest: requiredAction<Target>("acceptRequest"),
    /** Accepts a shell, exec or subsystem request: the channel carries bytes from here on. */
    openStreams: requiredAction<Target>("openStreams"),
    /** Tells the user why nothing runs, on the channel's standard error. */
    showFailure: requiredAction<Target & { text: string }>("showFailure"),
    /** Sends exit-status or exit-signal, end of file and close. */
    closeChannel: requiredAction<Target & { exit: Exit }>("closeChannel"),
    /** Says which option of the policy refused a request; nothing accepted it, so the client gets a failure. */
    logRequestRefusal: requiredAction<JudgedRequest>("logRequestRefusal"),
    log: requiredAction<{ connectionId: string; line: LogLine }>("log"),
    /** Keeps the program that the policy lets run, which may be another than was asked for. */
    keepProgram: assign((_, _asked: { settings: Settings; program: Program }): Partial<SessionContext> => {
      throw new Error('the action "keepProgram" was not provided');
    }),
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error), exit: FAILED })),
    keepEnvironment: assign((_, environment: Environment) => ({ environment })),
    keepSize: assign(({ context }, size: TerminalSize) => ({
      terminal: context.terminal && { ...context.terminal, ...size },
    })),
    reportEnd: sendParent(
      ({ context }): SessionEnded => ({ type: "session.ended", channel: context.channel }),
    ),
  },
  guards: {
    /** Whether the policy allows the request. */
    isAllowed: requiredGuard<JudgedRequest>("isAllowed"),
    hasEnvironment: ({ context }) => context.environment !== undefined,
    hasTerminal: ({ context }) => context.terminal !== undefined,
    isRefused: ({ context }) => context.refusal !== undefined,
  },
}).createMachine({
  id: "session",
  context: ({ input }) => ({
    ...input,
    variables: {},
    terminal: undefined,
    program: undefined,
    exit: undefined,
    refusal: undefined,
  }),
  initial: "preparing",
  on: {
    "channel.closed": { target: ".closed" },
  },
  states: {
    preparing: {
      on: {
        "env.requested": [
          {
            guard: { type: "isAllowed", params: ({ context, event }) => judged(context, event) },
            actions: [
              assign(({ context, event }) => ({
                variables: { ...context.variables, [event.name]: event.value },
              })),
              { type: "acceptRequest", params: ({ context }) => context },
            ],
          },
          { actions: { type: "logRequestRefusal", params: ({ context, event }) => judged(context, event) } },
        ],
        "pty.requested": [
          // One terminal is all that a session has: a second one gets the failure answer.
          { guard: "hasTerminal" },
          {
            guard: { type: "isAllowed", params: ({ context, event }) => judged(context, event) },
            actions: [
              assign(({ event }) => ({ terminal: event.terminal })),
              { type: "acceptRequest", params: ({ context }) => context },
            ],
          },
          { actions: { type: "logRequestRefusal", params: ({ context, event }) => judged(context, event) } },
        ],
        "window.changed": {
          guard: "hasTerminal",
          actions: [
            { type: "keepSize", params: ({ event }) => event.size },
            { type: "acceptRequest", params: ({ context }) => context },
          ],
        },
        "program.requested": [
          {
            guard: { type: "isAllowed", params: ({ context, event }) => judged(context, event) },
            target: "awaitingEnvironment",
            actions: [
              {
                type: "keepProgram",
                params: ({ context, event }) => ({ settings: context.settings, ...event }),
              },
              { type: "openStreams", params: ({ context }) => context },
            ],
          },
          { actions: { type: "logRequestRefusal", params: ({ context, event }) => judged(context, event) } },
        ],
        "environment.ready": {
          actions: { type: "keepEnvironment", params: ({ event }) => event.environment },
        },
        // Without a program there is nowhere to say it yet: the sentence waits for one.
        "environment.refused": {
          actions: { type: "keepReason", params: ({ event }) => ({ error: event.refusal }) },
        },
      },
    },

    awaitingEnvironment: {
      always: [
        { guard: "isRefused", target: "failing" },
        { guard: "hasEnvironment", target: "active" },
      ],
      on: {
        "environment.ready": {
          actions: { type: "keepEnvironment", params: ({ event }) => event.environment },
        },
        "environment.refused": {
          actions: { type: "keepReason", params: ({ event }) => ({ error: event.refusal }) },
        },
        "window.changed": {
          guard: "hasTerminal",
          actions: [
            { type: "keepSize", params: ({ event }) => event.size },
            { type: "acceptRequest", params: ({ context }) => context },
          ],
        },
      },
    },

    active: {
      initial: "starting",
      invoke: {
        id: "program",
        src: "runProgram",
        input: ({ context }) => programInputOf(context),
        onError: {
          target: "failing",
          actions: [
            { type: "keepReason", params: ({ event }) => event },
            { type: "log", params: ({ context }) => failureLine(context) },
          ],
        },
      },
      on: {
        "window.changed": {
          guard: "hasTerminal",
          actions: [
            sendTo("program", ({ event }) => event),
            { type: "acceptRequest", params: ({ context }) => context },
          ],
        },
        "signal.requested": [
          {
            guard: { type: "isAllowed", params: ({ context, event }) => judged(context, event) },
            actions: [
              sendTo("program", ({ event }) => event),
              { type: "acceptRequest", params: ({ context }) => context },
            ],
          },
          { actions: { type: "logRequestRefusal", params: ({ context, event }) => judged(context, event) } },
        ],
        "program.exited": { target: "finishing", actions: assign(({ event }) => ({ exit: event.exit })) },
        "program.failed": {
          target: "failing",
          actions: [
            { type: "keepReason", params: ({ event }) => event },
            { type: "log", params: ({ context }) => failureLine(context) },
          ],
        },
        "environment.refused": {
          target: "failing",
          actions: { type: "keepReason", params: ({ event }) => ({ error: event.refusal }) },
        },
      },
      states: {
        starting: { on: { "program.started": { target: "running" } } },
        running: {},
      },
    },

    /** The reason is in the log already: why there is no environment was said by the connection, once. */
    failing: {
      entry: {
        type: "showFailure",
        params: ({ context }) => ({ ...context, text: context.refusal?.userMessage ?? "" }),
      },
      always: { target: "finishing" },
    },
    finishing: {
      entry: [
        { type: "log", params: ({ context }) => exitLine(context) },
        { type: "closeChannel", params: ({ context }) => ({ ...context, exit: context.exit ?? FAILED }) },
      ],
      after: { closeTimeout: { target: "closed" } },
    },

    closed: { type: "final", entry: "reportEnd" },
  },
});
