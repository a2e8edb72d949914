/**
 * How single values are written in a configuration and what they are once read: Go durations, log levels, listen
 * addresses, lists, PEM fields, secrets. Every codec decodes from and encodes to plain YAML/JSON values.
 */
import { type Duration, Effect, Schema, SchemaGetter, SchemaIssue } from "effect";
import type { Level } from "../../machines/facts.ts";
import { formatGoDuration, parseGoDuration, parseNanoseconds } from "./go-duration.ts";

/** What `form.ts` has to know of an encoded form, as annotations of its schema. */
export interface EncodedAnnotations {
  /** `0` or `""` means what it says and not "use the default". */
  readonly zeroIsAValue?: true;
  /** Other spellings of the key that holds this value. */
  readonly alsoSpelt?: ReadonlyArray<string>;
  /** The keys of this object may be written in any case, in YAML too. */
  readonly anyCase?: true;
  /** On an encoded side that accepts anything: the schema that says what is expected. */
  readonly expects?: Schema.Constraint;
}

const zeroIsAValue: EncodedAnnotations = { zeroIsAValue: true };

/** Accepts anything and leaves the judgement to the schema it is decoded to, so that errors are found all at once. */
const unchecked = <S extends Schema.Constraint>(schema: S) => {
  const annotations: EncodedAnnotations = { expects: schema };
  return Schema.declare<S["Encoded"]>((_): _ is S["Encoded"] => true, { ...annotations });
};

/**
 * A key with a default. As in the reference's Go structs, `""`, `0` and `null` in a file also mean "the default",
 * unless the codec's encoded form is annotated with `zeroIsAValue`.
 */
export const defaulted = <S extends Schema.Constraint>(schema: S, value: S["Encoded"]) =>
  Schema.optionalKey(unchecked(schema)).pipe(
    Schema.decodeTo(schema, {
      decode: SchemaGetter.withDefault(Effect.succeed(value)),
      encode: SchemaGetter.passthrough(),
    }),
  );

/** A nested object of keys that all have defaults: it may be left out whole. */
export const section = <S extends Schema.Constraint>(schema: S) => defaulted(schema, {});

/** The issue of a value that has the right type and is still wrong. The message never repeats the value. */
export const unacceptable = (message: string) => new SchemaIssue.InvalidValue({ message });

/** A getter that refuses what `parse` cannot read. */
export const parsed = <A, E>(parse: (encoded: E) => A | undefined, message: string) =>
  SchemaGetter.transformEffect((encoded: E) => {
    const value = parse(encoded);
    return value === undefined ? Effect.fail(unacceptable(message)) : Effect.succeed(value);
  });

const yes: ReadonlyArray<unknown> = [true, "yes", "on", "y"];

/** `true` and `false`; also YAML 1.1's `yes`, `no`, `on`, `off`, which the reference reads as booleans. */
export const Flag = Schema.Literals([true, false, "yes", "no", "on", "off", "y", "n"])
  .annotate({ message: "expected true or false" })
  .pipe(
    Schema.decodeTo(Schema.Boolean, {
      decode: SchemaGetter.transform((flag) => yes.includes(flag)),
      encode: SchemaGetter.transform((flag) => flag),
    }),
  );

/** One of these words. */
export const oneOf = <const Words extends ReadonlyArray<string>>(words: Words) =>
  Schema.Literals(words).annotate({
    message: `expected one of ${words.map((word) => (word === "" ? '""' : word)).join(", ")}`,
  });

const durationMessage = "expected a duration such as 1m30s or 500ms, or a number of nanoseconds";

const duration = (annotations: EncodedAnnotations) =>
  Schema.Union([Schema.String, Schema.Number])
    .annotate({ message: durationMessage, ...annotations })
    .pipe(
      Schema.decodeTo(Schema.Duration, {
        decode: parsed(
          (value) => (typeof value === "number" ? parseNanoseconds(value) : parseGoDuration(value)),
          durationMessage,
        ),
        encode: SchemaGetter.transform((length: Duration.Duration): string | number =>
          formatGoDuration(length),
        ),
      }),
    );

/** A Go duration (`1m30s`) or a number of nanoseconds; 0 means the default, as in the reference. */
export const GoDuration = duration({});

/** A Go duration in which 0 is 0: for limits that can be switched off. */
export const GoDurationOrZero = duration(zeroIsAValue);

const levels = [
  "emerg",
  "alert",
  "crit",
  "error",
  "warning",
  "notice",
  "info",
  "debug",
] as const satisfies Level[];

/** A level by name, or by syslog's number from 0 (emerg) to 7 (debug). */
export const LogLevel = Schema.Literals([...levels, 0, 1, 2, 3, 4, 5, 6, 7])
  .annotate({
    message: `expected one of ${levels.toReversed().join(", ")}, or a number from 0 (emerg) to 7 (debug)`,
    ...zeroIsAValue,
  })
  .pipe(
    Schema.decodeTo(Schema.Literals(levels), {
      decode: SchemaGetter.transform(
        (level) => (typeof level === "number" ? levels[level] : level) ?? "debug",
      ),
      encode: SchemaGetter.transform((level) => level),
    }),
  );

/** Where a server listens. An empty host is every address of the machine. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `0.0.0.0:2222`, `:2222`, `localhost:0`, `[::1]:2222`; undefined when there is no port or it is out of range. */
export const parseListenAddress = (text: string): ListenAddress | undefined => {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  return match !== null && port <= 65535 ? { host: match[1] ?? match[2] ?? "", port } : undefined;
};

export const formatListenAddress = ({ host, port }: ListenAddress): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

const listenMessage = "expected an address such as 0.0.0.0:2222 or [::]:2222";

/** `host:port` or `[IPv6 address]:port`. */
export const Listen = Schema.String.annotate({ message: listenMessage }).pipe(
  Schema.decodeTo(Schema.Struct({ host: Schema.String, port: Schema.Finite }), {
    decode: parsed(parseListenAddress, listenMessage),
    encode: SchemaGetter.transform(formatListenAddress),
  }),
);

/** A list, also written as one string with colons between its items. */
export const listOf = <S extends Schema.Codec<string, string>>(
  item: S,
  annotations: EncodedAnnotations = {},
) =>
  Schema.Union([Schema.Array(Schema.String), Schema.String])
    .annotate({ message: "expected a list, or a string with colons between the items", ...annotations })
    .pipe(
      Schema.decodeTo(Schema.Array(item), {
        decode: SchemaGetter.transform((list) => (typeof list === "string" ? list.split(":") : list)),
        encode: SchemaGetter.transform((list) => list),
      }),
    );

/** A password, token or key: never printed, and shown in a dump only on request. */
export const Secret = Schema.RedactedFromValue(Schema.String);

/** Tells environment variables, whose names may be seen, from other secrets. */
export const variableLabel = "environment variable";

/** `NAME=value`: nobody says whether a value is secret, so it is taken for one. */
export const Variable = Schema.RedactedFromValue(Schema.String, { label: variableLabel });

/** Certificates: PEM text, or the path of a file that holds it. `pem.ts` reads it. */
export const Pem = Schema.String;

/** Tells private keys, which may be the path of a file, from other secrets. */
export const privateKeyLabel = "private key";

/** A private key: PEM text, or the path of a file that holds it. `pem.ts` reads it. */
export const SecretPem = Schema.RedactedFromValue(Schema.String, { label: privateKeyLabel });
