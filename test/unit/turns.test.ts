import { Effect, Fiber } from "effect";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { inTurn, ownTurn } from "../../src/turns.ts";

let nowMillis = 0;
let done: number[] = [];

beforeEach(() => {
  done = [];
  vi.spyOn(performance, "now").mockImplementation(() => nowMillis);
});
afterEach(() => vi.restoreAllMocks());

const pieces = (...numbers: readonly number[]) => numbers.map((number) => inTurn(() => done.push(number)));

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("one piece a turn is done, in the order of their coming", async () => {
  pieces(1, 2, 3);
  expect(done).toEqual([]);
  await nextTurn();
  expect(done).toEqual([1]);
  pieces(4);
  await nextTurn();
  expect(done).toEqual([1, 2]);
  await nextTurn();
  await nextTurn();
  expect(done).toEqual([1, 2, 3, 4]);
});

it("more of them are done where all else takes long, for a third of that time", async () => {
  const PIECE_MILLIS = 3;
  for (const number of [1, 2, 3, 4, 5, 6]) {
    inTurn(() => {
      done.push(number);
      nowMillis += PIECE_MILLIS;
    });
  }
  nowMillis += 17;
  await nextTurn();
  expect(done).toEqual([1, 2]);
  nowMillis += 1;
  await nextTurn();
  expect(done).toEqual([1, 2, 3]);
  nowMillis += 1000;
  await nextTurn();
  expect(done).toEqual([1, 2, 3, 4, 5, 6]);
});

it("what was taken back is not done, and costs no turn", async () => {
  const [, second] = pieces(1, 2, 3);
  second?.();
  await nextTurn();
  await nextTurn();
  expect(done).toEqual([1, 3]);
});

it("whoever is interrupted gives up the turn", async () => {
  const waiting = Effect.runFork(ownTurn);
  pieces(1);
  const next = Effect.runPromise(ownTurn).then(() => done.push(2));
  await Effect.runPromise(Fiber.interrupt(waiting));
  await next;
  expect(done).toEqual([1, 2]);
});
