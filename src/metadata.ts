/**
 * What the steps of a login learn about a connection: metadata, environment and files, each value marked sensitive
 * or not. A later step adds keys and overrides those it names; it never drops what an earlier step set.
 */
import type { Redacted } from "effect";
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
