import type {
  Attempt,
  AuthenticationMethod,
  Credential,
  Identity,
  InteractiveCredential,
  PublicKeyCredential,
  Refusal,
} from "./facts.ts";
import type { KerberosLogin } from "./kerberos.ts";

export interface AuthenticationInput {
  readonly connectionId: string;
  /** The methods that are configured, in the order in which they are offered. */
  readonly methods: readonly AuthenticationMethod[];
  /** Those of the methods that are for Kerberos to decide: passwords may be, GSS-API always is. */
  readonly kerberosMethods: readonly AuthenticationMethod[];
  readonly attemptLimit: number;
}

export interface AuthenticationContext extends AuthenticationInput {
  /** Failed attempts so far. */
  readonly failures: number;
  readonly attempt: Attempt | undefined;
  /** What the backend said of the keys it accepts, by fingerprint and user name: each is asked about once. */
  readonly acceptableKeys: Readonly<Record<string, Identity>>;
  readonly identity: Identity | undefined;
  /** Why the last attempt failed. */
  readonly refusal: Refusal | undefined;
  /** Whether somebody has read why a key was refused. */
  readonly spokeOfKeys: boolean;
  /** What it came to. */
  readonly outcome: AuthenticationOutcome | undefined;
}

/** SSH_MSG_USERAUTH_REQUEST. Without a credential the method is `none` or one that Berth doesn't know. */
export interface AuthenticationRequested {
  readonly type: "authentication.requested";
  readonly username: string;
  readonly method: string;
  readonly credential: Credential | undefined;
  /** Why what came with a known method is no credential. */
  readonly problem?: string;
}

/** The client began another attempt in the middle of this one (RFC 4252 section 5.1). */
export interface AuthenticationAbandoned {
  readonly type: "authentication.abandoned";
}

/** The time for a login is over; the refusal is for where nobody but the client, or a person, is waited for. */
export interface GraceExpired {
  readonly type: "grace.expired";
  readonly refusal: Refusal;
}

export type AuthenticationEvent =
  | AuthenticationRequested
  | AuthenticationAbandoned
  | GraceExpired
  | { readonly type: "login.granted" }
  | { readonly type: "login.refused"; readonly refusal: Refusal }
  | { readonly type: "mismatch.reported" };

/** What the parent hears when somebody has proven who they are. */
export interface IdentityVerified {
  readonly type: "identity.verified";
  readonly identity: Identity;
  readonly method: string;
}

/** What the parent hears when somebody has proven who they are and may not have the user name that they asked for. */
export interface IdentityMismatched {
  readonly type: "identity.mismatched";
  readonly identity: Identity;
}

/** What the parent hears when a person is asked: that takes longer than what clients do by themselves. */
export interface InteractionBegan {
  readonly type: "interaction.began";
}

export type AuthenticationOutcome =
  | { readonly kind: "granted" }
  | { readonly kind: "refused"; readonly refusal: Refusal };

export const attemptOf = (context: AuthenticationContext): Attempt => {
  if (context.attempt === undefined) throw new Error("no attempt is under way");
  return context.attempt;
};

export const keyAttemptOf = (context: AuthenticationContext): Attempt<PublicKeyCredential> => {
  const { credential, ...rest } = attemptOf(context);
  if (credential.method !== "publickey") throw new Error(`a ${credential.method} attempt has no key`);
  return { ...rest, credential };
};

export const interactiveAttemptOf = (context: AuthenticationContext): Attempt<InteractiveCredential> => {
  const { credential, ...rest } = attemptOf(context);
  if (credential.method !== "keyboard-interactive") {
    throw new Error(`a ${credential.method} attempt can ask nothing`);
  }
  return { ...rest, credential };
};

export const kerberosLoginOf = (context: AuthenticationContext): KerberosLogin => {
  const { credential, ...rest } = attemptOf(context);
  if (credential.method !== "password" && credential.method !== "gssapi-with-mic") {
    throw new Error(`a ${credential.method} attempt is not for Kerberos`);
  }
  return { ...rest, credential };
};

/** Index of a key in `acceptableKeys`; the fingerprint comes first because a user name may hold anything. */
export const keyIndex = (context: AuthenticationContext): string => {
  const { credential, username } = keyAttemptOf(context);
  return `${credential.fingerprint} ${username}`;
};

export const identityOf = ({ identity }: AuthenticationContext): Identity => {
  if (identity === undefined) throw new Error("nobody has proven who they are");
  return identity;
};

export const acceptedIdentityOf = (context: AuthenticationContext): Identity => {
  const identity = context.acceptableKeys[keyIndex(context)];
  if (identity === undefined) throw new Error("the key was not accepted");
  return identity;
};

export const tooManyFailures = ({ failures }: AuthenticationContext): Refusal => ({
  code: "AUTH_FAILED",
  level: "notice",
  userMessage: "Too many failed attempts to log in. Please connect again to try once more.",
  message: `No attempts left after ${failures} failures`,
  details: { failures },
});

export const methodUnavailable = (method: string, username: string): Refusal => ({
  code: "SSH_AUTH_UNAVAILABLE",
  level: "info",
  userMessage: "This way of logging in is not available here.",
  message: "The client tried an authentication method that is not configured",
  details: { method, username },
});

export const credentialUnusable = (problem: string, method: string, username: string): Refusal => ({
  code: "SSH_AUTH_FAILED",
  level: "info",
  userMessage: "",
  message: `What the client offered cannot be used: ${problem}`,
  details: { method, username },
});

/** Why a request can't even be tried. */
export const untriedOf = ({ method, username, problem }: AuthenticationRequested): Refusal =>
  problem === undefined ? methodUnavailable(method, username) : credentialUnusable(problem, method, username);

export const abandoned: Refusal = {
  code: "SSH_AUTH_FAILED",
  level: "info",
  userMessage: "",
  message: "The client gave this attempt up and began another",
  details: {},
};

export const failureLine = ({ connectionId, attempt, refusal, failures }: AuthenticationContext) => ({
  connectionId,
  line: {
    level: refusal?.level ?? "notice",
    code: refusal?.code ?? "AUTH_FAILED",
    message: refusal?.message ?? "",
    details: {
      username: attempt?.username,
      method: attempt?.credential.method,
      ...refusal?.details,
      fingerprint: attempt?.credential.method === "publickey" ? attempt.credential.fingerprint : undefined,
      failures,
    },
  },
});

/** Whether what failed is a key, whose holder is not proven. */
export const isAboutKey = ({ attempt, identity }: AuthenticationContext): boolean =>
  attempt?.credential.method === "publickey" && identity === undefined;

/**
 * A client offers its keys by itself, one after another, and then asks for a password: a sentence about each that
 * doesn't fit, or one at every login with a password, is noise. It does not say either which key is its last, so
 * somebody reads one sentence, about the first, where that is their only way in, and where nobody could even be
 * asked about it: then the next one won't do better.
 */
export const speaksOfKeys = ({ methods, spokeOfKeys }: AuthenticationContext, { level }: Refusal): boolean =>
  !spokeOfKeys && (level === "error" || methods.every((method) => method === "publickey"));

export const questionOf = (context: AuthenticationContext) => {
  const { credential, username } = attemptOf(context);
  return { username, method: credential.method };
};
