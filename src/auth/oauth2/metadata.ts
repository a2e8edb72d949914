/** What providers tell about a user, as metadata of the connection. */
import { Redacted } from "effect";
import { type Grant, grantedScopes, type Provider } from "../../../machines/oauth2.ts";
import type { MetadataValue } from "../../metadata.ts";

export type Metadata = Readonly<Record<string, MetadataValue>>;

/**
 * Values by name. Names and values that no environment variable can have are left out: a provider's field with such
 * a name is nobody's, and must not keep a user from logging in.
 */
export const metadataOf = (
  values: Iterable<readonly [name: string, value: string]>,
  { sensitive }: { readonly sensitive: boolean },
): Metadata =>
  Object.fromEntries(
    [...values]
      .filter(([name, value]) => name !== "" && !/[=\0]/.test(name) && !value.includes("\0"))
      .map(([name, value]) => [name, { value: Redacted.make(value), sensitive }]),
  );

/**
 * What every provider gives. The token has two names: the one of the reference's documentation and the one that the
 * reference's program really uses, on which public configuration servers rely.
 */
export const grantMetadata = (provider: Provider, grant: Grant, tokenName: string): Metadata => ({
  ...metadataOf([["oauth2_granted_scopes", grantedScopes(grant, provider).join(" ")]], { sensitive: false }),
  oauth2_access_token: { value: grant.accessToken, sensitive: true },
  [tokenName]: { value: grant.accessToken, sensitive: true },
});
