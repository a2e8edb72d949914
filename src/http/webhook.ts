/**
 * Asking a webhook as the reference does: whatever fails (no connection, another status than 200, an answer that
 * can't be read) is tried again until it succeeds or time is up.
 */
import { Data, type Duration, Effect, Schedule, Schema } from "effect";
import type { Failure } from "../failure.ts";
import type { HttpClient } from "./client.ts";
import { HttpDecodeFailed, HttpEncodeFailed } from "./failures.ts";

/** Time is up. */
export class GaveUp extends Data.TaggedError("GaveUp")<{
  readonly tries: number;
  /** Why the last try that ended failed; none if the first did not even end. */
  readonly last: Failure | undefined;
}> {}

/**
 * The reference waits 10 s between tries. Here the pause only grows up to that, so that a short trouble of the
 * webhook delays a login by a moment, and varies, so that those who waited don't all come back at once.
 */
export const pauses = Schedule.jittered(
  Schedule.min([Schedule.exponential("250 millis"), Schedule.spaced("10 seconds")]),
);

/** The part of an HTTP client that webhooks need. */
export type JsonPoster = Pick<HttpClient, "postJson">;

export interface Question<S extends Schema.ConstraintDecoder<unknown>> {
  readonly client: JsonPoster;
  /** Appended to the configured URL. */
  readonly path: string;
  readonly body: unknown;
  readonly answer: S;
  /** A try that is under way when this is over is interrupted. */
  readonly within: Duration.Duration;
  readonly invalidStatus: (status: number) => Failure;
  /** Called before the first try (0) and each that follows. */
  readonly onTry: (retry: number) => void;
  readonly onFailure: (failed: Failure) => void;
  /** Called when nobody waits for an answer any more, after tries that failed. */
  readonly onAbandoned: (gaveUp: GaveUp) => void;
}

/** Asks until there is an answer that can be read, with status 200. */
export const askWebhook = <S extends Schema.ConstraintDecoder<unknown>>(
  question: Question<S>,
): Effect.Effect<S["Type"], GaveUp> =>
  Effect.suspend(() => {
    let tries = 0;
    let last: Failure | undefined;
    const gaveUp = () => new GaveUp({ tries, last });
    return Effect.suspend(() => {
      question.onTry(tries++);
      return tryOnce(question);
    }).pipe(
      Effect.tapError((failed) =>
        Effect.sync(() => {
          last = failed;
          question.onFailure(failed);
        }),
      ),
      Effect.retry(pauses),
      Effect.mapError(gaveUp),
      Effect.timeoutOrElse({
        duration: question.within,
        orElse: () => Effect.suspend(() => Effect.fail(gaveUp())),
      }),
      Effect.onInterrupt(() =>
        Effect.sync(() => {
          if (last !== undefined) question.onAbandoned(gaveUp());
        }),
      ),
    );
  });

const tryOnce = <S extends Schema.ConstraintDecoder<unknown>>({
  client,
  path,
  body,
  answer,
  invalidStatus,
}: Question<S>): Effect.Effect<S["Type"], Failure> =>
  Effect.gen(function* () {
    const response = yield* client.postJson(path, body);
    return response.status === 200
      ? yield* readAnswer(answer, response.body)
      : yield* Effect.fail(invalidStatus(response.status));
  });

/** Fields nobody knows are refused, as the reference does: they are misspelt ones. */
const readAnswer = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  body: unknown,
): Effect.Effect<S["Type"], HttpDecodeFailed> =>
  Schema.decodeUnknownEffect(schema, { onExcessProperty: "error" })(body).pipe(
    Effect.mapError(
      (error) => new HttpDecodeFailed({ message: `Failed to decode HTTP response: ${error.message}` }),
    ),
  );

/** Writes a request. */
export const writeRequest =
  <S extends Schema.ConstraintEncoder<unknown>>(schema: S) =>
  (request: S["Type"]): Effect.Effect<S["Encoded"], HttpEncodeFailed> =>
    Schema.encodeEffect(schema)(request).pipe(
      Effect.mapError(
        (error) => new HttpEncodeFailed({ message: `HTTP request encoding failed: ${error.message}` }),
      ),
    );
