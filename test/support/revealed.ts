/** Redacted values look equal whatever they hold; tests compare what is inside. */
import { Redacted } from "effect";

/** The same value with everything redacted laid open, bytes as a Buffer's text in latin1. */
export const revealed = (value: unknown): unknown => {
  if (Redacted.isRedacted(value)) return revealed(Redacted.value(value));
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  if (Array.isArray(value)) return value.map(revealed);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revealed(item)]));
  }
  return value;
};
