/**
 * A login with a browser: OpenID Connect, and what it grew from, OAuth2 as GitHub and others speak it. What does the
 * provider offer, which flow gets a token, were the scopes granted, who is it, and may this account come in.
 */
import { assign, setup } from "xstate";
import { authorizationCodeMachine } from "./authorization-code.ts";
import { deviceFlowMachine } from "./device-flow.ts";
import { type Identity, type LogLine, type Refusal, refusalOf } from "./facts.ts";
import {
  type BrowserLogin,
  type FlowInput,
  type FlowOutcome,
  type Grant,
  grantedScopes,
  type Profile,
  type Provider,
} from "./oauth2.ts";
import { required, requiredAction } from "./required.ts";

export interface OidcContext {
  readonly login: BrowserLogin;
  readonly provider: Provider | undefined;
  readonly grant: Grant | undefined;
  readonly profile: Profile | undefined;
  readonly refusal: Refusal | undefined;
}

/** A login for which the provider gave a token. */
export interface GrantedLogin extends FlowInput {
  readonly grant: Grant;
}

export type OidcOutcome =
  | { readonly kind: "granted"; readonly identity: Identity }
  | { readonly kind: "refused"; readonly refusal: Refusal };

const flowInputOf = ({ login, provider }: OidcContext): FlowInput => {
  if (provider === undefined) throw new Error("the provider is not known yet");
  return { login, provider };
};

const grantedLoginOf = (context: OidcContext): GrantedLogin => {
  if (context.grant === undefined) throw new Error("nothing has been granted");
  return { ...flowInputOf(context), grant: context.grant };
};

const profileOf = ({ profile }: OidcContext): Profile => {
  if (profile === undefined) throw new Error("nobody is known yet");
  return profile;
};

const missingScopes = (context: OidcContext): readonly string[] => {
  const { grant, provider } = grantedLoginOf(context);
  const granted = grantedScopes(grant, provider);
  return provider.requiredScopes
    .filter(({ grantedBy }) => !grantedBy.some((scope) => granted.includes(scope)))
    .map(({ scope }) => scope);
};

const noFlow: Refusal = {
  code: "AUTH_CONFIG_ERROR",
  level: "error",
  userMessage: "Logging in with a browser is not configured correctly. Please ask your administrator.",
  message:
    "No flow can be used: the provider has no device flow, or it is off for this client, and the authorization code flow is off",
  details: {},
};

const scopesMissing = (context: OidcContext): Refusal => {
  const { grant, provider } = grantedLoginOf(context);
  const missing = missingScopes(context);
  const permissions = missing.length === 1 ? "permission" : "permissions";
  return {
    code:
      provider.name === "github" ? "GITHUB_REQUIRED_SCOPE_NOT_GRANTED" : "OIDC_REQUIRED_SCOPE_NOT_GRANTED",
    level: "notice",
    userMessage: `You have not granted the required ${permissions}: ${missing.join(", ")}. Please log in again and allow it.`,
    message: "The user has not granted the required scopes",
    details: {
      requested: provider.requestedScopes.join(" "),
      granted: grantedScopes(grant, provider).join(" "),
      missing: missing.join(" "),
    },
  };
};

const usernameMissing: Refusal = {
  code: "OIDC_NO_USERNAME",
  level: "error",
  userMessage: "Your account has no user name that can be used here. Please ask your administrator.",
  message: "The provider did not say a user name in the configured field, or one that is no text",
  details: {},
};

const anotherUser = (context: OidcContext): Refusal => ({
  code: "GITHUB_USER_DOES_NOT_MATCH",
  level: "notice",
  userMessage:
    "The user name of your SSH client is not that of your account. Please connect again with the name of your account.",
  message: "The user name that was asked for is not the one that was proven",
  details: { authenticatedUsername: profileOf(context).identity.authenticatedUsername },
});

const twoFactorMissing = (context: OidcContext): Refusal => ({
  code: "GITHUB_2FA_NOT_ENABLED",
  level: "notice",
  userMessage:
    profileOf(context).hasTwoFactor === undefined
      ? "Please grant the permission to read your profile, so that two-factor authentication can be checked."
      : "Please switch on two-factor authentication for your account to log in here.",
  message: "Two-factor authentication is required, and the account does not have it or does not tell",
  details: {},
});

const notAMember = (context: OidcContext): Refusal => ({
  code: "GITHUB_ORGANIZATION_MEMBERSHIP_REQUIRED",
  level: "notice",
  userMessage:
    "Only members of an organization may log in here, and your account is none. Please ask for membership.",
  message: "The user is no active member of the required organization",
  details: { organization: flowInputOf(context).provider.organization ?? "" },
});

const reasonOf = (outcome: FlowOutcome): Refusal => {
  if (outcome.kind === "granted") throw new Error("a flow that was granted has no reason to end");
  return outcome.refusal;
};

const failing = {
  target: "refused",
  actions: { type: "keepReason", params: ({ event }: { event: { error: unknown } }) => event },
} as const;

export const oidcMachine = setup({
  types: {
    input: {} as BrowserLogin,
    context: {} as OidcContext,
    output: {} as OidcOutcome,
  },
  actors: {
    /** Finds out what the provider offers. */
    discover: required<Provider, BrowserLogin>("discover"),
    deviceFlow: deviceFlowMachine,
    authorizationCode: authorizationCodeMachine,
    /** Asks the provider who it was. */
    identify: required<Profile, GrantedLogin>("identify"),
  },
  actions: {
    log: requiredAction<{ connectionId: string; line: LogLine }>("log"),
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
    refuse: assign((_, { refusal }: { refusal: Refusal }) => ({ refusal })),
    keepOutcome: assign((_, outcome: FlowOutcome) =>
      outcome.kind === "granted" ? { grant: outcome.grant } : { refusal: reasonOf(outcome) },
    ),
  },
  guards: {
    hasDeviceFlow: ({ context }) => flowInputOf(context).provider.deviceFlow,
    hasAuthorizationCodeFlow: ({ context }) => flowInputOf(context).provider.authorizationCodeFlow,
    wasGranted: (_, { kind }: FlowOutcome) => kind === "granted",
    mayFallBack: ({ context }, { kind }: FlowOutcome) =>
      kind === "unavailable" && flowInputOf(context).provider.authorizationCodeFlow,
    lacksScopes: ({ context }) => missingScopes(context).length > 0,
    /** A generic OAuth2 server has no way to say who somebody is. */
    lacksUsername: ({ context }) =>
      flowInputOf(context).provider.name !== "generic" &&
      profileOf(context).identity.authenticatedUsername === "",
    isAnotherUser: ({ context }) =>
      flowInputOf(context).provider.enforcesUsername &&
      profileOf(context).identity.authenticatedUsername !== context.login.username,
    lacksTwoFactor: ({ context }) =>
      flowInputOf(context).provider.requiresTwoFactor && profileOf(context).hasTwoFactor !== true,
    isNotAMember: ({ context }) =>
      flowInputOf(context).provider.organization !== undefined && profileOf(context).isMember !== true,
  },
}).createMachine({
  id: "oidc",
  context: ({ input }) => ({
    login: input,
    provider: undefined,
    grant: undefined,
    profile: undefined,
    refusal: undefined,
  }),
  output: ({ context }) => {
    const { profile, refusal } = context;
    if (refusal !== undefined) return { kind: "refused", refusal };
    if (profile === undefined) throw new Error("the login ended with nothing");
    return { kind: "granted", identity: profile.identity };
  },
  initial: "discovering",
  states: {
    discovering: {
      invoke: {
        src: "discover",
        input: ({ context }) => context.login,
        onDone: { target: "choosingFlow", actions: assign(({ event }) => ({ provider: event.output })) },
        onError: failing,
      },
    },
    choosingFlow: {
      always: [
        { guard: "hasDeviceFlow", target: "deviceFlow" },
        { guard: "hasAuthorizationCodeFlow", target: "authorizationCodeFlow" },
        { target: "refused", actions: { type: "refuse", params: { refusal: noFlow } } },
      ],
    },

    deviceFlow: {
      invoke: {
        src: "deviceFlow",
        input: ({ context }) => flowInputOf(context),
        onDone: [
          {
            guard: { type: "wasGranted", params: ({ event }) => event.output },
            target: "checkingScopes",
            actions: { type: "keepOutcome", params: ({ event }) => event.output },
          },
          {
            guard: { type: "mayFallBack", params: ({ event }) => event.output },
            target: "authorizationCodeFlow",
            actions: {
              type: "log",
              params: ({ context, event }) => ({
                connectionId: context.login.connectionId,
                line: reasonOf(event.output),
              }),
            },
          },
          { target: "refused", actions: { type: "keepOutcome", params: ({ event }) => event.output } },
        ],
      },
    },
    authorizationCodeFlow: {
      invoke: {
        src: "authorizationCode",
        input: ({ context }) => flowInputOf(context),
        onDone: [
          {
            guard: { type: "wasGranted", params: ({ event }) => event.output },
            target: "checkingScopes",
            actions: { type: "keepOutcome", params: ({ event }) => event.output },
          },
          { target: "refused", actions: { type: "keepOutcome", params: ({ event }) => event.output } },
        ],
      },
    },

    checkingScopes: {
      always: [
        {
          guard: "lacksScopes",
          target: "refused",
          actions: { type: "refuse", params: ({ context }) => ({ refusal: scopesMissing(context) }) },
        },
        { target: "identifying" },
      ],
    },
    identifying: {
      invoke: {
        src: "identify",
        input: ({ context }) => grantedLoginOf(context),
        onDone: { target: "checkingUsername", actions: assign(({ event }) => ({ profile: event.output })) },
        onError: failing,
      },
    },
    checkingUsername: {
      always: [
        {
          guard: "lacksUsername",
          target: "refused",
          actions: { type: "refuse", params: { refusal: usernameMissing } },
        },
        {
          guard: "isAnotherUser",
          target: "refused",
          actions: { type: "refuse", params: ({ context }) => ({ refusal: anotherUser(context) }) },
        },
        { target: "checkingAccount" },
      ],
    },
    checkingAccount: {
      always: [
        {
          guard: "lacksTwoFactor",
          target: "refused",
          actions: { type: "refuse", params: ({ context }) => ({ refusal: twoFactorMissing(context) }) },
        },
        {
          guard: "isNotAMember",
          target: "refused",
          actions: { type: "refuse", params: ({ context }) => ({ refusal: notAMember(context) }) },
        },
        { target: "granted" },
      ],
    },

    granted: { type: "final" },
    refused: { type: "final" },
  },
});
