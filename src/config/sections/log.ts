/** The `log` section (documentation of the reference: Logging). */
import { Schema } from "effect";
import { defaulted, Flag, LogLevel, oneOf, section } from "../codecs.ts";

/** Syslog facilities; the position is the number of RFC 5424. */
export const facilities = [
  "kern",
  "user",
  "mail",
  "daemon",
  "auth",
  "syslog",
  "lpr",
  "news",
  "uucp",
  "cron",
  "authpriv",
  "ftp",
  "ntp",
  "logaudit",
  "logalert",
  "clock",
  "local0",
  "local1",
  "local2",
  "local3",
  "local4",
  "local5",
  "local6",
  "local7",
] as const;

/**
 * - `destination`: the path of a Unix socket, or `host:port` for UDP.
 * - `tag`: the program name to log as; `pid` adds the process ID to it.
 */
const Syslog = Schema.Struct({
  destination: defaulted(Schema.String, "/dev/log"),
  facility: defaulted(oneOf(facilities), "auth"),
  tag: defaulted(Schema.String, "ContainerSSH"),
  pid: defaulted(Flag, false),
});

/** `file` is used by the destination `file`, `syslog` by the destination `syslog`. */
export const Log = Schema.Struct({
  level: defaulted(LogLevel, "notice"),
  format: defaulted(oneOf(["ljson", "text"]), "ljson"),
  destination: defaulted(oneOf(["stdout", "file", "syslog"]), "stdout"),
  file: defaulted(Schema.String, "/var/log/containerssh/containerssh.log"),
  syslog: section(Syslog),
});

export type Log = typeof Log.Type;
