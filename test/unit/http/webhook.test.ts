import { Clock, Duration, Effect, Fiber, Schema } from "effect";
import { TestClock } from "effect/testing";
import { expect, test } from "vitest";
import { HttpConnectionFailed } from "../../../src/http/failures.ts";
import { askWebhook, GaveUp } from "../../../src/http/webhook.ts";

test("pauses begin small, grow to ten seconds and end in time", async () => {
  const asked: number[] = [];
  const asking = askWebhook({
    client: {
      postJson: () =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          asked.push(now);
          return Effect.fail(new HttpConnectionFailed({ message: "nobody there" }));
        }),
    },
    path: "",
    body: {},
    answer: Schema.Struct({}),
    within: Duration.minutes(10),
    invalidStatus: () => new HttpConnectionFailed({ message: "not reached" }),
    onTry: () => {},
    onFailure: () => {},
    onAbandoned: () => {},
  });
  const failed = await Effect.runPromise(
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.flip(asking));
      yield* TestClock.adjust(Duration.minutes(10));
      return yield* Fiber.join(fiber);
    }).pipe(Effect.provide(TestClock.layer())),
  );
  const pauses = asked.slice(1).map((time, index) => time - (asked[index] ?? 0));
  expect(pauses[0]).toBeLessThanOrEqual(300);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(12_000);
  expect(Math.min(...pauses.slice(7))).toBeGreaterThanOrEqual(8_000);
  expect(asked.at(-1)).toBeGreaterThan(588_000);
  expect(failed).toBeInstanceOf(GaveUp);
  expect(failed).toMatchObject({ tries: asked.length, last: { code: "HTTP_CLIENT_CONNECTION_FAILED" } });
});
