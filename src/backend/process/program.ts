/** Starts programs in the environment of one connection, and ends them. */
import { Duration, Effect, Option, type Scope } from "effect";
import type { TerminalSize } from "../../../machines/facts.ts";
import type { FurnishedPlacement } from "../../../machines/process.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import { ownTurn } from "../../turns.ts";
import type { ProgramRequest, RunningProgram } from "../backend.ts";
import { type Command, commandOf } from "./command.ts";
import { launchDirect } from "./direct.ts";
import { CommandUnusable, ResizeFailed, SignalFailed, StartFailed } from "./failures.ts";
import { type BoundFile, boundFiles } from "./files.ts";
import type { Launched } from "./launched.ts";
import type { Libc } from "./libc.ts";
import { setModes } from "./modes.ts";
import { placesOf } from "./places.ts";
import { launchSandboxed, type Sandbox } from "./sandbox.ts";
import { openPipes, type ProgramStreams } from "./streams.ts";
import { openTerminal } from "./terminal.ts";
import { variablesOf } from "./variables.ts";

export interface ProgramHost {
  readonly libc: Libc;
  readonly placement: FurnishedPlacement;
  /** Missing when programs run without isolation. */
  readonly sandbox: Sandbox | undefined;
  /** Path of stty(1), for terminal modes. */
  readonly stty: string | undefined;
  readonly localAddress: string;
  readonly logger: Logger;
}

/** How long a program may go on after SIGHUP. */
const HANGUP_GRACE = Duration.seconds(5);
/** How long the kernel may take to end what was killed. */
const KILL_GRACE = Duration.seconds(5);
/** The terminal's name in a sandbox, whose /dev/pts is its own. */
const SANDBOX_TERMINAL = "/dev/console";

export const startProgram = (
  host: ProgramHost,
  request: ProgramRequest,
): Effect.Effect<RunningProgram, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { placement } = host;
    const command = yield* commandOf(request.program, placement.shell, placement.settings.process.subsystems);
    const streams = yield* Effect.acquireRelease(openStreams(host, request), ({ close }) =>
      Effect.sync(close),
    );
    yield* prepareTerminal(host, request, streams);
    // Nothing else is done until the kernel has made a process of it.
    yield* ownTurn;
    const launched = yield* Effect.acquireRelease(launch(host, request, command, streams), (program) =>
      end(program, streams, host.logger, request.channel),
    );
    yield* launched.started;
    const { terminal } = streams;
    if (terminal !== undefined) {
      yield* Effect.forkScoped(Effect.andThen(launched.ended, Effect.sync(terminal.finish)));
    }
    return running(launched, streams);
  });

const openStreams = (
  { libc, placement }: ProgramHost,
  { terminal }: ProgramRequest,
): Effect.Effect<ProgramStreams, StartFailed> =>
  Effect.try({
    try: () =>
      terminal === undefined
        ? openPipes(libc, placement.home.account)
        : openTerminal(libc, terminal, placement.home.account),
    catch: (cause) =>
      new StartFailed({
        message:
          terminal === undefined ? "There are no pipes for a program" : "There is no terminal for a program",
        details: { error: messageOf(cause) },
        cause,
      }),
  });

/** Before anything is typed: what is typed early has to be echoed, or not, as the client wants it. */
const prepareTerminal = (
  { stty, logger }: ProgramHost,
  { terminal, channel }: ProgramRequest,
  { programEnds: [device] }: ProgramStreams,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (terminal === undefined) return;
    const refused = yield* setModes(stty, device, terminal.modes);
    if (refused.length === 0) return;
    logger.debug("PROCESS_MODES_REFUSED", "Some terminal modes could not be set", {
      modes: refused.join(", "),
      channel,
    });
  });

const launch = (
  host: ProgramHost,
  request: ProgramRequest,
  command: Command,
  streams: ProgramStreams,
): Effect.Effect<Launched, StartFailed | CommandUnusable> =>
  Effect.try({
    try: () => {
      const { sandbox, placement } = host;
      const { terminal } = streams;
      const common = {
        command,
        variables: variablesFor(host, request, streams),
        streams: streams.programEnds,
      };
      return sandbox === undefined
        ? launchDirect({ ...common, terminal, directory: placement.home.directory })
        : launchSandboxed(sandbox, {
            ...common,
            hasTerminal: terminal !== undefined,
            arguments: [
              ...homeArguments(placement, sandbox),
              ...(terminal === undefined ? [] : ["--dev-bind", terminal.path, SANDBOX_TERMINAL]),
            ],
          });
    },
    catch: startFailure,
  }).pipe(Effect.ensuring(Effect.sync(streams.handOver)));

/** What is asked for too much of, or cannot be said to the kernel, throws before anything is started. */
const startFailure = (cause: unknown): StartFailed | CommandUnusable => {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  const fields = { details: { error: messageOf(cause) }, cause };
  return code === "E2BIG" || code === "ERR_INVALID_ARG_VALUE"
    ? new CommandUnusable({ message: "The kernel cannot take this command and these variables", ...fields })
    : new StartFailed({ message: "The program could not be started", ...fields });
};

const variablesFor = (
  { placement, localAddress, sandbox, logger }: ProgramHost,
  { terminal, environment, channel }: ProgramRequest,
  streams: ProgramStreams,
): Readonly<Record<string, string>> => {
  const { identity, home, shell, settings } = placement;
  const path = sandbox === undefined ? streams.terminal?.path : SANDBOX_TERMINAL;
  const { variables, refused } = variablesOf({
    identity,
    userName: home.userName,
    home: home.directory,
    shell,
    localAddress,
    terminal: terminal === undefined || path === undefined ? undefined : { term: terminal.term, path },
    configured: settings.process.environment,
    requested: environment,
    isolated: sandbox !== undefined,
  });
  if (refused.length > 0) {
    logger.info(
      "PROCESS_VARIABLES_REFUSED",
      "The client asked for environment variables that it may not set",
      {
        names: refused.join(" "),
        channel,
      },
    );
  }
  return variables;
};

const homeArguments = (placement: FurnishedPlacement, sandbox: Sandbox): readonly string[] => {
  const { directory, hostDirectory, workspace } = placement.home;
  const bind = ({ host, seenAs }: BoundFile): readonly string[] => ["--bind", host, seenAs];
  return [
    ...["--bind", workspace.temporary, "/tmp", "--symlink", "../tmp", "/var/tmp"],
    ...["--ro-bind", workspace.configuration, "/etc"],
    ...sandbox.configuration.flatMap((path) => ["--ro-bind", path, path]),
    ...["--bind", hostDirectory, directory],
    ...boundFiles(Object.keys(placement.identity.files), placesOf(placement)).flatMap(bind),
    ...["--chdir", directory],
  ];
};

const running = (
  launched: Launched,
  { stdin, stdout, stderr, terminal }: ProgramStreams,
): RunningProgram => ({
  stdin,
  stdout,
  stderr,
  exit: launched.ended,
  resize: (size: TerminalSize) =>
    Effect.try({
      try: () => terminal?.resize(size),
      catch: (cause) =>
        new ResizeFailed({
          message: "The terminal's size could not be set",
          details: { error: messageOf(cause) },
          cause,
        }),
    }),
  signal: (name) => {
    const signal = signals.get(name);
    return signal === undefined
      ? Effect.fail(
          new SignalFailed({
            message: "The client sent a signal that does not exist",
            details: { signal: name },
          }),
        )
      : Effect.try({
          try: () => launched.signal(signal),
          catch: (cause) =>
            new SignalFailed({
              message: "The signal could not be sent",
              details: { signal: name, error: messageOf(cause) },
              cause,
            }),
        });
  },
});

/** RFC 4254 section 6.10. */
const signals: ReadonlyMap<string, NodeJS.Signals> = new Map([
  ["ABRT", "SIGABRT"],
  ["ALRM", "SIGALRM"],
  ["FPE", "SIGFPE"],
  ["HUP", "SIGHUP"],
  ["ILL", "SIGILL"],
  ["INT", "SIGINT"],
  ["KILL", "SIGKILL"],
  ["PIPE", "SIGPIPE"],
  ["QUIT", "SIGQUIT"],
  ["SEGV", "SIGSEGV"],
  ["TERM", "SIGTERM"],
  ["USR1", "SIGUSR1"],
  ["USR2", "SIGUSR2"],
]);

/** Nothing of a program outlives its session. */
const end = (
  program: Launched,
  streams: ProgramStreams,
  logger: Logger,
  channel: number,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (program.isGone()) return;
    program.hangUp();
    streams.abandon();
    if (yield* succeedsWithin(program.gone, HANGUP_GRACE)) return;
    if (yield* succeedsWithin(program.kill, KILL_GRACE)) return;
    logger.error("PROCESS_LEFT_BEHIND", "A program could not be killed", { channel });
  });

const succeedsWithin = (effect: Effect.Effect<void>, grace: Duration.Duration): Effect.Effect<boolean> =>
  Effect.map(Effect.timeoutOption(Effect.interruptible(effect), grace), Option.isSome);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
