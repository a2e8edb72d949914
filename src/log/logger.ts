/** The log as its users see it: a level, the reference's message code, a sentence, details; labels are inherited. */
import type { Redacted } from "effect";
import type { Level } from "../../machines/facts.ts";

/** A redacted value is written as `<redacted>`, an error as its name and message, with its stack at level debug only. */
export type Detail = string | number | boolean | undefined | Redacted.Redacted<unknown> | Error;

export type Details = Readonly<Record<string, Detail>>;

export interface Logger {
  readonly log: (level: Level, code: string, message: string, details?: Details) => void;
  readonly debug: (code: string, message: string, details?: Details) => void;
  readonly info: (code: string, message: string, details?: Details) => void;
  readonly notice: (code: string, message: string, details?: Details) => void;
  readonly warning: (code: string, message: string, details?: Details) => void;
  readonly error: (code: string, message: string, details?: Details) => void;
  /** The same log with these details on every line. */
  readonly with: (labels: Details) => Logger;
  /** The same log with another threshold: the configuration server may set one per connection. */
  readonly at: (level: Level) => Logger;
}
