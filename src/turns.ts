/**
 * Turns of the event loop for work that takes milliseconds and comes in crowds, such as logging in and starting
 * programs: one piece a turn, in the order in which it came. What those who are in type is read between two of them.
 */
import { Effect } from "effect";

/** Where the turns themselves are long, because sessions move much data, more is done in each: a piece for so much time. */
const MILLIS_PER_PIECE = 10;
/** More would be felt: a key exchange takes up to 4 ms. */
const MOST_PIECES = 5;

/** In the order of their coming. */
const waiting = new Set<() => void>();
let isTurnAhead = false;

/** Does this in a turn of its own, later than this returns; gives what takes it back. */
export const inTurn = (act: () => void): (() => void) => {
  const piece = () => act();
  waiting.add(piece);
  askForTurn();
  return () => void waiting.delete(piece);
};

/** Succeeds in a turn of its own. */
export const ownTurn: Effect.Effect<void> = Effect.callback((resume) => {
  const takeBack = inTurn(() => resume(Effect.void));
  return Effect.sync(takeBack);
});

const askForTurn = (): void => {
  if (isTurnAhead || waiting.size === 0) return;
  isTurnAhead = true;
  setImmediate(takeTurn, performance.now());
};

const takeTurn = (askedAt: number): void => {
  isTurnAhead = false;
  const waitedMillis = performance.now() - askedAt;
  let left = Math.min(MOST_PIECES, 1 + Math.floor(waitedMillis / MILLIS_PER_PIECE));
  for (const piece of waiting) {
    if (left === 0) break;
    left -= 1;
    waiting.delete(piece);
    piece();
  }
  askForTurn();
};
