/** What live connections hold, and that all of it is given back before the daemon goes. */
import { Deferred, Duration, Effect, Scope } from "effect";
import { expect, test } from "vitest";
import { Connections } from "../../src/connections.ts";
import type { Link } from "../../src/ssh/link.ts";
import { memoryLogger } from "../support/memory-logger.ts";

const open = (patience = Duration.minutes(1)) => {
  const log = memoryLogger();
  const connections = new Connections(log.logger, patience);
  const said: string[] = [];
  const link: Partial<Link> = {
    connectionId: "c1",
    remoteAddress: "127.0.0.1:1",
    logger: log.logger.with({ connectionId: "c1" }),
    disconnect: (reason) => void said.push(reason),
  };
  connections.open(link as Link, () => {});
  const holds = (givenBack: Effect.Effect<void>): void =>
    Effect.runSync(Scope.addFinalizer(connections.get("c1").scope, givenBack));
  return { connections, log, said, holds };
};

test("the daemon waits for what is being given back already, and it is given back once", async () => {
  const { connections, holds, said } = open();
  const asked = Deferred.makeUnsafe<void>();
  const answered = Deferred.makeUnsafe<void>();
  const events: string[] = [];
  holds(
    Effect.gen(function* () {
      events.push("asked");
      yield* Deferred.succeed(asked, undefined);
      yield* Deferred.await(answered);
      events.push("given back");
    }),
  );
  // As when a connection's actor is stopped in the middle of it.
  const actor = new AbortController();
  const interrupted = Effect.runPromise(connections.release("c1"), { signal: actor.signal });
  await Effect.runPromise(Deferred.await(asked));
  actor.abort();
  await interrupted.catch(() => events.push("actor stopped"));
  const settled = connections.settle().then(() => events.push("settled"));
  Deferred.doneUnsafe(answered, Effect.void);
  await settled;
  expect(events).toEqual(["asked", "actor stopped", "given back", "settled"]);
  expect(said).toEqual(["byApplication"]);
});

test("what is never given back holds the daemon up for a while only, and that is logged", async () => {
  const { connections, holds, log } = open(Duration.millis(20));
  holds(Effect.never);
  await connections.settle();
  expect(log.entries).toMatchObject([
    {
      level: "error",
      code: "SSH_RELEASE_FAILED",
      details: { connectionId: "c1", releaseTimeoutSeconds: 0.02 },
    },
  ]);
});

test("a mistake of ours in giving back is logged and harms nobody else", async () => {
  const { connections, holds, log } = open();
  holds(Effect.die(new TypeError("oops")));
  connections.abandon("c1");
  await connections.settle();
  expect(log.entries).toMatchObject([
    { level: "error", code: "UNKNOWN_ERROR", message: "TypeError: oops", details: { connectionId: "c1" } },
  ]);
});
