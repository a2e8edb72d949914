/**
 * Log messages as lines, in the reference's formats `ljson` and `text` (its documentation: Logging).
 *
 * A line has at most `maximumLineBytes`: long values are cut and say how long they were.
 */
import { Redacted } from "effect";
import type { Level } from "../../machines/facts.ts";
import { type Entry, severity } from "./entry.ts";
import { escapeJson, escapeText, shorten } from "./escape.ts";

export type Format = "ljson" | "text";

/** Small enough for a datagram and for the usual limits of syslog servers. */
export const maximumLineBytes = 8192;

/** How many UTF-16 units of a single value are written: the first choice, and what is tried when the line is too long. */
const valueLimits = [4096, 512, 64] as const;

type Render = (entry: Entry, valueLimit: number) => string;

/** For stdout and files: `ljson` objects or `TIMESTAMP\tLEVEL\tMESSAGE`; each ends with a newline. */
export const formatLine = (format: Format, entry: Entry): string =>
  fitted(format === "ljson" ? jsonLine : textLine, entry);

export interface SyslogHeader {
  /** The number of the facility (RFC 5424 section 6.2.1). */
  readonly facility: number;
  /** With the process ID in brackets if it is wanted. */
  readonly tag: string;
}

/** For syslog (RFC 3164 without the host name, as local daemons expect it): time and level move into the header. */
export const formatSyslog = (format: Format, header: SyslogHeader, entry: Entry): string => {
  const priority = header.facility * 8 + severity[entry.level];
  const prefix = `<${priority}>${syslogTime(entry.time)} ${header.tag}: `;
  const render: Render = format === "ljson" ? (...args) => `{${jsonBody(...args)}}` : textBody;
  return fitted((...args) => `${prefix}${render(...args)}`, entry);
};

const fitted = (render: Render, entry: Entry): string => {
  for (const limit of valueLimits) {
    const line = `${render(entry, limit)}\n`;
    if (Buffer.byteLength(line) <= maximumLineBytes) return line;
  }
  return `${render({ ...entry, details: { truncated: true } }, 64)}\n`;
};

const jsonLine: Render = (entry, limit) =>
  `{"timestamp":"${rfc3339(entry.time)}","level":"${entry.level}",${jsonBody(entry, limit)}}`;

const jsonBody: Render = (entry, limit) => {
  const details: string[] = [];
  for (const [name, detail] of Object.entries(entry.details)) {
    if (detail === undefined) continue;
    const value = plain(detail, entry.level, limit);
    details.push(
      `${escapeJson(shorten(name, limit))}:${typeof value === "string" ? escapeJson(value) : value}`,
    );
  }
  const message = escapeJson(shorten(entry.message, limit));
  return `"code":${escapeJson(entry.code)},"message":${message},"details":{${details.join(",")}}`;
};

const textLine: Render = (entry, limit) =>
  `${rfc3339(entry.time)}\t${entry.level}\t${textBody(entry, limit)}`;

/** The code comes first of the details: the reference's text format has none, but who greps for one should find it. */
const textBody: Render = (entry, limit) => {
  const details = [`code=${word(entry.code)}`];
  for (const [name, detail] of Object.entries(entry.details)) {
    if (detail === undefined) continue;
    details.push(`${word(shorten(name, limit))}=${word(String(plain(detail, entry.level, limit)))}`);
  }
  return `${escapeText(shorten(entry.message, limit))} (${details.join(" ")})`;
};

/** A value without blanks or the signs that separate details stays as it is; any other is quoted. */
const word = (text: string): string =>
  /^[^\s=()"\\\p{Cc}\p{Cf}\p{Cs}]+$/u.test(text) ? text : escapeJson(text);

/** What JSON can hold of a detail. Whatever the types promised, an object's insides are never written. */
const plain = (detail: unknown, level: Level, limit: number): string | number | boolean => {
  switch (typeof detail) {
    case "string":
      return shorten(detail, limit);
    case "boolean":
      return detail;
    case "number":
      return Number.isFinite(detail) ? detail : String(detail);
    default:
      if (Redacted.isRedacted(detail)) return "<redacted>";
      if (detail instanceof Error) {
        const said = `${detail.name}: ${detail.message}`;
        return shorten(level === "debug" ? (detail.stack ?? said) : said, limit);
      }
      return `<${typeof detail}>`;
  }
};

const two = (value: number): string => String(value).padStart(2, "0");

/** RFC 3339 in local time to the second, as Go prints it: `Z` where local time is UTC. */
export const rfc3339 = (time: number): string => {
  const date = new Date(time);
  const day = `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${clock(date)}${offset(-date.getTimezoneOffset())}`;
};

const clock = (date: Date): string =>
  `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;

const offset = (minutes: number): string => {
  if (minutes === 0) return "Z";
  const distance = Math.abs(minutes);
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(distance / 60))}:${two(distance % 60)}`;
};

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** RFC 3164 section 4.1.2: `Jan  2 15:04:05` in local time. */
export const syslogTime = (time: number): string => {
  const date = new Date(time);
  return `${months[date.getMonth()]} ${String(date.getDate()).padStart(2, " ")} ${clock(date)}`;
};
