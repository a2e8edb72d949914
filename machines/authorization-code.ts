/**
 * The authorization code flow (RFC 6749 section 4.1, with PKCE of RFC 7636) for people at a terminal: they log in with
 * a browser, end on a page that shows a code, and give it to the SSH login that it belongs to.
 */
import { assign, type EventObject, setup } from "xstate";
import { type Refusal, refusalOf } from "./facts.ts";
import type { FlowInput, FlowOutcome, Grant, Provider } from "./oauth2.ts";
import { required, requiredSource } from "./required.ts";
import { UNTIMED } from "./untimed.ts";

/** What sends a browser to the provider. Extended in src/auth/oauth2/ by the link and what it is verified with. */
export interface AuthorizationRequest {
  readonly responseType: "code";
}

/** What the browser came back with. Extended in src/auth/oauth2/. */
export interface AuthorizationResponse {
  readonly grantType: "authorization_code";
}

/** A login whose link has been made. */
export interface LinkedLogin extends FlowInput {
  readonly request: AuthorizationRequest;
}

export interface CodeQuestion extends LinkedLogin {
  /** What was wrong with the code before. */
  readonly problem: CodeProblem | undefined;
}

export interface ReturnedLogin extends LinkedLogin {
  readonly response: AuthorizationResponse;
}

/**
 * - `unreadable`: it is no code at all.
 * - `notReturned`: no browser has come back for this login yet.
 * - `mismatch`: it is the code of another login, or mistyped.
 */
export type CodeProblem = "unreadable" | "notReturned" | "mismatch";

/** What the user's answer turned out to be. */
export type CodeAnswer =
  | { readonly kind: "matched"; readonly response: AuthorizationResponse }
  /** The browser came back with an error in place of a code: the user or the provider said no. */
  | { readonly kind: "declined"; readonly error: string }
  | { readonly kind: CodeProblem };

export interface AuthorizationCodeContext extends FlowInput {
  readonly request: AuthorizationRequest | undefined;
  readonly response: AuthorizationResponse | undefined;
  readonly problem: CodeProblem | undefined;
  readonly asked: number;
  readonly grant: Grant | undefined;
  readonly refusal: Refusal | undefined;
}

/** How often a wrong code may be corrected: people mistype, and nobody guesses 40 bits in three tries. */
const ASKED_AT_MOST = 3;

const linkedLoginOf = ({ login, provider, request }: AuthorizationCodeContext): LinkedLogin => {
  if (request === undefined) throw new Error("no link has been made");
  return { login, provider, request };
};

const returnedLoginOf = (context: AuthorizationCodeContext): ReturnedLogin => {
  if (context.response === undefined) throw new Error("no browser has come back");
  return { ...linkedLoginOf(context), response: context.response };
};

const declined = (error: string): Refusal => ({
  code: "AUTH_FAILED",
  level: "notice",
  userMessage: "The login was declined in the browser. Please try again and approve it.",
  message: "The provider sent the browser back without a code",
  details: { error },
});

const mismatchCodes: Readonly<Record<Provider["name"], string>> = {
  oidc: "AUTH_OAUTH_STATE_MISMATCH",
  generic: "AUTH_OAUTH_STATE_MISMATCH",
  github: "GITHUB_STATE_DOES_NOT_MATCH",
};

const wrongCode = ({ provider }: AuthorizationCodeContext, answer: CodeAnswer): Refusal => ({
  code: answer.kind === "mismatch" ? mismatchCodes[provider.name] : "AUTH_FAILED",
  level: "notice",
  userMessage: "That was not the code of this login. Please try again with the new link.",
  message: "The user did not give the code of this login",
  details: { problem: answer.kind },
});

const outcomeOf = ({ grant, refusal }: AuthorizationCodeContext): FlowOutcome => {
  if (grant !== undefined) return { kind: "granted", grant };
  const reason = refusal ?? refusalOf(new Error("the authorization code flow ended without a reason"));
  return { kind: "refused", refusal: reason };
};

const failing = {
  target: "#authorizationCode.refused",
  actions: { type: "keepReason", params: ({ event }: { event: { error: unknown } }) => event },
} as const;

export const authorizationCodeMachine = setup({
  types: {
    input: {} as FlowInput,
    context: {} as AuthorizationCodeContext,
    output: {} as FlowOutcome,
  },
  actors: {
    prepareRequest: required<AuthorizationRequest, FlowInput>("prepareRequest"),
    /** As long as it runs, a browser that comes back finds this login. */
    awaitReturn: requiredSource<EventObject, LinkedLogin>("awaitReturn"),
    askForCode: required<CodeAnswer, CodeQuestion>("askForCode"),
    exchangeCode: required<Grant, ReturnedLogin>("exchangeCode"),
  },
  actions: {
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
    keepResponse: assign((_, answer: CodeAnswer) =>
      answer.kind === "matched" ? { response: answer.response } : {},
    ),
    keepProblem: assign((_, { kind }: CodeAnswer) =>
      kind === "matched" || kind === "declined" ? {} : { problem: kind },
    ),
    refuse: assign(({ context }, answer: CodeAnswer) => ({
      refusal: answer.kind === "declined" ? declined(answer.error) : wrongCode(context, answer),
    })),
    countQuestion: assign(({ context }) => ({ asked: context.asked + 1 })),
  },
  guards: {
    matches: (_, { kind }: CodeAnswer) => kind === "matched",
    mayBeCorrected: ({ context }, { kind }: CodeAnswer) =>
      kind !== "declined" && context.asked < ASKED_AT_MOST,
  },
}).createMachine({
  id: "authorizationCode",
  context: ({ input }) => ({
    ...input,
    request: undefined,
    response: undefined,
    problem: undefined,
    asked: 0,
    grant: undefined,
    refusal: undefined,
  }),
  output: ({ context }) => outcomeOf(context),
  initial: "preparing",
  states: {
    preparing: {
      invoke: {
        src: "prepareRequest",
        input: ({ context }) => context,
        onDone: { target: "open", actions: assign(({ event }) => ({ request: event.output })) },
        onError: failing,
      },
    },

    /** The link works, and a browser that comes back is expected. */
    open: {
      tags: UNTIMED,
      initial: "asking",
      invoke: { src: "awaitReturn", input: ({ context }) => linkedLoginOf(context) },
      states: {
        asking: {
          tags: UNTIMED,
          entry: "countQuestion",
          invoke: {
            src: "askForCode",
            input: ({ context }) => ({ ...linkedLoginOf(context), problem: context.problem }),
            onDone: [
              {
                guard: { type: "matches", params: ({ event }) => event.output },
                target: "exchanging",
                actions: { type: "keepResponse", params: ({ event }) => event.output },
              },
              {
                guard: { type: "mayBeCorrected", params: ({ event }) => event.output },
                target: "asking",
                reenter: true,
                actions: { type: "keepProblem", params: ({ event }) => event.output },
              },
              {
                target: "#authorizationCode.refused",
                actions: { type: "refuse", params: ({ event }) => event.output },
              },
            ],
            onError: failing,
          },
        },
        exchanging: {
          invoke: {
            src: "exchangeCode",
            input: ({ context }) => returnedLoginOf(context),
            onDone: {
              target: "#authorizationCode.granted",
              actions: assign(({ event }) => ({ grant: event.output })),
            },
            onError: failing,
          },
        },
      },
    },

    granted: { type: "final" },
    refused: { type: "final" },
  },
});
