/**
 * What the steps of a login learn about a connection: metadata, environment and files, each value marked sensitive
 * or not. A later step adds keys and overrides those it names; it never drops what an earlier step set. The second
 * half is how these values are written in the JSON of webhooks (docs/reference/auth-webhook.md, configserver.md).
 */
import { Effect, Option, Redacted, Schema, SchemaGetter } from "effect";
import type { Identity } from "../machines/facts.ts";

/** Every value is redacted by type, sensitive or not: a log or the inspector never needs one. */
export interface MetadataValue {
  readonly value: Redacted.Redacted<string>;
  readonly sensitive: boolean;
}

export interface FileValue {
  readonly content: Redacted.Redacted<Uint8Array>;
  readonly sensitive: boolean;
}

/** What one step adds. */
export interface Additions {
  readonly metadata: Readonly<Record<string, MetadataValue>>;
  readonly environment: Readonly<Record<string, MetadataValue>>;
  /** By absolute path in the user's environment. */
  readonly files: Readonly<Record<string, FileValue>>;
}

declare module "../machines/facts.ts" {
  interface Identity extends Additions {
    readonly connectionId: string;
    /** `address:port`, an IPv6 address in brackets. */
    readonly remoteAddress: string;
    /** The client's identification string (RFC 4253 section 4.2). */
    readonly clientVersion: string;
  }
}

export const noAdditions: Additions = { metadata: {}, environment: {}, files: {} };

/** Adds what a step learned; an empty authenticated user name keeps the one before. */
export const add = (
  identity: Identity,
  additions: Partial<Additions> & { readonly authenticatedUsername?: string | undefined },
): Identity => ({
  ...identity,
  authenticatedUsername: additions.authenticatedUsername || identity.authenticatedUsername,
  metadata: { ...identity.metadata, ...additions.metadata },
  environment: { ...identity.environment, ...additions.environment },
  files: { ...identity.files, ...additions.files },
});

/**
 * Overwrites the files of a login where Berth has them, once they are where its programs read them: whoever asks for
 * one later fails. Copies that the engine, sockets or the system made are not reached.
 */
export const wipeFiles = (files: Additions["files"]): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const { content } of Object.values(files)) {
      Redacted.value(content).fill(0);
      Redacted.wipeUnsafe(content);
    }
  });

/** What may be sent to the next webhook: everything that is not sensitive. */
export const withoutSensitive = (identity: Identity): Identity => ({
  ...identity,
  metadata: publicOnly(identity.metadata),
  environment: publicOnly(identity.environment),
  files: publicOnly(identity.files),
});

const publicOnly = <V extends { readonly sensitive: boolean }>(
  values: Readonly<Record<string, V>>,
): Record<string, V> => Object.fromEntries(Object.entries(values).filter(([, value]) => !value.sensitive));

/**
 * A field that may be missing or null and then has its type's zero value, as Go's JSON decoder reads it: that is
 * what servers for the reference are written against. `omit` says when it is left out in writing.
 */
const zeroable = <S extends Schema.Top>(
  schema: S,
  zero: S["Type"],
  omit: (value: S["Type"]) => boolean = () => false,
) =>
  Schema.optionalKey(Schema.NullOr(schema)).pipe(
    Schema.decodeTo(Schema.toType(schema), {
      decode: SchemaGetter.transformOptional((given: Option.Option<S["Type"] | null>) =>
        Option.orElseSome(
          Option.filter(given, (value) => value !== null),
          () => zero,
        ),
      ),
      encode: SchemaGetter.transformOptional((value: Option.Option<S["Type"]>) =>
        Option.filter(value, (known) => !omit(known)),
      ),
    }),
  );

/** A yes or no that is no when it is missing or null. */
export const JsonFlag = zeroable(Schema.Boolean, false);

/** A text that is empty when it is missing or null, and left out when it is empty. */
export const JsonText = zeroable(Schema.String, "", (text) => text === "");

/** Whether a name can be that of an environment variable: not empty, without `=` and NUL (POSIX.1 section 8.1). */
const isVariableName = (name: string) => name !== "" && !/[=\0]/.test(name);

const isAbsoluteFilePath = (path: string) => /^\/[^\0]*[^\0/]$/.test(path);

const namesAre = (isValid: (name: string) => boolean, expected: string) =>
  Schema.makeFilter((values: Readonly<Record<string, unknown>>) => Object.keys(values).every(isValid), {
    expected,
  });

const valueJson = (content: Schema.Codec<string>) =>
  Schema.Struct({
    value: zeroable(Schema.RedactedFromValue(content), Redacted.make("")),
    sensitive: JsonFlag,
  });

const FileJson = Schema.Struct({
  content: zeroable(Schema.RedactedFromValue(Schema.Uint8ArrayFromBase64), Redacted.make(new Uint8Array())),
  sensitive: JsonFlag,
}).pipe(Schema.encodeKeys({ content: "value" }));

const isEmpty = (values: object) => Object.keys(values).length === 0;

const additionFields = {
  metadata: zeroable(
    Schema.Record(Schema.String, valueJson(Schema.String)).check(
      namesAre(isVariableName, "names of metadata that are not empty, without = and NUL"),
    ),
    {},
    isEmpty,
  ),
  environment: zeroable(
    Schema.Record(
      Schema.String,
      valueJson(
        Schema.String.check(
          Schema.makeFilter((text: string) => !text.includes("\0"), { expected: "a value without NUL" }),
        ),
      ),
    ).check(namesAre(isVariableName, "names of environment variables that are not empty, without = and NUL")),
    {},
    isEmpty,
  ),
  files: zeroable(
    Schema.Record(Schema.String, FileJson).check(
      namesAre(isAbsoluteFilePath, "absolute paths of files, without NUL"),
    ),
    {},
    isEmpty,
  ),
};

/** What every request of a webhook says about the connection. */
export const attemptFields = {
  username: zeroable(Schema.String, ""),
  remoteAddress: zeroable(Schema.String, ""),
  connectionId: zeroable(Schema.String, ""),
  clientVersion: zeroable(Schema.String, ""),
};

/** Somebody whose identity is proven, as the authorization and configuration webhooks are told about them. */
export const IdentityJson = Schema.Struct({
  ...attemptFields,
  authenticatedUsername: JsonText,
  ...additionFields,
});

/**
 * What every webhook may answer. Servers written with the reference's Go library echo the connection: that is
 * allowed, and nothing of it is believed.
 */
export const answerFields = {
  authenticatedUsername: JsonText,
  ...additionFields,
  username: Schema.optionalKey(Schema.Unknown),
  remoteAddress: Schema.optionalKey(Schema.Unknown),
  connectionId: Schema.optionalKey(Schema.Unknown),
  clientVersion: Schema.optionalKey(Schema.Unknown),
};
