/**
 * Watches a program from its start to its end. Its streams' end announces it; when a slow reader holds them up, the
 * Engine is asked, because it throws away what nobody has taken two seconds after the program's end.
 */
import { Duration, Effect, Option } from "effect";
import { EngineError } from "./failures.ts";
import type { ProgramStreams } from "./streams.ts";

/** Shorter than the Engine's two seconds. */
const SLOW_READER_POLL = Duration.millis(500);
/** A program may close its output and go on running: it is asked for less and less often. */
const FIRST_POLL = Duration.millis(20);
const LAST_POLL = Duration.seconds(1);

export interface ProgramState {
  readonly isRunning: boolean;
  readonly exitCode: number;
}

/** The exit code of the program whose streams these are. */
export const watchProgram = (
  streams: ProgramStreams,
  inspect: Effect.Effect<ProgramState, EngineError>,
): Effect.Effect<number, EngineError> =>
  Effect.gen(function* () {
    const early = yield* Effect.raceFirst(streamsEnded(streams), watchSlowReader(streams, inspect));
    if (early !== undefined) return early;
    let pause = FIRST_POLL;
    for (;;) {
      const state = yield* inspect;
      if (!state.isRunning) return state.exitCode;
      yield* Effect.sleep(pause);
      pause = Duration.min(Duration.times(pause, 2), LAST_POLL);
    }
  });

const streamsEnded = (streams: ProgramStreams): Effect.Effect<undefined, EngineError> =>
  Effect.flatMap(
    Effect.promise(() => streams.ended),
    ({ error }) =>
      error === undefined
        ? Effect.succeed(undefined)
        : Effect.fail(
            new EngineError({ kind: "unreachable", status: undefined, message: error.message, cause: error }),
          ),
  );

/** Succeeds with the exit code of a program that ended while its reader was slow. */
const watchSlowReader = (
  streams: ProgramStreams,
  inspect: Effect.Effect<ProgramState, EngineError>,
): Effect.Effect<number, EngineError> =>
  Effect.gen(function* () {
    for (;;) {
      yield* Effect.promise(() => streams.slowed());
      let pauses: number;
      do {
        pauses = streams.pauses;
        const state = yield* inspect;
        if (!state.isRunning) {
          streams.drain();
          return state.exitCode;
        }
        yield* Effect.sleep(SLOW_READER_POLL);
      } while (streams.isPaused || streams.pauses !== pauses);
    }
  });

/** Waits for something that may never happen; tells whether it did. */
export const happensWithin = (promise: Promise<unknown>, time: Duration.Duration): Effect.Effect<boolean> =>
  Effect.map(
    Effect.timeoutOption(
      Effect.promise(() => promise),
      time,
    ),
    Option.isSome,
  );
