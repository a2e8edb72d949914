/**
 * One user authentication conversation (RFC 4252): which method may be tried, what it proved, how many attempts
 * are left. It proves who somebody is; whether they may come in is the parent's verdict.
 */
import { assign, sendParent, setup } from "xstate";
import {
  type AuthenticationContext,
  type AuthenticationEvent,
  type AuthenticationInput,
  type AuthenticationOutcome,
  type AuthenticationRequested,
  abandoned,
  acceptedIdentityOf,
  attemptOf,
  failureLine,
  type IdentityMismatched,
  type IdentityVerified,
  type InteractionBegan,
  identityOf,
  interactiveAttemptOf,
  isAboutKey,
  kerberosLoginOf,
  keyAttemptOf,
  keyIndex,
  questionOf,
  speaksOfKeys,
  tooManyFailures,
  untriedOf,
} from "./authentication-facts.ts";
import {
  type Attempt,
  type AuthenticationMethod,
  type Identity,
  type LogLine,
  type PublicKeyCredential,
  type Refusal,
  refusalOf,
} from "./facts.ts";
import { type KerberosOutcome, kerberosMachine } from "./kerberos.ts";
import { type OidcOutcome, oidcMachine } from "./oidc.ts";
import { required, requiredAction } from "./required.ts";
import { authUnanswered, kdcUnanswered } from "./unanswered.ts";

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
