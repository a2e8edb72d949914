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

it("more of them are done where turns are long, but not all", async () => {
  pieces(1, 2, 3, 4, 5, 6, 7, 8, 9);
  nowMillis += 19;
  await nextTurn();
  expect(done).toEqual([1, 2]);
  nowMillis += 1000;
  await nextTurn();
  expect(done).toEqual([1, 2, 3, 4, 5, 6, 7]);
  await nextTurn();
  expect(done).toHaveLength(8);
  await nextTurn();
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
