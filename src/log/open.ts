/** Opens the log that the configuration describes. */
import type { Writable } from "node:stream";
import { Effect, type Scope } from "effect";
import { facilities, type Log as LogConfig } from "../config/sections/log.ts";
import { codes } from "./codes.ts";
import type { Destination } from "./destination.ts";
import { createLogger, type Entry } from "./entry.ts";
import { type LogFailure, LogRotateFailed, reasonOf } from "./failures.ts";
import { openFile } from "./file.ts";
import { formatLine, formatSyslog } from "./format.ts";
import type { Logger } from "./logger.ts";
import { LineQueue } from "./queue.ts";
import { streamDestination } from "./stream.ts";
import { openSyslog } from "./syslog.ts";

/** The process's streams, or others in tests. */
export interface LogStreams {
  readonly stdout: Writable;
  /** Where an operator is told that the log itself cannot be written. */
  readonly stderr: Writable;
}

export interface Log {
  readonly logger: Logger;
  /** For SIGHUP: opens the file or the syslog socket again. If that fails the old one stays in use. */
  readonly reopen: Effect.Effect<void, LogRotateFailed>;
  /** Succeeds when what was logged so far is written, or could not be written. */
  readonly flush: Effect.Effect<void>;
}

/**
 * Opens the log. Closing the scope writes what still waits, for two seconds at most.
 *
 * @example
 * const log = yield* openLog(config.log, process);
 * log.logger.info("SSH_AVAILABLE", "the SSH server is available", { address: "0.0.0.0:2222" });
 */
export const openLog = (
  config: LogConfig,
  streams: LogStreams,
): Effect.Effect<Log, LogFailure, Scope.Scope> =>
  Effect.gen(function* () {
    yield* Effect.acquireRelease(
      Effect.sync(() => streams.stderr.on("error", nobodyLeftToTell)),
      () => Effect.sync(() => streams.stderr.off("error", nobodyLeftToTell)),
    );
    const format = formatFor(config);
    const queue = yield* Effect.acquireRelease(
      Effect.map(
        openDestination(config, streams),
        (destination) =>
          new LineQueue(destination, {
            tell: (sentence) => streams.stderr.write(`${codes.LOG_WRITE_FAILED}: ${sentence}\n`),
            lossLine: (lost, reason) => format(lossEntry(lost, reason)),
          }),
      ),
      (opened) => Effect.promise(() => opened.close()),
    );
    return {
      logger: createLogger(config.level, (entry) => queue.push(format(entry))),
      reopen: Effect.tryPromise({
        try: () => queue.reopen(),
        catch: (cause) =>
          new LogRotateFailed({ message: `failed to open the log again (${reasonOf(cause)})`, cause }),
      }),
      flush: Effect.promise(() => queue.flush()),
    };
  });

/** A closed stderr must not end the process either. */
const nobodyLeftToTell = () => {};

const openDestination = (config: LogConfig, streams: LogStreams): Effect.Effect<Destination, LogFailure> => {
  switch (config.destination) {
    case "stdout":
      return Effect.sync(() => streamDestination(streams.stdout, "standard output"));
    case "file":
      return openFile(config.file);
    case "syslog":
      return openSyslog(config.syslog.destination);
  }
};

const formatFor = ({ destination, format, syslog }: LogConfig): ((entry: Entry) => string) => {
  if (destination !== "syslog") return (entry) => formatLine(format, entry);
  const header = {
    facility: facilities.indexOf(syslog.facility),
    tag: syslog.pid ? `${syslog.tag}[${process.pid}]` : syslog.tag,
  };
  return (entry) => formatSyslog(format, header, entry);
};

const lossEntry = (lost: number, reason: string): Entry => ({
  time: Date.now(),
  level: "error",
  code: codes.LOG_WRITE_FAILED,
  message: `${lost} log lines are missing here (${reason})`,
  details: { lost },
});
