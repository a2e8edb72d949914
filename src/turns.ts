/**
 * Turns of the event loop for work that takes milliseconds and comes in crowds, such as logging in and starting
 * programs: piece by piece, in the order in which it came. What those who are in type is read between two turns.
 */
import { Effect } from "effect";

/**
 * A turn is one piece, and more where the loop is long because sessions move much data: until it took this part of
 * what all else took since the last turn.
 */
const SHARE = 1 / 3;
const MOST_PIECES = 8;

/** In the order of their coming. */
const waiting = new Set<() => void>();
let isTurnAhead = false;

/** Does this in a turn to come; gives what takes it back. */
export const inTurn = (act: () => void): (() => void) => {
  const piece = () => act();
  waiting.add(piece);
  askForTurn();
  return () => void waiting.delete(piece);
};

/** Succeeds in a turn to come. */
export const ownTurn: Effect.Effect<void> = Effect.callback((resume) => {
  const takeBack = inTurn(() => resume(Effect.void));
  return Effect.sync(takeBack);
});

const askForTurn = (): void => {
  if (isTurnAhead || waiting.size === 0) return;
  isTurnAhead = true;
  const lastEndedAt = performance.now();
  let endsAt: number | undefined;
  const takePiece = (): void => {
    const now = performance.now();
    if (endsAt !== undefined && now >= endsAt) return;
    endsAt ??= now + (now - lastEndedAt) * SHARE;
    const [piece] = waiting;
    if (piece === undefined) return;
    waiting.delete(piece);
    piece();
  };
  // An immediate for each: between two of them, Node.js does what the first one has set going (its promises).
  for (let pieces = 0; pieces < MOST_PIECES; pieces += 1) setImmediate(takePiece);
  setImmediate(() => {
    isTurnAhead = false;
    askForTurn();
  });
};
