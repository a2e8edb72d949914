import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { CrowdMemory } from "../../src/crowd-memory.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const crowd = () => {
  const collected = vi.fn();
  const memory = new CrowdMemory(collected);
  const come = (count: number): void => {
    for (let number = 0; number < count; number++) memory.began();
  };
  const go = (count: number): void => {
    for (let number = 0; number < count; number++) memory.ended();
  };
  return { collected, come, go };
};

test("memory is given back once, when a crowd is gone and nobody has gone for a while", () => {
  const { collected, come, go } = crowd();
  come(1_000);
  go(800);
  vi.advanceTimersByTime(4_000);
  go(100);
  vi.advanceTimersByTime(4_000);
  expect(collected).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1_000);
  expect(collected).toHaveBeenCalledTimes(1);
  go(100);
  vi.advanceTimersByTime(60_000);
  expect(collected).toHaveBeenCalledTimes(1);
});

test("it is not while most of them are still there, nor when they come again at once", () => {
  const { collected, come, go } = crowd();
  come(2_000);
  go(900);
  vi.advanceTimersByTime(60_000);
  go(1_100);
  come(2_000);
  vi.advanceTimersByTime(60_000);
  expect(collected).not.toHaveBeenCalled();
});

test("it is not for those that come and go as ever", () => {
  const { collected, come, go } = crowd();
  for (let round = 0; round < 100; round++) {
    come(499);
    vi.advanceTimersByTime(6_000);
    go(499);
    vi.advanceTimersByTime(6_000);
  }
  expect(collected).not.toHaveBeenCalled();
});
