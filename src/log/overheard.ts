/** A log that somebody else hears too: the inspector puts the lines of a connection between its events. */
import type { Level } from "../../machines/facts.ts";
import type { Entry } from "./entry.ts";
import type { Details, Logger } from "./logger.ts";

/** The same log. `hear` gets every line, also those that the log's threshold leaves out. */
export const overheard = (logger: Logger, hear: (entry: Entry) => void, labels: Details = {}): Logger => {
  const log = (level: Level, code: string, message: string, details: Details = {}): void => {
    logger.log(level, code, message, details);
    hear({ time: Date.now(), level, code, message, details: { ...details, ...labels } });
  };
  const at =
    (level: Level): Logger["debug"] =>
    (code, message, details) =>
      log(level, code, message, details);
  return {
    log,
    debug: at("debug"),
    info: at("info"),
    notice: at("notice"),
    warning: at("warning"),
    error: at("error"),
    with: (more) => overheard(logger.with(more), hear, { ...labels, ...more }),
    at: (level) => overheard(logger.at(level), hear, labels),
  };
};
