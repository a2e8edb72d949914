/** Durations as Go's `time.ParseDuration` reads and `time.Duration.String` writes them. */
import { Duration } from "effect";

const nanosecondsPer: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1_000,
  µs: 1_000,
  μs: 1_000,
  ms: 1_000_000,
  s: 1_000_000_000,
  m: 60_000_000_000,
  h: 3_600_000_000_000,
};

const component = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;

/** `1h15m30.5s`, `500ms`, `0`, also with a sign; undefined when it is not a duration. */
export const parseGoDuration = (text: string): Duration.Duration | undefined => {
  const sign = text.startsWith("-") ? -1 : 1;
  const unsigned = text.replace(/^[+-]/, "");
  if (unsigned === "0") {
    return Duration.zero;
  }
  component.lastIndex = 0;
  let nanoseconds = 0;
  while (component.lastIndex < unsigned.length) {
    const match = component.exec(unsigned);
    if (match === null) {
      return undefined;
    }
    nanoseconds += Number(match[1]) * (nanosecondsPer[match[2] ?? ""] ?? Number.NaN);
  }
  return unsigned === "" ? undefined : fromNanoseconds(sign * nanoseconds);
};

/** Go marshals a duration to JSON as its nanoseconds. */
export const fromNanoseconds = (nanoseconds: number): Duration.Duration =>
  nanoseconds % 1_000_000 === 0
    ? Duration.millis(nanoseconds / 1_000_000)
    : Duration.nanos(BigInt(Math.round(nanoseconds)));

/** The reference's form of a dump: `1m0s`, `1.5s`, `500ms`, `0s`. */
export const formatGoDuration = (duration: Duration.Duration): string => {
  const nanoseconds = Number(Duration.toNanosUnsafe(duration));
  if (nanoseconds === 0) {
    return "0s";
  }
  const sign = nanoseconds < 0 ? "-" : "";
  const size = Math.abs(nanoseconds);
  for (const unit of ["ns", "µs", "ms"] as const) {
    const next = (nanosecondsPer[unit] ?? 1) * 1000;
    if (size < next) {
      return `${sign}${(size / next) * 1000}${unit}`;
    }
  }
  const hours = Math.floor(size / 3_600_000_000_000);
  const minutes = Math.floor((size % 3_600_000_000_000) / 60_000_000_000);
  const seconds = (size % 60_000_000_000) / 1_000_000_000;
  return `${sign}${hours > 0 ? `${hours}h` : ""}${hours + minutes > 0 ? `${minutes}m` : ""}${seconds}s`;
};
