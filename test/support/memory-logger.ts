/** A log that keeps what is logged, for tests to look at and to wait for. */
import { EventEmitter } from "node:events";
import type { Level } from "../../machines/facts.ts";
import { createLogger, type Entry } from "../../src/log/entry.ts";
import { formatLine } from "../../src/log/format.ts";
import type { Logger } from "../../src/log/logger.ts";

export interface MemoryLog {
  readonly logger: Logger;
  /** Everything logged so far, in order. */
  readonly entries: ReadonlyArray<Entry>;
  /** The codes of everything logged so far. */
  readonly codes: () => ReadonlyArray<string>;
  /** Everything logged so far as a file would have it, to look for what must not be in it. */
  readonly text: () => string;
  /** The first entry with a code, once it is there; the test's own time limit ends the waiting. */
  readonly waitFor: (code: string) => Promise<Entry>;
}

export const memoryLogger = (level: Level = "debug"): MemoryLog => {
  const entries: Entry[] = [];
  const logged = new EventEmitter().setMaxListeners(0);
  const logger = createLogger(level, (entry) => {
    entries.push(entry);
    logged.emit(entry.code, entry);
  });
  return {
    logger,
    entries,
    codes: () => entries.map(({ code }) => code),
    text: () => entries.map((entry) => formatLine("ljson", entry)).join(""),
    waitFor: (code) => {
      const found = entries.find((entry) => entry.code === code);
      return found === undefined
        ? new Promise((resolve) => logged.once(code, resolve))
        : Promise.resolve(found);
    },
  };
};
