/**
 * Programs of the mode `session`: each is the own program of a container that is made for it and removed with it.
 * Signals go to the container, as the reference does it.
 */
import { Deferred, Effect, Exit as EffectExit, Scope } from "effect";
import type { Exit, Identity } from "../../../machines/facts.ts";
import type { Failure } from "../../failure.ts";
import type { ProgramRequest, RunningProgram } from "../backend.ts";
import { inspectContainer, startContainer } from "./containers.ts";
import { type OwnCommand, programContainer } from "./creation.ts";
import { enginePath } from "./engine.ts";
import { loginEnvironment, programEnvironment } from "./environment.ts";
import { exitOf, SIGNALS } from "./exit.ts";
import {
  ContainerAttachFailed,
  ContainerGone,
  ContainerSignalFailed,
  ContainerStartFailed,
  type EngineError,
  ExitUnknown,
  explained,
  PidUnreadable,
  ResizeFailed,
} from "./failures.ts";
import { writeFiles } from "./files.ts";
import { CONSOLE_SIZE_API, type ConsoleSize, giveFirstSize, sizeOf } from "./first-size.ts";
import type { Instance } from "./instance.ts";
import { CHANNEL, CONNECTION_ID, connectionLabels } from "./labels.ts";
import { type Lifetime, scopedContainer } from "./lifetime.ts";
import { Preamble } from "./preamble.ts";
import { type SessionSurroundings, sessionCommand } from "./session-command.ts";
import { ProgramStreams } from "./streams.ts";
import { happensWithin, type ProgramState, watchProgram } from "./watch.ts";

const KILLED = 128 + 9;

export interface SessionHost extends Lifetime, SessionSurroundings {
  readonly identity: Identity;
  readonly containerName: string;
  readonly instance: Instance;
  /** The connection's: its end removes the containers, whether their sessions are done with them or not. */
  readonly scope: Scope.Scope;
}

/** Starts a program as a container of its own. Closing the scope removes it. */
export const startBySession = (
  host: SessionHost,
  request: ProgramRequest,
): Effect.Effect<RunningProgram, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { engine, timeouts, logger } = host;
    const size = sizeOf(request.terminal);
    const sizedAtStart = engine.speaks(CONSOLE_SIZE_API);
    const command = yield* sessionCommand(host, request, size !== undefined && !sizedAtStart);
    const own = yield* ownScope(host.scope);
    const container = yield* Scope.provide(
      createFor(host, request, command.own, sizedAtStart ? size : undefined),
      own,
    );
    yield* writeFiles({
      ...host,
      container,
      files: host.identity.files,
      agentPath: host.execution.agentPath,
      launcher: undefined,
    });
    logger.debug("DOCKER_CONTAINER_ATTACH", "Attaching to the container", { container });
    const socket = yield* Effect.mapError(
      Scope.provide(
        engine.hijack(
          {
            method: "POST",
            path: enginePath("containers", container, "attach"),
            query: { stream: true, stdin: true, stdout: true, stderr: true },
          },
          timeouts.commandStart,
        ),
        own,
      ),
      explained(ContainerAttachFailed, "The container could not be attached to", { container }),
    );
    const terminal = request.terminal !== undefined;
    const preamble = new Preamble(command.preamble, terminal);
    const streams = yield* Effect.acquireRelease(
      Effect.sync(() => new ProgramStreams(socket, { raw: terminal, preamble })),
      (opened) => Effect.sync(() => opened.destroy()),
    );
    logger.debug("DOCKER_CONTAINER_START", "Starting the container", { container });
    yield* Effect.mapError(
      startContainer(engine, container, timeouts.commandStart),
      explained(ContainerStartFailed, "The container could not be started", { container }),
    );
    if (size !== undefined && !sizedAtStart) {
      const { launcher } = command;
      const first = resize(host, container, size);
      yield* giveFirstSize({
        ...host,
        resize: first,
        streams,
        launcher,
        preamble,
        waits: launcher !== "none",
      });
    }
    if (!(yield* happensWithin(preamble.complete, timeouts.commandStart))) {
      return yield* Effect.fail(
        new PidUnreadable({
          message: "The program's launcher did not say its process id in time",
          details: { launcher: command.launcher, container },
        }),
      );
    }
    const delivered = new Set<string>();
    const exit = Deferred.makeUnsafe<Exit, Failure>();
    yield* Effect.forkScoped(Deferred.into(awaitExit(host, container, streams, request, delivered), exit));
    return {
      stdin: streams.stdin,
      stdout: streams.stdout,
      stderr: streams.stderr,
      exit: Deferred.await(exit),
      resize: (changed) => {
        const latest = sizeOf(changed);
        if (latest === undefined) return Effect.void;
        return Effect.mapError(
          resize(host, container, latest),
          explained(ResizeFailed, "The terminal could not be resized", { container }),
        );
      },
      signal: (name) => signal(host, container, name, delivered),
    };
  });

/** A scope that ends with the session's or with the connection's, whichever is first. */
const ownScope = (connection: Scope.Scope): Effect.Effect<Scope.Closeable, never, Scope.Scope> =>
  Effect.acquireRelease(Scope.fork(connection), (own) => Scope.close(own, EffectExit.void));

const createFor = (
  host: SessionHost,
  request: ProgramRequest,
  command: OwnCommand,
  consoleSize: ConsoleSize | undefined,
): Effect.Effect<string, Failure, Scope.Scope> => {
  const { engine, execution, identity, instance, containerName: name } = host;
  const channel = String(request.channel);
  const labels = { ...connectionLabels(instance, "session", identity), [CHANNEL]: channel };
  host.logger.debug("DOCKER_CONTAINER_CREATE", "Creating the container", { channel: request.channel });
  return scopedContainer(
    host,
    programContainer(
      { execution, name, labels },
      {
        command,
        environment: programEnvironment(request, loginEnvironment(identity, execution)),
        terminal: request.terminal !== undefined,
        consoleSize,
        init: engine.hasInit(),
      },
    ),
    { [CONNECTION_ID]: identity.connectionId, [CHANNEL]: channel },
  );
};

const inspection = (
  { engine, timeouts }: SessionHost,
  container: string,
): Effect.Effect<ProgramState, EngineError> =>
  Effect.map(inspectContainer(engine, container, timeouts.http), ({ State }) => ({
    isRunning: State.Running,
    exitCode: State.ExitCode,
  }));

const awaitExit = (
  host: SessionHost,
  container: string,
  streams: ProgramStreams,
  { program, channel }: ProgramRequest,
  delivered: ReadonlySet<string>,
): Effect.Effect<Exit, Failure> =>
  Effect.gen(function* () {
    const code = yield* watchProgram(streams, inspection(host, container));
    host.logger.debug("DOCKER_EXIT_CODE", "The program ended", { channel, code });
    const message = code === KILLED ? yield* whyKilled(host, container) : "";
    return exitOf({ code, program, delivered, message });
  }).pipe(
    Effect.mapError((error) => {
      const details = { container };
      return error.status === 404
        ? new ContainerGone({ message: `The container was removed: ${error.message}`, details })
        : new ExitUnknown({
            message: `How the program ended can't be learned: ${error.message}`,
            details,
            cause: error.cause,
          });
    }),
  );

const whyKilled = (
  { engine, timeouts }: SessionHost,
  container: string,
): Effect.Effect<string, EngineError> =>
  Effect.map(inspectContainer(engine, container, timeouts.http), ({ State }) =>
    State.OOMKilled ? "The program was killed because memory ran out." : "",
  );

const resize = (
  { engine, timeouts }: SessionHost,
  container: string,
  [rows, columns]: ConsoleSize,
): Effect.Effect<void, EngineError> =>
  Effect.asVoid(
    engine.json(
      {
        method: "POST",
        path: enginePath("containers", container, "resize"),
        query: { h: rows, w: columns },
      },
      timeouts.window,
    ),
  );

const signal = (
  { engine, timeouts, logger }: SessionHost,
  container: string,
  name: string,
  delivered: Set<string>,
): Effect.Effect<void, Failure> => {
  const details = { signal: name, container };
  if (!Object.hasOwn(SIGNALS, name)) {
    return Effect.fail(new ContainerSignalFailed({ message: "There is no such signal", details }));
  }
  logger.debug("DOCKER_CONTAINER_SIGNAL", "Sending a signal to the container", details);
  delivered.add(name);
  return engine
    .json(
      {
        method: "POST",
        path: enginePath("containers", container, "kill"),
        query: { signal: `SIG${name}` },
      },
      timeouts.signal,
    )
    .pipe(
      Effect.tapError(() => Effect.sync(() => delivered.delete(name))),
      Effect.mapError(explained(ContainerSignalFailed, "The signal could not be sent", details)),
      Effect.asVoid,
    );
};
