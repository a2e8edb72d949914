/**
 * The device flow (RFC 8628): the user approves the login on any device with a browser, and the provider is asked at
 * its own pace whether they have.
 */
import { assign, setup } from "xstate";
import { type Refusal, refusalOf } from "./facts.ts";
import type { FlowInput, FlowOutcome, Grant } from "./oauth2.ts";
import { required } from "./required.ts";
import { UNTIMED } from "./untimed.ts";

/** What the provider wants the user to type in where. Extended in src/auth/oauth2/ by the codes. */
export interface DeviceAuthorization {
  readonly expiresInMillis: number;
  /** The shortest pause between two questions whether the user has approved. */
  readonly intervalMillis: number;
}

/** A login whose codes have been issued. */
export interface DeviceLogin extends FlowInput {
  readonly authorization: DeviceAuthorization;
}

/** What the provider says to the wish for a device code. */
export type DeviceCodeAnswer =
  | { readonly kind: "issued"; readonly authorization: DeviceAuthorization }
  /** It doesn't give any at this time: too many have been asked for, or it has no device flow after all. */
  | { readonly kind: "unavailable"; readonly refusal: Refusal };

/** What the provider says to the question whether the user has approved (RFC 8628 section 3.5). */
export type PollAnswer =
  | { readonly kind: "granted"; readonly grant: Grant }
  | { readonly kind: "pending" }
  /** It wants to be asked less often, and may say how often. */
  | { readonly kind: "slowDown"; readonly intervalMillis: number | undefined }
  /** It could not be asked. */
  | { readonly kind: "unreachable" }
  | { readonly kind: "denied" }
  | { readonly kind: "expired" };

export interface DeviceFlowContext extends FlowInput {
  readonly authorization: DeviceAuthorization | undefined;
  readonly intervalMillis: number;
  readonly grant: Grant | undefined;
  readonly refusal: Refusal | undefined;
  readonly isUnavailable: boolean;
}

const SLOW_DOWN_MILLIS = 5_000;
const LONGEST_INTERVAL_MILLIS = 60_000;

const deviceLoginOf = ({ login, provider, authorization }: DeviceFlowContext): DeviceLogin => {
  if (authorization === undefined) throw new Error("no device code has been issued");
  return { login, provider, authorization };
};

/** RFC 8628 section 3.5: `slow_down` lengthens the pause for good, and so does a provider that doesn't answer. */
const paceAfter = (answer: PollAnswer, intervalMillis: number): number => {
  switch (answer.kind) {
    case "slowDown":
      return Math.max(intervalMillis + SLOW_DOWN_MILLIS, answer.intervalMillis ?? 0);
    case "unreachable":
      return intervalMillis * 2;
    default:
      return intervalMillis;
  }
};

const denied: Refusal = {
  code: "AUTH_FAILED",
  level: "notice",
  userMessage: "The login was declined in the browser. Please try again and approve it.",
  message: "The user declined the login at the provider",
  details: {},
};

const expired: Refusal = {
  code: "AUTH_OAUTH2_TIMEOUT",
  level: "notice",
  userMessage: "The login was not approved in time. Please try again.",
  message: "The device code expired before the user approved the login",
  details: {},
};

const outcomeOf = ({ grant, refusal, isUnavailable }: DeviceFlowContext): FlowOutcome => {
  if (grant !== undefined) return { kind: "granted", grant };
  const reason = refusal ?? refusalOf(new Error("the device flow ended without a reason"));
  return { kind: isUnavailable ? "unavailable" : "refused", refusal: reason };
};

const failing = {
  target: "#deviceFlow.refused",
  actions: { type: "keepReason", params: ({ event }: { event: { error: unknown } }) => event },
} as const;

export const deviceFlowMachine = setup({
  types: {
    input: {} as FlowInput,
    context: {} as DeviceFlowContext,
    output: {} as FlowOutcome,
  },
  actors: {
    requestDeviceCode: required<DeviceCodeAnswer, FlowInput>("requestDeviceCode"),
    /** Ends when the user can be waited for. */
    showDeviceCode: required<void, DeviceLogin>("showDeviceCode"),
    pollToken: required<PollAnswer, DeviceLogin>("pollToken"),
  },
  delays: {
    expiry: ({ context }) => deviceLoginOf(context).authorization.expiresInMillis,
    interval: ({ context }) => context.intervalMillis,
  },
  actions: {
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
    refuse: assign((_, { refusal }: { refusal: Refusal }) => ({ refusal })),
    keepCode: assign((_, answer: DeviceCodeAnswer) =>
      answer.kind === "issued"
        ? { authorization: answer.authorization, intervalMillis: answer.authorization.intervalMillis }
        : { refusal: answer.refusal, isUnavailable: true },
    ),
    keepGrant: assign((_, answer: PollAnswer) => (answer.kind === "granted" ? { grant: answer.grant } : {})),
    keepPace: assign(({ context }, answer: PollAnswer) => ({
      intervalMillis: Math.min(paceAfter(answer, context.intervalMillis), LONGEST_INTERVAL_MILLIS),
    })),
  },
  guards: {
    wasIssued: (_, { kind }: DeviceCodeAnswer) => kind === "issued",
    says: (_, { answer, kind }: { answer: PollAnswer; kind: PollAnswer["kind"] }) => answer.kind === kind,
  },
}).createMachine({
  id: "deviceFlow",
  context: ({ input }) => ({
    ...input,
    authorization: undefined,
    intervalMillis: 0,
    grant: undefined,
    refusal: undefined,
    isUnavailable: false,
  }),
  output: ({ context }) => outcomeOf(context),
  initial: "requestingCode",
  states: {
    requestingCode: {
      invoke: {
        src: "requestDeviceCode",
        input: ({ context }) => context,
        onDone: [
          {
            guard: { type: "wasIssued", params: ({ event }) => event.output },
            target: "pending",
            actions: { type: "keepCode", params: ({ event }) => event.output },
          },
          { target: "unavailable", actions: { type: "keepCode", params: ({ event }) => event.output } },
        ],
        onError: failing,
      },
    },

    /** The code is valid. */
    pending: {
      initial: "showingCode",
      after: {
        expiry: { target: "refused", actions: { type: "refuse", params: { refusal: expired } } },
      },
      states: {
        showingCode: {
          tags: UNTIMED,
          invoke: {
            src: "showDeviceCode",
            input: ({ context }) => deviceLoginOf(context),
            onDone: { target: "waiting" },
            onError: failing,
          },
        },
        waiting: { after: { interval: { target: "polling" } } },
        polling: {
          tags: UNTIMED,
          invoke: {
            src: "pollToken",
            input: ({ context }) => deviceLoginOf(context),
            onDone: [
              {
                guard: { type: "says", params: ({ event }) => ({ answer: event.output, kind: "granted" }) },
                target: "#deviceFlow.granted",
                actions: { type: "keepGrant", params: ({ event }) => event.output },
              },
              {
                guard: { type: "says", params: ({ event }) => ({ answer: event.output, kind: "denied" }) },
                target: "#deviceFlow.refused",
                actions: { type: "refuse", params: { refusal: denied } },
              },
              {
                guard: { type: "says", params: ({ event }) => ({ answer: event.output, kind: "expired" }) },
                target: "#deviceFlow.refused",
                actions: { type: "refuse", params: { refusal: expired } },
              },
              { target: "waiting", actions: { type: "keepPace", params: ({ event }) => event.output } },
            ],
            onError: failing,
          },
        },
      },
    },

    granted: { type: "final" },
    unavailable: { type: "final" },
    refused: { type: "final" },
  },
});
