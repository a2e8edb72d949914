/**
 * Programs of the modes `connection` and `persistent`: each is an exec in the connection's container, started by the
 * guest agent or a shell that says its process id, so that it can be signalled.
 */
import { Deferred, Duration, Effect, Schedule, type Scope, Semaphore } from "effect";
import type { Exit, TerminalSize } from "../../../machines/facts.ts";
import type { DockerExecution, DockerTimeouts } from "../../config/sections/docker.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import type { ProgramRequest, RunningProgram } from "../backend.ts";
import { findContainer } from "./containers.ts";
import type { Engine } from "./engine.ts";
import { environmentList, programEnvironment } from "./environment.ts";
import { attachExec, createExec, inspectExec, resizeExec, runHelper } from "./exec.ts";
import { exitOf, SIGNALS } from "./exit.ts";
import {
  ContainerGone,
  type EngineError,
  ExecAttachFailed,
  ExecCreateFailed,
  ExitUnknown,
  explained,
  PidUnreadable,
  ResizeFailed,
  SignalFailed,
  SignalWithoutPid,
  SubsystemMissing,
} from "./failures.ts";
import { CONSOLE_SIZE_API, giveFirstSize, sizeOf } from "./first-size.ts";
import { commandOf, type Launcher, launch, signalling } from "./launch.ts";
import { Preamble } from "./preamble.ts";
import type { ProgramStreams } from "./streams.ts";
import { happensWithin, watchProgram } from "./watch.ts";

/** How long a program that was hung up may take to end before it is killed. */
const HANG_UP_GRACE = Duration.seconds(5);
const HANG_UP_POLL = Duration.millis(250);

/** How long a container may take to end after its programs. */
const CONTAINER_END = Schedule.upTo(Schedule.spaced("50 millis"), { duration: "500 millis" });

/** What the exit code of a program says whose process was killed by force. */
const KILLED = 128 + 9;

/** The container of a connection, and how programs are started in it. */
export interface ExecHost {
  readonly engine: Engine;
  readonly container: string;
  readonly execution: DockerExecution;
  readonly timeouts: DockerTimeouts;
  readonly launcher: Launcher;
  /** Whether the image has `/bin/sh`. */
  readonly shell: boolean;
  /** What the login adds to the environment of every program, over what the client asked for. */
  readonly environment: Readonly<Record<string, string>>;
  readonly logger: Logger;
  /** Where programs are hung up in the background once their sessions are gone. */
  readonly lingering: Scope.Scope;
}

/** A program that was started, and what is known of it. */
interface Started {
  readonly host: ExecHost;
  readonly exec: string;
  readonly request: ProgramRequest;
  readonly pid: number | undefined;
  readonly streams: ProgramStreams;
  /** Signals that were delivered on the client's request. */
  readonly delivered: Set<string>;
}

/** Starts a program by exec. Closing the scope hangs it up. */
export const startByExec = (
  host: ExecHost,
  request: ProgramRequest,
): Effect.Effect<RunningProgram, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const started = yield* start(host, request);
    const exit = Deferred.makeUnsafe<Exit, Failure>();
    let hasEnded = false;
    const end = Effect.sync(() => {
      hasEnded = true;
    });
    const watching = awaitExit(started).pipe(
      Effect.tap(() => end),
      Effect.tapError(() => end),
    );
    yield* Effect.addFinalizer(() => (hasEnded ? Effect.void : leave(started)));
    yield* Effect.forkScoped(Deferred.into(watching, exit));
    const resizes = Semaphore.makeUnsafe(1);
    let latest: TerminalSize | undefined;
    return {
      stdin: started.streams.stdin,
      stdout: started.streams.stdout,
      stderr: started.streams.stderr,
      exit: Deferred.await(exit),
      resize: (size) =>
        Effect.suspend(() => {
          latest = size;
          // Of sizes that come faster than the Engine takes them, the last one counts.
          return resizes.withPermit(
            Effect.suspend(() => (latest === size ? resize(started, size) : Effect.void)),
          );
        }),
      signal: (name) => signal(started, name),
    };
  });

const start = (host: ExecHost, request: ProgramRequest): Effect.Effect<Started, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { engine, container, execution, launcher, logger } = host;
    const { program, terminal } = request;
    const timeout = host.timeouts.commandStart;
    const command = commandOf(program, execution);
    if (command === undefined) {
      const name = program.kind === "subsystem" ? program.name : "";
      return yield* Effect.fail(
        new SubsystemMissing({ message: "The subsystem is not configured", details: { subsystem: name } }),
      );
    }
    const size = sizeOf(terminal);
    const sizedAtStart = size !== undefined && engine.speaks(CONSOLE_SIZE_API);
    const waits = size !== undefined && !sizedAtStart && launcher !== "none";
    const launched = launch({
      launcher,
      shell: host.shell,
      program: command,
      agentPath: execution.agentPath,
      waits,
      modes: terminal?.modes ?? {},
    });
    const preamble = new Preamble(launched.preamble, terminal !== undefined);
    logger.debug("DOCKER_EXEC_CREATE", "Creating the program", { channel: request.channel });
    const exec = yield* Effect.mapError(
      createExec(
        engine,
        {
          container,
          command: launched.command,
          environment: environmentList(programEnvironment(request, host.environment)),
          terminal: terminal !== undefined,
        },
        timeout,
      ),
      explained(ExecCreateFailed, "The program could not be created", { container }),
    );
    logger.debug("DOCKER_EXEC_ATTACH", "Starting the program", { channel: request.channel, exec });
    const streams = yield* Effect.mapError(
      attachExec(
        engine,
        exec,
        { terminal: terminal !== undefined, consoleSize: sizedAtStart ? size : undefined, preamble },
        timeout,
      ),
      explained(ExecAttachFailed, "The program could not be started", { container }),
    );
    if (size !== undefined && !sizedAtStart) {
      const resize = resizeExec(engine, exec, size, host.timeouts.window);
      yield* giveFirstSize({ ...host, resize, streams, preamble, waits });
    }
    if (!(yield* happensWithin(preamble.complete, timeout))) {
      return yield* Effect.fail(
        new PidUnreadable({
          message: "The program's launcher did not say its process id in time",
          details: { launcher, container },
        }),
      );
    }
    return { host, exec, request, streams, pid: preamble.pid, delivered: new Set() };
  });

const inspectionOf = ({ host: { engine, timeouts }, exec }: Started) =>
  inspectExec(engine, exec, timeouts.http);

const awaitExit = (started: Started): Effect.Effect<Exit, Failure> =>
  Effect.gen(function* () {
    const { host, request, streams, delivered } = started;
    const code = yield* watchProgram(streams, inspectionOf(started));
    host.logger.debug("DOCKER_EXIT_CODE", "The program ended", { channel: request.channel, code });
    const message = code === KILLED && !delivered.has("KILL") ? yield* whyKilled(host) : "";
    return exitOf({ code, program: request.program, delivered, message });
  }).pipe(Effect.mapError((error) => (error._tag === "EngineError" ? exitUnknown(started, error) : error)));

/**
 * A program that Berth did not kill: was it for its memory, or was it the container that ended? That is known a
 * little later than the end of its programs.
 */
const whyKilled = ({
  engine,
  container,
  timeouts,
}: ExecHost): Effect.Effect<string, EngineError | ContainerGone> =>
  Effect.flatMap(
    Effect.repeat(findContainer(engine, container, timeouts.http), {
      schedule: CONTAINER_END,
      while: (found) => found?.State.Running === true,
    }),
    () =>
      Effect.flatMap(findContainer(engine, container, timeouts.http), (found) => {
        if (found?.State.Running === true) {
          return Effect.succeed(
            found.State.OOMKilled ? "The program was killed because memory ran out." : "",
          );
        }
        return Effect.fail(
          new ContainerGone({
            message: found === undefined ? "The container was removed" : "The container was stopped",
            details: { container },
          }),
        );
      }),
  );

const exitUnknown = ({ host: { container }, exec }: Started, error: EngineError): Failure => {
  const details = { container, exec };
  return error.status === 404
    ? new ContainerGone({ message: `The container was removed: ${error.message}`, details })
    : new ExitUnknown({
        message: `How the program ended can't be learned: ${error.message}`,
        details,
        cause: error.cause,
      });
};

const resize = ({ host, exec }: Started, size: TerminalSize): Effect.Effect<void, Failure> => {
  const consoleSize = sizeOf(size);
  if (consoleSize === undefined) return Effect.void;
  const { engine, timeouts, logger } = host;
  logger.debug("DOCKER_EXEC_RESIZE", "Resizing the terminal", { rows: size.rows, columns: size.columns });
  return Effect.mapError(
    resizeExec(engine, exec, consoleSize, timeouts.window),
    explained(ResizeFailed, "The terminal could not be resized", { exec }),
  );
};

const signal = (started: Started, name: string): Effect.Effect<void, Failure> => {
  if (!Object.hasOwn(SIGNALS, name)) {
    return Effect.fail(new SignalFailed({ message: "There is no such signal", details: { signal: name } }));
  }
  // The program's end may be seen before the answer to this.
  started.delivered.add(name);
  return Effect.tapError(deliver(started, name), () => Effect.sync(() => started.delivered.delete(name)));
};

const deliver = ({ host, pid }: Started, name: string): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { engine, container, execution, timeouts, launcher, logger } = host;
    const command = pid === undefined ? undefined : signalling(launcher, pid, name, execution);
    if (command === undefined) {
      return yield* Effect.fail(
        new SignalWithoutPid({
          message: "The image has neither the guest agent nor /bin/sh, so the process id is not known",
          details: { signal: name, container },
        }),
      );
    }
    logger.debug("DOCKER_EXEC_SIGNAL", "Sending a signal to the program", { signal: name, pid });
    const { exitCode, output } = yield* Effect.mapError(
      runHelper(engine, container, command, { start: timeouts.signal, http: timeouts.http }),
      explained(SignalFailed, "The signal could not be sent", { signal: name, container }),
    );
    if (exitCode !== 0) {
      return yield* Effect.fail(
        new SignalFailed({
          message: `The signal could not be sent: ${output || `${command[0]} exited with ${exitCode}`}`,
          details: { signal: name, container },
        }),
      );
    }
    logger.debug("DOCKER_EXEC_SIGNAL_SUCCESSFUL", "Sent the signal", { signal: name, pid });
  });

/** The session is gone before its program: hang it up in the background, for nobody waits for it any more. */
const leave = (started: Started): Effect.Effect<void> =>
  Effect.asVoid(
    Effect.forkIn(
      Effect.catch(hangUp(started), (error) =>
        Effect.sync(() =>
          started.host.logger.debug(error.code, `A program was left behind: ${error.message}`, error.details),
        ),
      ),
      started.host.lingering,
    ),
  );

const hangUp = (started: Started): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    yield* deliver(started, "HUP");
    if (!(yield* endsWithin(started, HANG_UP_GRACE))) yield* deliver(started, "KILL");
  });

const endsWithin = (started: Started, time: Duration.Duration): Effect.Effect<boolean, Failure> =>
  Effect.gen(function* () {
    const polls = Math.ceil(Duration.toMillis(time) / Duration.toMillis(HANG_UP_POLL));
    for (let poll = 0; poll < polls; poll++) {
      const { isRunning } = yield* Effect.mapError(inspectionOf(started), (error) =>
        exitUnknown(started, error),
      );
      if (!isRunning) return true;
      yield* Effect.sleep(HANG_UP_POLL);
    }
    return false;
  });
