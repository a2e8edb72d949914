/** What can go wrong in a login by Kerberos, and how the library's status codes are told apart. */
import { LOGIN_UNCHECKED } from "../../../machines/unanswered.ts";
import { type Failure, failure } from "../../failure.ts";
import { PasswordRefused } from "../authenticator.ts";
import type { CallRefused } from "./library.ts";

const useAnother = "Please try again, or use another way to log in.";
const unchecked = `Your Kerberos ticket could not be checked. ${useAnother}`;
const misconfigured = "Logging in with Kerberos is not configured correctly. Please ask your administrator.";

export class VerificationFailed extends failure(
  "VerificationFailed",
  "KRB_VERIFY_ERROR",
  unchecked,
  "notice",
) {}

export class TokenMalformed extends failure("TokenMalformed", "KRB_TOKEN_MALFORMED", unchecked, "notice") {}

export class TokenReplayed extends failure("TokenReplayed", "KRB_TOKEN_REPLAYED", unchecked, "warning") {}

export class ClockSkewed extends failure(
  "ClockSkewed",
  "KRB_CLOCK_SKEW",
  "The clock of your computer differs too much from this server's. Please set it right and try again.",
  "warning",
) {}

export class TicketExpired extends failure(
  "TicketExpired",
  "KRB_TICKET_EXPIRED",
  "Your Kerberos ticket has expired. Please get a new one with kinit.",
  "notice",
) {}

/** The ticket is for a key that the keytab doesn't have: it is older or newer, or another service's. */
export class KeyMissing extends failure(
  "KeyMissing",
  "KRB_KEY_MISMATCH",
  "Your Kerberos ticket does not fit this server's key. Please get a new one with kinit, or ask your administrator.",
) {}

/** The KDC knows the server by a key that the keytab doesn't have, as after the key was changed. */
export class KeytabOutdated extends failure("KeytabOutdated", "KRB_KEY_MISMATCH", misconfigured) {}

/** This server's clock and the KDC's: nothing the user could set right. */
export class KdcClockSkewed extends failure("KdcClockSkewed", "KRB_CLOCK_SKEW", LOGIN_UNCHECKED) {}

/** This server's own files keep it from checking anybody. */
export class AcceptorFailed extends failure("AcceptorFailed", "KRB_ACCEPTOR_FAILED", LOGIN_UNCHECKED) {}

export class MicInvalid extends failure("MicInvalid", "KRB_MIC_INVALID", unchecked, "warning") {}

/** The KDC could not be asked. */
export class KdcUnreachable extends failure("KdcUnreachable", "KRB_BACKEND_ERROR", LOGIN_UNCHECKED) {}

export class KdcTimedOut extends failure("KdcTimedOut", "KRB_BACKEND_TIMEOUT", LOGIN_UNCHECKED) {}

/** Whoever answered in the KDC's place does not know our key: it is a spoofed KDC. */
export class KdcNotProven extends failure("KdcNotProven", "KRB_KDC_NOT_PROVEN", misconfigured) {}

export class PasswordExpired extends failure(
  "PasswordExpired",
  "KRB_PASSWORD_EXPIRED",
  "Your password has expired. Please change it, for example with kpasswd, and log in again.",
  "notice",
) {}

export class AccountUnusable extends failure(
  "AccountUnusable",
  "KRB_ACCOUNT_UNUSABLE",
  "Your account can't be used. Please ask your administrator.",
  "notice",
) {}

export class ForwardingFailed extends failure("ForwardingFailed", "KRB_FORWARD_ERROR", "", "warning") {}

export class LibraryMissing extends failure("LibraryMissing", "KRB_LIBRARY_MISSING", misconfigured) {}

export class KerberosMisconfigured extends failure(
  "KerberosMisconfigured",
  "AUTH_CONFIG_ERROR",
  misconfigured,
) {}

interface FailureClass {
  new (fields: { readonly message: string; readonly details: Record<string, string | number> }): Failure;
}

const as = (Class: FailureClass, message: string, { status: { text, major, minor } }: CallRefused): Failure =>
  new Class({
    message: `${message}: ${text}`,
    details: { reason: text, ...(major !== 0 && { major }), ...(minor !== 0 && { minor }) },
  });

/** Error codes of MIT's library (krb5.h). */
const C_PRINCIPAL_UNKNOWN = -1765328378;
const CLIENT_EXPIRED = -1765328383;
const CLIENT_REVOKED = -1765328366;
const CLIENT_NOT_YET = -1765328363;
const POLICY = -1765328372;
const PASSWORD_EXPIRED = -1765328361;
const PREAUTH_FAILED = [-1765328360, -1765328174];
const BAD_INTEGRITY = -1765328353;
const MODIFIED = -1765328343;
const TICKET_EXPIRED = -1765328352;
const TICKET_NOT_YET_VALID = -1765328351;
const REPEAT = -1765328350;
const SKEW = [-1765328347, -1765328236];
const KEY_MISSING = [
  -1765328349, // NOT_US
  -1765328340, // BADKEYVER
  -1765328339, // NOKEY
  -1765328203, // KT_NOTFOUND
  -1765328154, // KT_KVNONOTFOUND
];
const KDC_UNREACHABLE = [-1765328228, -1765328230, -1765328164, -1765328355];
/** asn1_err.h: codes from here on. */
const ASN1_ERRORS = { first: 1859794432, last: 1859794463 };
/** GSS_S_DEFECTIVE_TOKEN, _DEFECTIVE_CREDENTIAL, _BAD_MECH, _BAD_SIG (RFC 2744 section 3.9.1). */
const DEFECTIVE = [9, 1].map((code) => code * 2 ** 16);
/** errno.h: a file could not be read or written. No token makes the library say so, however it is spoiled. */
const isSystemError = (minor: number): boolean => minor > 0 && minor < 4096;
/** Of a token that ends in the middle, the library knows that it failed and not why: numbers it makes up begin here. */
const isWithoutReason = (minor: number): boolean => minor === 0 || (minor >= 100_000 && minor < 200_000);

/** Why a client's token was not accepted. */
export const tokenRefused = (refused: CallRefused): Failure => {
  const { major, minor } = refused.status;
  if (refused.isLost) return as(KdcUnreachable, "The Kerberos library could not be asked", refused);
  if (isSystemError(minor) && !DEFECTIVE.includes(major)) {
    return as(AcceptorFailed, "This server could not check the client's token", refused);
  }
  if (minor === REPEAT) return as(TokenReplayed, "The client's token was used before", refused);
  if (SKEW.includes(minor)) return as(ClockSkewed, "The client's clock differs too much", refused);
  if (minor === TICKET_EXPIRED) return as(TicketExpired, "The client's ticket has expired", refused);
  if (minor === TICKET_NOT_YET_VALID) return as(ClockSkewed, "The ticket is not valid yet", refused);
  if ([BAD_INTEGRITY, MODIFIED, ...KEY_MISSING].includes(minor)) {
    return as(KeyMissing, "The keytab has no key for the client's ticket", refused);
  }
  const isCut = isWithoutReason(minor) || (minor >= ASN1_ERRORS.first && minor <= ASN1_ERRORS.last);
  return major !== 0 && (DEFECTIVE.includes(major) || isCut)
    ? as(TokenMalformed, "The client's token is cut off or malformed", refused)
    : as(VerificationFailed, "The client's token could not be verified", refused);
};

const CLOCKS_APART = "This server's clock and the KDC's differ too much";

export const micRefused = (refused: CallRefused): Failure =>
  refused.isLost
    ? as(KdcUnreachable, "The Kerberos library could not be asked", refused)
    : as(MicInvalid, "The client's message integrity code is not over this connection and request", refused);

/** Why a KDC gave no initial credentials. */
export const credentialsRefused = (refused: CallRefused): Failure => {
  const { minor } = refused.status;
  if (refused.isLost) return as(KdcUnreachable, "The Kerberos library could not be asked", refused);
  if (minor === C_PRINCIPAL_UNKNOWN) return as(PasswordRefused, "The KDC does not know the user", refused);
  if (minor === BAD_INTEGRITY || PREAUTH_FAILED.includes(minor)) {
    return as(PasswordRefused, "Password authentication failed", refused);
  }
  if (minor === PASSWORD_EXPIRED) return as(PasswordExpired, "The user's password has expired", refused);
  if ([CLIENT_EXPIRED, CLIENT_REVOKED, CLIENT_NOT_YET, POLICY].includes(minor)) {
    return as(AccountUnusable, "The KDC does not let the user log in", refused);
  }
  if (SKEW.includes(minor)) return as(KdcClockSkewed, CLOCKS_APART, refused);
  return KDC_UNREACHABLE.includes(minor)
    ? as(KdcUnreachable, "No KDC could be reached", refused)
    : as(KdcUnreachable, "The KDC gave no credentials", refused);
};

/** Why the KDC that gave credentials is not believed. */
export const proofRefused = (refused: CallRefused): Failure => {
  const { minor } = refused.status;
  if (refused.isLost) return as(KdcUnreachable, "The Kerberos library could not be asked", refused);
  if (KDC_UNREACHABLE.includes(minor)) return as(KdcUnreachable, "No KDC could be reached", refused);
  if (SKEW.includes(minor) || minor === TICKET_NOT_YET_VALID)
    return as(KdcClockSkewed, CLOCKS_APART, refused);
  if (isSystemError(minor)) {
    return as(AcceptorFailed, "This server could not check the KDC's ticket", refused);
  }
  // A ticket whose key the keytab has by name and version, and that it doesn't open, is not the true KDC's.
  return KEY_MISSING.includes(minor)
    ? as(KeytabOutdated, "The keytab has no key for the ticket that the KDC gave", refused)
    : as(KdcNotProven, "The KDC did not prove that it knows a key of the keytab", refused);
};

export const forwardingFailed = (refused: CallRefused): Failure =>
  as(ForwardingFailed, "The user's credentials could not be put into a credential cache", refused);

/** Why there can be no logins by Kerberos at all. */
export const notOpened = (path: string, refused: CallRefused): Failure =>
  refused.status.kind === "missing"
    ? as(
        LibraryMissing,
        `${path} needs MIT's Kerberos libraries: install the Debian package libgssapi-krb5-2`,
        refused,
      )
    : as(KerberosMisconfigured, `${path} can't be used`, refused);
