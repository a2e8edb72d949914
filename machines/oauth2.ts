/**
 * What the machines of a login with a browser share: the provider, what it granted, and who it says somebody is.
 * Codes and tokens are in what src/auth/oauth2 adds to these by declaration merging, and machines cannot see them.
 */
import type { Attempt, Identity, InteractiveCredential, Refusal } from "./facts.ts";

/** One SSH user who is to log in with a browser. */
export type BrowserLogin = Attempt<InteractiveCredential>;

export type ProviderName = "oidc" | "github" | "generic";

/** What the configuration wants of a provider, and what the provider offers. Extended by how to talk with it. */
export interface Provider {
  readonly name: ProviderName;
  /** Whether the device flow is wanted for this client and the provider has it. */
  readonly deviceFlow: boolean;
  readonly authorizationCodeFlow: boolean;
  /** The scopes that are asked for, in both flows. */
  readonly requestedScopes: readonly string[];
  /** Those without which nobody gets in. */
  readonly requiredScopes: readonly RequiredScope[];
  /** Whether the SSH user name has to be the provider's. */
  readonly enforcesUsername: boolean;
  readonly requiresTwoFactor: boolean;
  /** The organization whose members may come in; undefined where nobody asks. */
  readonly organization: string | undefined;
}

export interface RequiredScope {
  readonly scope: string;
  /** Any of these grants it; the scope itself is one of them. */
  readonly grantedBy: readonly string[];
}

/** A successful answer of the token endpoint (RFC 6749 section 5.1). Extended by the tokens. */
export interface Grant {
  /** Undefined when the answer does not say: then it is what was asked for. */
  readonly scopes: readonly string[] | undefined;
}

export interface FlowInput {
  readonly login: BrowserLogin;
  readonly provider: Provider;
}

/** What a flow ends with: `unavailable` leaves room for another flow, `refused` does not. */
export type FlowOutcome =
  | { readonly kind: "granted"; readonly grant: Grant }
  | { readonly kind: "unavailable"; readonly refusal: Refusal }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/** Who the provider says somebody is. */
export interface Profile {
  /** Its authenticated user name is empty when the provider did not say one that can be used. */
  readonly identity: Identity;
  /** Undefined when the provider doesn't tell. */
  readonly hasTwoFactor: boolean | undefined;
  readonly isMember: boolean | undefined;
}

/** RFC 6749 section 5.1: no scope in the answer means what was asked for; an empty one means nothing. */
export const grantedScopes = ({ scopes }: Grant, { requestedScopes }: Provider): readonly string[] =>
  scopes ?? requestedScopes;
