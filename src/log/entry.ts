/** One log message, and the logger that makes them: it filters by level before it does anything else. */
import type { Level } from "../../machines/facts.ts";
import type { Details, Logger } from "./logger.ts";

export interface Entry {
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly level: Level;
  readonly code: string;
  readonly message: string;
  /** Those of the message and, stronger, those of the logger. */
  readonly details: Details;
}

/** Syslog's numbers (RFC 5424 section 6.2.1): the lower, the more severe. */
export const severity: Readonly<Record<Level, number>> = {
  emerg: 0,
  alert: 1,
  crit: 2,
  error: 3,
  warning: 4,
  notice: 5,
  info: 6,
  debug: 7,
};

type Emit = (entry: Entry) => void;

/** A logger that hands every message of at least `threshold`'s severity to `emit`. */
export const createLogger = (threshold: Level, emit: Emit): Logger => labelled(threshold, {}, emit);

const filtered = () => {};

const labelled = (threshold: Level, labels: Details, emit: Emit): Logger => {
  const write = (level: Level, code: string, message: string, details: Details | undefined): void =>
    emit({
      time: Date.now(),
      level,
      code,
      message,
      // Labels come first in the line and win: what a peer sent must not replace who the peer is.
      details: details === undefined ? labels : { ...labels, ...details, ...labels },
    });
  const at = (level: Level): Logger["debug"] =>
    severity[level] > severity[threshold]
      ? filtered
      : (code, message, details) => write(level, code, message, details);
  return {
    log: (level, code, message, details) => {
      if (severity[level] <= severity[threshold]) write(level, code, message, details);
    },
    debug: at("debug"),
    info: at("info"),
    notice: at("notice"),
    warning: at("warning"),
    error: at("error"),
    with: (more) => labelled(threshold, { ...labels, ...more }, emit),
    at: (level) => labelled(level, labels, emit),
  };
};
