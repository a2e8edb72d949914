/** How the page writes what it shows: times, states, events, transitions. */

/** `authentication.requested` as a person reads it, and `checkingPassword` too. */
export const spoken = (name: string): string =>
  name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/[._-]+/g, " ")
    .toLowerCase();

/** `1.2 s`, `340 ms`, `2 min 5 s`, `3 h 10 min`, `2 d 4 h`. */
export const duration = (millis: number): string => {
  if (millis < 10) return `${Math.max(0, millis).toFixed(1)} ms`;
  if (millis < 1000) return `${Math.round(millis)} ms`;
  if (millis < 10_000) return `${(millis / 1000).toFixed(1)} s`;
  return elapsed(millis);
};

/** The same for what goes on: nobody reads its milliseconds. */
export const elapsed = (millis: number): string => {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60)
    return minutes < 10 && seconds % 60 > 0 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 > 0 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  return hours % 24 > 0 ? `${days} d ${hours % 24} h` : `${days} d`;
};

const clockFormat = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const minuteFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dayFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** The time of day, to the second. */
export const clock = (millis: number): string => clockFormat.format(millis);
/** The time of day, to the minute. */
export const minute = (millis: number): string => minuteFormat.format(millis);
export const day = (millis: number): string => dayFormat.format(millis);

export const count = (number: number, one: string, many = `${one}s`): string =>
  `${number.toLocaleString()} ${number === 1 ? one : many}`;

/** An event's type without XState's own prefixes: `done: check password`. */
export const eventWords = (type: string): string => {
  if (type === "xstate.init") return "start";
  if (type === "xstate.stop") return "stopped by its parent";
  const settled = /^xstate\.(done|error)\.actor\.(.+)$/.exec(type);
  if (settled !== null) {
    const [, how, id = ""] = settled;
    const name = /^\d+\.(?:.*\.)?([^.]+)$/.exec(id)?.[1] ?? id;
    return `${spoken(name)}: ${how === "done" ? "done" : "failed"}`;
  }
  const after = /^xstate\.after\.([^.]+)\./.exec(type);
  return after === null ? spoken(type) : `after ${spoken(after[1] ?? "")}`;
};

/** What of an event is worth a line: its fields, the identifiers everybody sees already left out. */
export const fieldWords = (fields: Readonly<Record<string, unknown>>): string =>
  Object.entries(fields)
    .filter(([name]) => name !== "type" && name !== "connectionId")
    .map(([name, value]) => `${spoken(name)} ${String(value)}`)
    .join(" · ");
