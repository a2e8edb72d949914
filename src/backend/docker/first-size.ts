/**
 * The size of a terminal before its program writes. Engines take it at the start from API 1.42 on; on others it can be
 * set only once the terminal is there, so the program's launcher waits for it (moby 31223, docker/cli 3554).
 */
import { type Duration, Effect, Schedule, type Scope } from "effect";
import type { Terminal, TerminalSize } from "../../../machines/facts.ts";
import type { Logger } from "../../log/logger.ts";
import type { ApiVersion } from "./engine.ts";
import type { EngineError } from "./failures.ts";
import { GO_ON, type Launcher } from "./launch.ts";
import type { Preamble } from "./preamble.ts";
import type { ProgramStreams } from "./streams.ts";
import { happensWithin } from "./watch.ts";

/** The first API that starts a program with the size of its terminal. */
export const CONSOLE_SIZE_API: ApiVersion = [1, 42];

export type ConsoleSize = readonly [rows: number, columns: number];

/** Rows and columns, unless the client did not give them. */
export const sizeOf = (size: Terminal | TerminalSize | undefined): ConsoleSize | undefined =>
  size === undefined || size.rows === 0 || size.columns === 0 ? undefined : [size.rows, size.columns];

export interface FirstSize {
  /** Refused by the Engine until the terminal is there. */
  readonly resize: Effect.Effect<void, EngineError>;
  readonly streams: ProgramStreams;
  readonly launcher: Launcher;
  readonly preamble: Preamble;
  /** Whether the program waits for its size behind its launcher; otherwise it comes as soon as it can. */
  readonly waits: boolean;
  readonly timeouts: { readonly window: Duration.Duration; readonly commandStart: Duration.Duration };
  readonly logger: Logger;
}

export const giveFirstSize = (first: FirstSize): Effect.Effect<void, never, Scope.Scope> => {
  const { resize, streams, launcher, preamble, waits, timeouts, logger } = first;
  const give = Effect.raceFirst(
    Effect.retry(resize, {
      schedule: Schedule.upTo(Schedule.spaced("10 millis"), { duration: timeouts.window }),
      while: ({ kind }) => kind === "answered",
    }),
    // A program that has ended has no terminal any more.
    Effect.promise(() => streams.ended),
  ).pipe(
    Effect.catch((error) =>
      Effect.sync(() =>
        logger.notice("DOCKER_EXEC_RESIZE_FAILED", `The terminal did not get its size: ${error.message}`),
      ),
    ),
  );
  if (!waits) return Effect.asVoid(Effect.forkScoped(give));
  return Effect.gen(function* () {
    // A shell says that it is there; the agent waits in silence.
    if (launcher === "shell") yield* happensWithin(preamble.begun, timeouts.commandStart);
    yield* give;
    streams.sendToLauncher(GO_ON);
  });
};
