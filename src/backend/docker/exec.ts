/** Programs by the Engine's exec (Docker Engine API, Exec): created, attached, sized, and watched until they end. */
import { type Duration, Effect, type Scope } from "effect";
import { type Engine, enginePath } from "./engine.ts";
import { EngineError } from "./failures.ts";
import type { ConsoleSize } from "./first-size.ts";
import type { Preamble } from "./preamble.ts";
import { ProgramStreams } from "./streams.ts";
import { type ProgramState, watchProgram } from "./watch.ts";

/** How much of what a helper program says is kept for the log. */
const HELPER_OUTPUT_BYTES = 4096;

export interface ExecSpec {
  readonly container: string;
  readonly command: readonly string[];
  /** `NAME=value`. */
  readonly environment: readonly string[];
  readonly terminal: boolean;
}

export interface Timeouts {
  readonly start: Duration.Duration;
  /** Of questions about a program that runs. */
  readonly http: Duration.Duration;
}

export const createExec = (
  engine: Engine,
  { container, command, environment, terminal }: ExecSpec,
  timeout: Duration.Duration,
): Effect.Effect<string, EngineError> =>
  Effect.map(
    engine.json<{ Id: string }>(
      {
        method: "POST",
        path: enginePath("containers", container, "exec"),
        body: {
          AttachStdin: true,
          AttachStdout: true,
          AttachStderr: true,
          Tty: terminal,
          Env: environment,
          Cmd: command,
        },
      },
      timeout,
    ),
    ({ Id }) => Id,
  );

/** Starts a created exec; closing the scope closes its streams and leaves the program to itself. */
export const attachExec = (
  engine: Engine,
  exec: string,
  options: {
    readonly terminal: boolean;
    /** For an Engine that takes the size at the start. */
    readonly consoleSize: ConsoleSize | undefined;
    readonly preamble: Preamble | undefined;
  },
  timeout: Duration.Duration,
): Effect.Effect<ProgramStreams, EngineError, Scope.Scope> =>
  Effect.gen(function* () {
    const { terminal, consoleSize, preamble } = options;
    const socket = yield* engine.hijack(
      {
        method: "POST",
        path: enginePath("exec", exec, "start"),
        body: { Detach: false, Tty: terminal, ...(consoleSize && { ConsoleSize: consoleSize }) },
      },
      timeout,
    );
    return yield* Effect.acquireRelease(
      Effect.sync(() => new ProgramStreams(socket, { raw: terminal, preamble })),
      (streams) => Effect.sync(() => streams.destroy()),
    );
  });

/** Docker Engine API, ExecInspect. */
interface ExecInspection {
  readonly Running: boolean;
  readonly ExitCode: number | null;
}

export const inspectExec = (
  engine: Engine,
  exec: string,
  timeout: Duration.Duration,
): Effect.Effect<ProgramState, EngineError> =>
  Effect.map(
    engine.json<ExecInspection>({ method: "GET", path: enginePath("exec", exec, "json") }, timeout),
    ({ Running, ExitCode }) => ({ isRunning: Running, exitCode: ExitCode ?? 0 }),
  );

export const resizeExec = (
  engine: Engine,
  exec: string,
  [rows, columns]: ConsoleSize,
  timeout: Duration.Duration,
): Effect.Effect<void, EngineError> =>
  Effect.asVoid(
    engine.json(
      { method: "POST", path: enginePath("exec", exec, "resize"), query: { h: rows, w: columns } },
      timeout,
    ),
  );

export interface HelperResult {
  readonly exitCode: number;
  /** What it said, both outputs as they came, cut to a few lines. */
  readonly output: string;
}

/** Runs a short program of ours in the container: it gets `input`, and what it says is for the log. */
export const runHelper = (
  engine: Engine,
  container: string,
  command: readonly string[],
  timeouts: Timeouts,
  input: Uint8Array = new Uint8Array(),
): Effect.Effect<HelperResult, EngineError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const exec = yield* createExec(
        engine,
        { container, command, environment: [], terminal: false },
        timeouts.start,
      );
      const streams = yield* attachExec(
        engine,
        exec,
        { terminal: false, consoleSize: undefined, preamble: undefined },
        timeouts.start,
      );
      let output = "";
      const keep = (chunk: Buffer): void => {
        output = (output + chunk.toString("utf8")).slice(0, HELPER_OUTPUT_BYTES);
      };
      streams.stdout.on("data", keep);
      streams.stderr?.on("data", keep);
      streams.stdin.end(input);
      const exitCode = yield* watchProgram(streams, inspectExec(engine, exec, timeouts.http));
      return { exitCode, output: output.trim() };
    }),
  ).pipe(
    Effect.timeoutOrElse({
      duration: timeouts.start,
      orElse: () =>
        Effect.fail(
          new EngineError({
            kind: "silent",
            status: undefined,
            message: `${command[0]} did not end in time`,
          }),
        ),
    }),
  );
