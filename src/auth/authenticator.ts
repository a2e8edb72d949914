/**
 * What every way of checking a login gives to the machines: the kinds of proof it can check, the verdict on who
 * may come in, and the failures that tell a wrong password from a backend that can't be asked.
 */
import type { Effect, Redacted } from "effect";
import type { Identity } from "../../machines/facts.ts";
import { LOGIN_UNCHECKED } from "../../machines/unanswered.ts";
import { type Failure, failure } from "../failure.ts";
import { noAdditions } from "../metadata.ts";

/** One try to log in, before anything is proven. */
export interface Attempt {
  readonly connectionId: string;
  /** `address:port`, an IPv6 address in brackets. */
  readonly remoteAddress: string;
  /** The client's identification string (RFC 4253 section 4.2). */
  readonly clientVersion: string;
  readonly username: string;
}

export interface PasswordAttempt extends Attempt {
  readonly password: Redacted.Redacted<string>;
}

export interface PublicKeyAttempt extends Attempt {
  /** In the authorized key format, without a comment: `ssh-ed25519 AAAA…`. */
  readonly key: string;
}

/** Checks proofs. A method that is missing is not configured and must not be offered to clients. */
export interface Authenticator {
  readonly password?: (attempt: PasswordAttempt) => Effect.Effect<Identity, Failure>;
  /** Says whether the key would do. That the client holds its private half is for the caller to verify. */
  readonly publicKey?: (attempt: PublicKeyAttempt) => Effect.Effect<Identity, Failure>;
}

/** Says whether somebody whose identity is proven may come in, and adds what it knows about them. */
export type Authorize = (identity: Identity) => Effect.Effect<Identity, Failure>;

/** The identity of somebody who has proven the user name they asked for. */
export const provenIdentity = ({
  connectionId,
  remoteAddress,
  clientVersion,
  username,
}: Attempt): Identity => ({
  connectionId,
  remoteAddress,
  clientVersion,
  username,
  authenticatedUsername: username,
  ...noAdditions,
});

export class PasswordRefused extends failure(
  "PasswordRefused",
  "AUTH_FAILED",
  "User name or password not accepted. Please check both and try again.",
  "notice",
) {}

/** Clients offer key after key by themselves, so this is quieter than a wrong password. */
export class PublicKeyRefused extends failure(
  "PublicKeyRefused",
  "AUTH_FAILED",
  "This key is not accepted for this user. Please offer another key or ask your administrator to add it.",
  "info",
) {}

/** The reference names AUTHZ_FAILED for this situation, so that operators can tell it from a wrong password. */
export class AuthorizationRefused extends failure(
  "AuthorizationRefused",
  "AUTHZ_FAILED",
  "You are not allowed to log in here. Please ask your administrator for access.",
  "notice",
) {}

/** Whoever checks logins could not be asked, or did not answer in a way that can be understood. */
export class AuthBackendFailed extends failure("AuthBackendFailed", "AUTH_BACKEND_ERROR", LOGIN_UNCHECKED) {}
