/** A program that runs in a pod, as the session sees it: its streams, its end, its size and its signals. */
import { Writable } from "node:stream";
import { Duration, Effect, Fiber, type Scope } from "effect";
import type { Exit, Program, TerminalSize } from "../../../machines/facts.ts";
import type { KubernetesPod } from "../../config/sections/kubernetes.ts";
import type { Failure } from "../../failure.ts";
import type { ProgramRequest, RunningProgram } from "../backend.ts";
import type { Channels } from "./channels.ts";
import { endingOf, type Whereabouts } from "./ending.ts";
import { ResizeFailed, SignalAfterExit, SubsystemNotSupported } from "./failures.ts";
import type { ProgramInput } from "./input.ts";
import { type Command, type Handle, type Launched, launch, type ProgramHost } from "./launch.ts";
import { sendEnd, sendSignal } from "./signals.ts";

/** A pod's container, as sessions start programs in it. */
export interface ExecHost extends ProgramHost, Whereabouts {
  readonly container: string;
  readonly address: ProgramHost["address"];
  /** What the login adds to the environment of every program, over what the client asked for. */
  readonly environment: Readonly<Record<string, string>>;
}

export const startByExec = (
  host: ExecHost,
  request: ProgramRequest,
): Effect.Effect<RunningProgram, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const command = yield* commandOf(request.program, host.pod);
    const logger = host.logger.with({ channel: request.channel });
    logger.debug("KUBERNETES_EXEC", "Starting a program", { program: request.program.kind });
    const environment = programEnvironment(request, host.environment);
    const launched = yield* launch({ ...host, logger }, { command, environment, terminal: request.terminal });
    return yield* runningProgram({ ...host, logger }, request, launched, (delivered) =>
      endingOf(host, launched.ended, request.program, delivered),
    );
  });

/** What a program gets: the terminal's type, what the client asked for, and the login's, which wins. */
export const programEnvironment = (
  { terminal, environment }: ProgramRequest,
  login: Readonly<Record<string, string>>,
): Record<string, string> => ({
  ...(terminal !== undefined && terminal.term !== "" ? { TERM: terminal.term } : {}),
  ...environment,
  ...login,
});

/** How a program's end is waited for, given the signals that were delivered to it. */
export type Ending = (delivered: ReadonlySet<string>) => Effect.Effect<Exit, Failure>;

/** Wires a launched program up. Closing the scope hangs it up. */
export const runningProgram = (
  host: ProgramHost,
  { terminal }: ProgramRequest,
  { channels, input, handle, ended }: Launched,
  endingOf: Ending,
): Effect.Effect<RunningProgram, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const delivered = new Set<string>();
    let hasEnded = false;
    void ended.then(() => {
      hasEnded = true;
    });
    yield* Effect.addFinalizer(() =>
      hasEnded || handle === undefined ? Effect.void : hangUp(host, channels, handle),
    );
    const ending = yield* Effect.forkScoped(endingOf(delivered));
    const stdin = inputStream(input, () => {
      if (terminal !== undefined) return;
      host.logger.notice(
        "KUBERNETES_STDIN_NOT_CLOSED",
        "The end of the program's input can't be told: the API server speaks v4.channel.k8s.io and the image has no shell",
      );
    });
    return {
      stdin,
      stdout: channels.stdout,
      stderr: terminal === undefined ? channels.stderr : undefined,
      exit: Fiber.join(ending),
      resize: (size) => resize(host, channels, size),
      signal: (name) =>
        hasEnded
          ? Effect.fail(new SignalAfterExit({ message: "The program has ended", details: { signal: name } }))
          : Effect.suspend(() => {
              // Before it is sent: the program's end may arrive before the sender's.
              delivered.add(name);
              return Effect.tapError(sendSignal(host, handle, name), () =>
                Effect.sync(() => delivered.delete(name)),
              );
            }),
    };
  });

/** How long a program that was hung up may take to end before it is killed. */
const HANG_UP_GRACE = Duration.seconds(5);

const hangUp = (host: ProgramHost, channels: Channels, handle: Handle): Effect.Effect<void> => {
  // Nobody reads any more, and an end is only seen behind the last output.
  channels.stdout.resume();
  channels.stderr.resume();
  const ended = Effect.promise(() => channels.ended);
  return Effect.gen(function* () {
    yield* sendEnd(host, handle, "HUP", HANG_UP_GRACE);
    yield* Effect.timeoutOrElse(Effect.asVoid(ended), {
      duration: HANG_UP_GRACE,
      orElse: () => sendEnd(host, handle, "KILL", HANG_UP_GRACE),
    });
  }).pipe(
    // A pod that is going takes its programs along; the sooner, the better.
    Effect.raceFirst(Effect.asVoid(ended)),
    Effect.catch((error) =>
      Effect.sync(() =>
        host.logger.debug(error.code, `A program could not be hung up: ${error.message}`, error.details),
      ),
    ),
  );
};

const resize = (
  { timeouts, logger }: ProgramHost,
  channels: Channels,
  size: TerminalSize,
): Effect.Effect<void, ResizeFailed> => {
  logger.debug("KUBERNETES_EXEC_RESIZE", "Changing the size of the terminal", {
    columns: size.columns,
    rows: size.rows,
  });
  const failed = (message: string) => new ResizeFailed({ message });
  return Effect.callback<void, ResizeFailed>((resume) => {
    channels.resize(size, (error) =>
      resume(error === undefined || error === null ? Effect.void : Effect.fail(failed(error.message))),
    );
  }).pipe(
    Effect.timeoutOrElse({
      duration: timeouts.window,
      orElse: () => Effect.fail(failed("The server did not take the new size in time")),
    }),
  );
};

/** How much input is sent in one piece. */
const INPUT_PIECE_BYTES = 256 * 1024;

/** `cannotEnd` is called when the end of the input can't be passed on. */
const inputStream = (input: ProgramInput, cannotEnd: () => void): Writable =>
  new Writable({
    highWaterMark: INPUT_PIECE_BYTES,
    // A program that has ended reads no more: what is still sent to it is dropped.
    writev: (chunks, done) =>
      input.write(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)), () => done()),
    final: (done) => {
      if (!input.ends) cannotEnd();
      input.end(() => done());
    },
  });

/** A path and words that a shell would leave as they are. */
const PLAIN_COMMAND = /^\.{0,2}\/[\w@%+=:,./-]*(?: +[\w@%+=:,./-]+)*$/;

/** The command line of what the client asked for. */
export const commandOf = (
  program: Program,
  { shellCommand, subsystems }: KubernetesPod,
): Effect.Effect<Command, SubsystemNotSupported> => {
  switch (program.kind) {
    case "shell":
      return Effect.succeed({ words: shellCommand, plain: shellCommand });
    case "exec":
      return Effect.succeed({
        words: ["/bin/sh", "-c", program.command],
        plain: PLAIN_COMMAND.test(program.command) ? program.command.split(/ +/) : undefined,
      });
    case "subsystem": {
      const path = Object.hasOwn(subsystems, program.name) ? subsystems[program.name] : undefined;
      return path === undefined
        ? Effect.fail(
            new SubsystemNotSupported({
              message: "The subsystem is not configured in kubernetes.pod.subsystems",
              details: { subsystem: program.name },
            }),
          )
        : Effect.succeed({ words: [path], plain: [path] });
    }
  }
};
