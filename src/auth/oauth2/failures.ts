/** What can go wrong in a login with a browser, by the reference's message codes. None of it holds a code or a token. */
import { Data } from "effect";
import { type Failure, failure } from "../../failure.ts";

const notNow = "Logging in with a browser is not possible at this time. Please try again later.";
const misconfigured = "Logging in with a browser is not configured correctly. Please ask your administrator.";
const untrusted = "The answer of the login server could not be verified. Please ask your administrator.";
const codeRefused = "The login server did not accept the code. Please try again with the new link.";

/** The provider's own description could not be read. */
export class DiscoveryFailed extends failure("DiscoveryFailed", "OIDC_DISCOVERY_FAILED", notNow) {}

/** The provider could not be asked for its description until time was up. */
export class DiscoveryTimedOut extends failure("DiscoveryTimedOut", "OIDC_DISCOVERY_TIMEOUT", notNow) {}

export class DeviceCodeRequestFailed extends failure(
  "DeviceCodeRequestFailed",
  "AUTH_OAUTH2_DEVICE_CODE_REQUEST_FAILED",
  notNow,
) {}

/** Too many device codes were asked for, or the provider has no device flow for this client after all. */
export class DeviceFlowUnavailable extends failure(
  "DeviceFlowUnavailable",
  "OAUTH_DEVICE_FLOW_RATE_LIMIT_EXCEEDED",
  notNow,
  "warning",
) {}

export class GitHubDeviceLimitReached extends failure(
  "GitHubDeviceLimitReached",
  "GITHUB_DEVICE_AUTHORIZATION_LIMIT",
  notNow,
  "warning",
) {}

/** The provider doesn't know the configured client, or its secret is another. */
export class ClientCredentialsWrong extends failure(
  "ClientCredentialsWrong",
  "OAUTH_INCORRECT_CLIENT_CREDENTIALS",
  misconfigured,
) {}

/** The provider doesn't let this client use the flow. */
export class GrantTypeUnsupported extends failure(
  "GrantTypeUnsupported",
  "AUTH_OAUTH_UNSUPPORTED_GRANT_TYPE",
  misconfigured,
) {}

export class OidcTokenFetchFailed extends failure(
  "OidcTokenFetchFailed",
  "OIDC_ACCESS_TOKEN_FETCH_FAILED",
  codeRefused,
  "warning",
) {}

export class GitHubTokenFetchFailed extends failure(
  "GitHubTokenFetchFailed",
  "GITHUB_ACCESS_TOKEN_FETCH_FAILED",
  codeRefused,
  "warning",
) {}

export class GenericTokenFetchFailed extends failure(
  "GenericTokenFetchFailed",
  "GENERIC_ACCESS_TOKEN_FETCH_FAILED",
  codeRefused,
  "warning",
) {}

/** An ID token is missing, or its issuer, audience, nonce, time or signature is not what it must be. */
export class IdTokenInvalid extends failure("IdTokenInvalid", "OIDC_ID_TOKEN_INVALID", untrusted) {}

export class OidcUserInfoFailed extends failure(
  "OidcUserInfoFailed",
  "OIDC_USER_INFO_FETCH_FAILED",
  "The login server did not tell who you are. Please try again later.",
) {}

export class GitHubUserRequestFailed extends failure(
  "GitHubUserRequestFailed",
  "GITHUB_USER_REQUEST_FAILED",
  "GitHub did not tell who you are. Please try again later.",
) {}

/** A token outlives its login until it expires: nobody who reads the log can use it, but its owner may want to know. */
export class OidcRevocationFailed extends failure(
  "OidcRevocationFailed",
  "OIDC_DEAUTHORIZE_FAILED",
  "",
  "warning",
) {}

export class GitHubRevocationFailed extends failure(
  "GitHubRevocationFailed",
  "GITHUB_DELETE_ACCESS_TOKEN_FAILED",
  "",
  "warning",
) {}

/** Why a request to a provider brought nothing, before it is decided what that means for the login. */
export class Problem extends Data.TaggedError("Problem")<{
  /** For logs: never a token, a code or a part of an answer's body. */
  readonly reason: string;
  /** The error code of the answer (RFC 6749 section 5.2), if it was an OAuth2 error. */
  readonly error?: string;
  readonly status?: number;
  /** In seconds, if the answer asks for a longer pause. */
  readonly interval?: number;
  readonly kind: ProblemKind;
}> {}

/**
 * - `unreachable`: no answer, or one that says that the server has a problem: another try may succeed.
 * - `refused`: an answer by the protocol that says no.
 * - `malformed`: an answer that is not of the protocol, such as a page of a proxy.
 * - `unverified`: an answer that must not be trusted.
 */
export type ProblemKind = "unreachable" | "refused" | "malformed" | "unverified";

export interface FailureClass {
  new (fields: { readonly message: string; readonly details: Record<string, string | number> }): Failure;
}

/** The failure of a class, with what a problem says in its details. */
export const failed = (Class: FailureClass, message: string, { reason, error, status }: Problem): Failure =>
  new Class({
    message: `${message}: ${reason}`,
    details: {
      reason,
      ...(error !== undefined && { error }),
      ...(status !== undefined && { statusCode: status }),
    },
  });
