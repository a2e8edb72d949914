/** A logger that keeps what it was told, for tests that look at it. */
import { createLogger, type Entry } from "../../src/log/entry.ts";
import type { Logger } from "../../src/log/logger.ts";

export interface RecordedLog {
  readonly logger: Logger;
  readonly entries: readonly Entry[];
  readonly codes: () => string[];
  /** Everything that was logged as one text, to look for what must not be in it. */
  readonly text: () => string;
}

export const recordedLog = (): RecordedLog => {
  const entries: Entry[] = [];
  return {
    logger: createLogger("debug", (entry) => entries.push(entry)),
    entries,
    codes: () => entries.map(({ code }) => code),
    text: () => JSON.stringify(entries),
  };
};
