/** What can go wrong with a log itself. */
import { failure } from "../failure.ts";

const sentence = "The server's log is not available.";

export class LogFileOpenFailed extends failure("LogFileOpenFailed", "LOG_FILE_OPEN_FAILED", sentence) {}
export class LogSyslogOpenFailed extends failure("LogSyslogOpenFailed", "LOG_SYSLOG_OPEN_FAILED", sentence) {}
export class LogRotateFailed extends failure("LogRotateFailed", "LOG_ROTATE_FAILED", sentence) {}

export type LogFailure = LogFileOpenFailed | LogSyslogOpenFailed | LogRotateFailed;

/** What an operator needs to know of an error of the operating system. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
