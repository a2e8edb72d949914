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
  return unsigned === "" ? undefined : parseNanoseconds(sign * nanoseconds);
};

/** Go marshals a duration to JSON as its nanoseconds. Undefined when they are no finite number. */
export const parseNanoseconds = (nanoseconds: number): Duration.Duration | undefined => {
  if (!Number.isFinite(nanoseconds)) {
    return undefined;
  }
  return nanoseconds % 1_000_000 === 0
    ? Duration.millis(nanoseconds / 1_000_000)
    : Duration.nanos(BigInt(Math.round(nanoseconds)));
};

/** The reference's form of a dump: `1m0s`, `1.5s`, `500ms`, `0s`. */
export const formatGoDuration = (duration: Duration.Duration): string => {
  const nanoseconds = Duration.toNanosUnsafe(duration);
  const sign = nanoseconds < 0n ? "-" : "";
  const size = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  if (size === 0n) {
    return "0s";
  }
  if (size < second) {
    const [unit, name] = size < 1_000n ? [1n, "ns"] : size < 1_000_000n ? [1_000n, "µs"] : [1_000_000n, "ms"];
    return `${sign}${decimal(size, unit)}${name}`;
  }
  const hours = size / hour;
  const minutes = (size % hour) / minute;
  return [
    sign,
    hours > 0n ? `${hours}h` : "",
    hours > 0n || minutes > 0n ? `${minutes}m` : "",
    `${decimal(size % minute, second)}s`,
  ].join("");
};

const second = 1_000_000_000n;
const minute = 60n * second;
const hour = 60n * minute;

/** `size / unit` with all its digits. */
const decimal = (size: bigint, unit: bigint): string => {
  const digits = String(unit).length - 1;
  const fraction = String(size % unit)
    .padStart(digits, "0")
    .replace(/0+$/, "");
  return fraction === "" ? `${size / unit}` : `${size / unit}.${fraction}`;
};
