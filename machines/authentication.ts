/**
 * One user authentication conversation (RFC 4252): which method may be tried, what it proved, how many attempts
 * are left. It proves who somebody is; whether they may come in is the parent's verdict.
 */
import { assign, sendParent, setup } from "xstate";
import {
  type Attempt,
  type AuthenticationMethod,
  type Credential,
  type Identity,
  type InteractiveCredential,
  type LogLine,
  type PublicKeyCredential,
  type Refusal,
  refusalOf,
} from "./facts.ts";
import { type KerberosLogin, type KerberosOutcome, kerberosMachine } from "./kerberos.ts";
import { type OidcOutcome, oidcMachine } from "./oidc.ts";
import { required, requiredAction } from "./required.ts";
import { authUnanswered, kdcUnanswered } from "./unanswered.ts";

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

const attemptOf = (context: AuthenticationContext): Attempt => {
  if (context.attempt === undefined) throw new Error("no attempt is under way");
  return context.attempt;
};

const keyAttemptOf = (context: AuthenticationContext): Attempt<PublicKeyCredential> => {
  const { credential, ...rest } = attemptOf(context);
  if (credential.method !== "publickey") throw new Error(`a ${credential.method} attempt has no key`);
  return { ...rest, credential };
};

const interactiveAttemptOf = (context: AuthenticationContext): Attempt<InteractiveCredential> => {
  const { credential, ...rest } = attemptOf(context);
  if (credential.method !== "keyboard-interactive") {
    throw new Error(`a ${credential.method} attempt can ask nothing`);
  }
  return { ...rest, credential };
};

const kerberosLoginOf = (context: AuthenticationContext): KerberosLogin => {
  const { credential, ...rest } = attemptOf(context);
  if (credential.method !== "password" && credential.method !== "gssapi-with-mic") {
    throw new Error(`a ${credential.method} attempt is not for Kerberos`);
  }
  return { ...rest, credential };
};

/** Index of a key in `acceptableKeys`; the fingerprint comes first because a user name may hold anything. */
const keyIndex = (context: AuthenticationContext): string => {
  const { credential, username } = keyAttemptOf(context);
  return `${credential.fingerprint} ${username}`;
};

const identityOf = ({ identity }: AuthenticationContext): Identity => {
  if (identity === undefined) throw new Error("nobody has proven who they are");
  return identity;
};

const acceptedIdentityOf = (context: AuthenticationContext): Identity => {
  const identity = context.acceptableKeys[keyIndex(context)];
  if (identity === undefined) throw new Error("the key was not accepted");
  return identity;
};

const tooManyFailures = ({ failures }: AuthenticationContext): Refusal => ({
  code: "AUTH_FAILED",
  level: "notice",
  userMessage: "Too many failed attempts to log in. Please connect again to try once more.",
  message: `No attempts left after ${failures} failures`,
  details: { failures },
});

const methodUnavailable = (method: string, username: string): Refusal => ({
  code: "SSH_AUTH_UNAVAILABLE",
  level: "info",
  userMessage: "This way of logging in is not available here.",
  message: "The client tried an authentication method that is not configured",
  details: { method, username },
});

const credentialUnusable = (problem: string, method: string, username: string): Refusal => ({
  code: "SSH_AUTH_FAILED",
  level: "info",
  userMessage: "",
  message: `What the client offered cannot be used: ${problem}`,
  details: { method, username },
});

/** Why a request can't even be tried. */
const untriedOf = ({ method, username, problem }: AuthenticationRequested): Refusal =>
  problem === undefined ? methodUnavailable(method, username) : credentialUnusable(problem, method, username);

const abandoned: Refusal = {
  code: "SSH_AUTH_FAILED",
  level: "info",
  userMessage: "",
  message: "The client gave this attempt up and began another",
  details: {},
};

const failureLine = ({ connectionId, attempt, refusal, failures }: AuthenticationContext) => ({
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
const isAboutKey = ({ attempt, identity }: AuthenticationContext): boolean =>
  attempt?.credential.method === "publickey" && identity === undefined;

/**
 * A client offers its keys by itself, one after another, and then asks for a password: a sentence about each that
 * doesn't fit, or one at every login with a password, is noise. It does not say either which key is its last, so
 * somebody reads one sentence, about the first, where that is their only way in, and where nobody could even be
 * asked about it: then the next one won't do better.
 */
const speaksOfKeys = ({ methods, spokeOfKeys }: AuthenticationContext, { level }: Refusal): boolean =>
  !spokeOfKeys && (level === "error" || methods.every((method) => method === "publickey"));

const questionOf = (context: AuthenticationContext) => {
  const { credential, username } = attemptOf(context);
  return { username, method: credential.method };
};

export const authenticationMachine = setup({
  types: {
    input: {} as AuthenticationInput,
    context: {} as AuthenticationContext,
    events: {} as AuthenticationEvent,
    output: {} as AuthenticationOutcome,
  },
  actors: {
    checkPassword: required<Identity, Attempt>("checkPassword"),
    askForKey: required<Identity, Attempt<PublicKeyCredential>>("askForKey"),
    verifySignature: required<void, Attempt<PublicKeyCredential>>("verifySignature"),
    oidc: oidcMachine,
    kerberos: kerberosMachine,
  },
  actions: {
    answerFailure: requiredAction<{ connectionId: string; methods: readonly AuthenticationMethod[] }>(
      "answerFailure",
    ),
    answerKeyAcceptable: requiredAction<{ connectionId: string }>("answerKeyAcceptable"),
    answerSuccess: requiredAction<{ connectionId: string }>("answerSuccess"),
    showBanner: requiredAction<{ connectionId: string; text: string }>("showBanner"),
    log: requiredAction<{ connectionId: string; line: LogLine }>("log"),
    keepAttempt: assign(({ context }, requested: AuthenticationRequested) => ({
      attempt:
        requested.credential === undefined
          ? undefined
          : {
              connectionId: context.connectionId,
              username: requested.username,
              credential: requested.credential,
            },
      identity: undefined,
    })),
    keepIdentity: assign((_, identity: Identity) => ({ identity })),
    /** Who was proven, why they are refused, or both. */
    keepOutcome: assign((_, { kind: __, ...outcome }: OidcOutcome | KerberosOutcome) => outcome),
    keepKey: assign(({ context }, identity: Identity) => ({
      acceptableKeys: { ...context.acceptableKeys, [keyIndex(context)]: identity },
    })),
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
    refuse: assign((_, { refusal }: { refusal: Refusal }) => ({
      refusal,
      outcome: { kind: "refused", refusal } as const,
    })),
    noteWords: assign(({ context }) => ({ spokeOfKeys: context.spokeOfKeys || isAboutKey(context) })),
    countFailure: assign(({ context }) => ({ failures: context.failures + 1 })),
  },
  guards: {
    /** The way a client asks which methods there are (RFC 4252 section 5.2). */
    asksForMethods: (_, { method }: AuthenticationRequested) => method === "none",
    mayTry: (
      { context },
      { requested, method }: { requested: AuthenticationRequested; method: AuthenticationMethod },
    ) =>
      requested.method === method && requested.credential !== undefined && context.methods.includes(method),
    isForKerberos: ({ context }, { method, credential }: AuthenticationRequested) =>
      credential !== undefined &&
      context.methods.some((offered) => offered === method && context.kerberosMethods.includes(offered)),
    isKnownKey: ({ context }) => keyIndex(context) in context.acceptableKeys,
    isSigned: ({ context }) => keyAttemptOf(context).credential.signed,
    isIdentified: (_, { kind }: OidcOutcome | KerberosOutcome) => kind === "granted",
    /** Of the ways of Kerberos: it is asked of the KDC, where a ticket is the client's to send. */
    isAboutPassword: ({ context }) => attemptOf(context).credential.method === "password",
    isMisnamed: (_, { kind }: KerberosOutcome) => kind === "misnamed",
    isExhausted: ({ context }) => context.failures >= context.attemptLimit,
    /** Of what can't be tried nobody needs to read: clients ask for it by themselves. */
    hasWordsForAPerson: ({ context }) => {
      const { refusal, attempt, identity } = context;
      if (refusal === undefined || refusal.userMessage === "") return false;
      return isAboutKey(context)
        ? speaksOfKeys(context, refusal)
        : attempt !== undefined || identity !== undefined;
    },
  },
}).createMachine({
  id: "authentication",
  context: ({ input }) => ({
    ...input,
    failures: 0,
    attempt: undefined,
    acceptableKeys: {},
    identity: undefined,
    refusal: undefined,
    spokeOfKeys: false,
    outcome: undefined,
  }),
  output: ({ context }) => {
    if (context.outcome === undefined) throw new Error("the conversation ended with nothing");
    return context.outcome;
  },
  initial: "awaitingRequest",
  on: {
    "grace.expired": {
      target: ".refused",
      actions: { type: "refuse", params: ({ event }) => event },
    },
  },
  states: {
    awaitingRequest: {
      on: {
        "authentication.requested": [
          {
            guard: { type: "asksForMethods", params: ({ event }) => event },
            actions: { type: "answerFailure", params: ({ context }) => context },
          },
          {
            guard: { type: "isForKerberos", params: ({ event }) => event },
            target: "askingKerberos",
            actions: { type: "keepAttempt", params: ({ event }) => event },
          },
          {
            guard: { type: "mayTry", params: ({ event }) => ({ requested: event, method: "password" }) },
            target: "checkingPassword",
            actions: { type: "keepAttempt", params: ({ event }) => event },
          },
          {
            guard: { type: "mayTry", params: ({ event }) => ({ requested: event, method: "publickey" }) },
            target: "consideringKey",
            actions: { type: "keepAttempt", params: ({ event }) => event },
          },
          {
            guard: {
              type: "mayTry",
              params: ({ event }) => ({ requested: event, method: "keyboard-interactive" }),
            },
            target: "askingPerson",
            actions: { type: "keepAttempt", params: ({ event }) => event },
          },
          {
            target: "failing",
            actions: [
              { type: "keepAttempt", params: ({ event }) => event },
              { type: "keepReason", params: ({ event }) => ({ error: untriedOf(event) }) },
            ],
          },
        ],
      },
    },

    checkingPassword: {
      invoke: {
        src: "checkPassword",
        input: ({ context }) => attemptOf(context),
        onDone: {
          target: "awaitingVerdict",
          actions: { type: "keepIdentity", params: ({ event }) => event.output },
        },
        onError: { target: "failing", actions: { type: "keepReason", params: ({ event }) => event } },
      },
      on: {
        "grace.expired": {
          target: "refused",
          actions: {
            type: "refuse",
            params: ({ context }) => ({ refusal: authUnanswered("password", questionOf(context)) }),
          },
        },
      },
    },

    consideringKey: {
      always: [{ guard: "isKnownKey", target: "keyAcceptable" }, { target: "askingForKey" }],
    },
    askingForKey: {
      invoke: {
        src: "askForKey",
        input: ({ context }) => keyAttemptOf(context),
        onDone: {
          target: "keyAcceptable",
          actions: { type: "keepKey", params: ({ event }) => event.output },
        },
        onError: { target: "failing", actions: { type: "keepReason", params: ({ event }) => event } },
      },
      on: {
        "grace.expired": {
          target: "refused",
          actions: {
            type: "refuse",
            params: ({ context }) => ({ refusal: authUnanswered("public key", questionOf(context)) }),
          },
        },
      },
    },
    keyAcceptable: {
      always: [
        { guard: "isSigned", target: "verifyingSignature" },
        {
          target: "awaitingRequest",
          actions: { type: "answerKeyAcceptable", params: ({ context }) => context },
        },
      ],
    },
    verifyingSignature: {
      invoke: {
        src: "verifySignature",
        input: ({ context }) => keyAttemptOf(context),
        onDone: {
          target: "awaitingVerdict",
          actions: { type: "keepIdentity", params: ({ context }) => acceptedIdentityOf(context) },
        },
        onError: { target: "failing", actions: { type: "keepReason", params: ({ event }) => event } },
      },
    },

    /** RFC 4256. What is asked, and what the answers prove, is a login with a browser. */
    askingPerson: {
      entry: sendParent({ type: "interaction.began" } satisfies InteractionBegan),
      invoke: {
        src: "oidc",
        input: ({ context }) => interactiveAttemptOf(context),
        onDone: [
          {
            guard: { type: "isIdentified", params: ({ event }) => event.output },
            target: "awaitingVerdict",
            actions: { type: "keepOutcome", params: ({ event }) => event.output },
          },
          { target: "failing", actions: { type: "keepOutcome", params: ({ event }) => event.output } },
        ],
      },
      on: {
        "authentication.abandoned": {
          target: "failing",
          actions: { type: "keepReason", params: { error: abandoned } },
        },
      },
    },

    /** A ticket, or a password that a KDC knows. */
    askingKerberos: {
      invoke: {
        src: "kerberos",
        input: ({ context }) => kerberosLoginOf(context),
        onDone: [
          {
            guard: { type: "isIdentified", params: ({ event }) => event.output },
            target: "awaitingVerdict",
            actions: { type: "keepOutcome", params: ({ event }) => event.output },
          },
          {
            guard: { type: "isMisnamed", params: ({ event }) => event.output },
            target: "awaitingReport",
            actions: { type: "keepOutcome", params: ({ event }) => event.output },
          },
          { target: "failing", actions: { type: "keepOutcome", params: ({ event }) => event.output } },
        ],
      },
      on: {
        "grace.expired": {
          guard: "isAboutPassword",
          target: "refused",
          actions: {
            type: "refuse",
            params: ({ context }) => ({ refusal: kdcUnanswered(questionOf(context)) }),
          },
        },
        "authentication.abandoned": {
          target: "failing",
          actions: { type: "keepReason", params: { error: abandoned } },
        },
      },
    },

    /** Authorization and configuration are the parent's: a login is granted when they agree, and not before. */
    awaitingVerdict: {
      entry: sendParent(
        ({ context }): IdentityVerified => ({
          type: "identity.verified",
          identity: identityOf(context),
          method: attemptOf(context).credential.method,
        }),
      ),
      on: {
        "login.granted": { target: "granted" },
        "login.refused": {
          target: "failing",
          actions: { type: "keepReason", params: ({ event }) => ({ error: event.refusal }) },
        },
      },
    },

    /** The login is refused, whatever is said to the parent's report of it. */
    awaitingReport: {
      entry: sendParent(
        ({ context }): IdentityMismatched => ({ type: "identity.mismatched", identity: identityOf(context) }),
      ),
      on: { "mismatch.reported": { target: "failing" } },
    },

    failing: {
      entry: ["countFailure", { type: "log", params: ({ context }) => failureLine(context) }],
      always: [
        {
          guard: "isExhausted",
          target: "refused",
          actions: assign(({ context }) => ({
            outcome: { kind: "refused", refusal: tooManyFailures(context) } as const,
          })),
        },
        {
          guard: "hasWordsForAPerson",
          target: "awaitingRequest",
          actions: [
            {
              type: "showBanner",
              params: ({ context }) => ({ ...context, text: context.refusal?.userMessage ?? "" }),
            },
            "noteWords",
            { type: "answerFailure", params: ({ context }) => context },
          ],
        },
        { target: "awaitingRequest", actions: { type: "answerFailure", params: ({ context }) => context } },
      ],
    },

    granted: {
      type: "final",
      entry: [
        { type: "answerSuccess", params: ({ context }) => context },
        assign({ outcome: { kind: "granted" } as const }),
      ],
    },
    refused: { type: "final" },
  },
});
