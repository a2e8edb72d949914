/**
 * A login by Kerberos: with a ticket (GSS-API, RFC 4462 section 3) or with the password that a KDC knows. What was
 * proven is one principal; whether it may have the user name that was asked for is decided at the end, for both.
 */
import { assign, setup } from "xstate";
import {
  type Attempt,
  type GssapiCredential,
  type Identity,
  type LogLine,
  type PasswordCredential,
  type Refusal,
  refusalOf,
} from "./facts.ts";
import { required, requiredAction } from "./required.ts";
import { UNTIMED } from "./untimed.ts";

/** One SSH user who is to log in by Kerberos. */
export type KerberosLogin = Attempt<PasswordCredential | GssapiCredential>;

/** A message of the client in the middle of gssapi-with-mic. Extended by its bytes. */
export interface ClientMessage {
  readonly kind: "token" | "mic" | "exchangeComplete" | "errorToken";
}

/** What the Kerberos library keeps for one login: a security context, or initial credentials. Extended by its handle. */
export interface KerberosSession {
  readonly proof: "ticket" | "password";
  /** Whether the client's tokens have proven a principal. */
  readonly isEstablished: boolean;
}

/** Who was proven, before it is known whether they may come in. */
export interface KerberosProfile {
  /** Its authenticated user name is empty when no rule makes a user name of the principal. */
  readonly identity: Identity;
  /** `jane@EXAMPLE.COM`, escaped as `klist` prints it. */
  readonly principal: string;
  /** Whether the user name that was asked for has to be the proven one. */
  readonly enforcesUsername: boolean;
}

export interface KerberosContext {
  readonly login: KerberosLogin;
  readonly session: KerberosSession | undefined;
  readonly message: ClientMessage | undefined;
  readonly profile: KerberosProfile | undefined;
  readonly refusal: Refusal | undefined;
}

/** A login for which the library keeps something. */
export interface KerberosStep {
  readonly login: KerberosLogin;
  readonly session: KerberosSession;
}

/** A message of the client, and what the library keeps of those before. */
export interface MessageStep extends KerberosStep {
  readonly message: ClientMessage;
}

export type KerberosOutcome =
  | { readonly kind: "granted"; readonly identity: Identity }
  /** Somebody was proven, who asked for another user's name. */
  | { readonly kind: "misnamed"; readonly identity: Identity; readonly refusal: Refusal }
  | { readonly kind: "refused"; readonly refusal: Refusal };

const stepOf = ({ login, session }: KerberosContext): KerberosStep => {
  if (session === undefined) throw new Error("the library keeps nothing for this login");
  return { login, session };
};

const messageStepOf = (context: KerberosContext): MessageStep => {
  if (context.message === undefined) throw new Error("the client has said nothing");
  return { ...stepOf(context), message: context.message };
};

const profileOf = ({ profile }: KerberosContext): KerberosProfile => {
  if (profile === undefined) throw new Error("nobody has been proven yet");
  return profile;
};

const outOfOrder = (expected: string, { kind }: ClientMessage): Refusal => ({
  code: "KRB_VERIFY_ERROR",
  level: "notice",
  userMessage: "Your Kerberos ticket could not be checked. Please try again, or use another way to log in.",
  message:
    kind === "errorToken"
      ? "The client could not use the server's answer and gave up"
      : `The client sent another message than the ${expected} that was its turn`,
  details: { received: kind },
});

const micMissing = ({ kind }: ClientMessage): Refusal => ({
  code: "KRB_MIC_INVALID",
  level: "notice",
  userMessage: "Your SSH client did not sign its login. Please use one that does.",
  message: "The client did not prove by a message integrity code that its ticket belongs to this connection",
  details: { received: kind },
});

const noRuleFits = (context: KerberosContext): Refusal => ({
  code: "KRB_USERNAME_DOES_NOT_MATCH",
  level: "notice",
  userMessage: "Your Kerberos principal stands for no user here. Please log in with another one.",
  message:
    "No rule makes a user name of the principal: it is not of a local realm, has an instance or escaped characters, and no auth_to_local of the Kerberos configuration names it",
  details: { principal: profileOf(context).principal },
});

const anotherUser = (context: KerberosContext): Refusal => ({
  code: "KRB_USERNAME_DOES_NOT_MATCH",
  level: "notice",
  userMessage:
    "The user name of your SSH client is not that of your Kerberos principal. Please connect again with your own.",
  message: "The user name that was asked for is not the one that was proven, and enforceUsername is on",
  details: {
    principal: profileOf(context).principal,
    authenticatedUsername: profileOf(context).identity.authenticatedUsername,
  },
});

const isMisnamed = ({ login, profile }: KerberosContext): boolean => {
  if (profile === undefined || !profile.enforcesUsername) return false;
  const { authenticatedUsername } = profile.identity;
  return authenticatedUsername !== "" && authenticatedUsername !== login.username;
};

const notForwarded = ({ login, profile }: KerberosContext, error: unknown) => {
  const { code, message, details } = refusalOf(error);
  const line: LogLine = {
    level: "warning",
    code,
    message: `The user is logged in without a ticket: ${message}`,
    details: { ...details, principal: profile?.principal },
  };
  return { connectionId: login.connectionId, line };
};

const failing = {
  target: "refused",
  actions: { type: "keepReason", params: ({ event }: { event: { error: unknown } }) => event },
} as const;

export const kerberosMachine = setup({
  types: {
    input: {} as KerberosLogin,
    context: {} as KerberosContext,
    output: {} as KerberosOutcome,
  },
  actors: {
    /** Begins what the library keeps for this login; it ends with the connection at the latest. */
    openSession: required<KerberosSession, KerberosLogin>("openSession"),
    /** Sends what the library has to say to the client, and waits for the client's next message. */
    receiveMessage: required<ClientMessage, KerberosStep>("receiveMessage"),
    acceptToken: required<KerberosSession, MessageStep>("acceptToken"),
    verifyMic: required<void, MessageStep>("verifyMic"),
    /** Asks the KDC for initial credentials, which only the right password can decrypt. */
    getCredentials: required<KerberosSession, KerberosStep>("getCredentials"),
    /** Has the KDC give a ticket for this server, which only the true KDC can encrypt for our keytab. */
    proveKdc: required<void, KerberosStep>("proveKdc"),
    identify: required<KerberosProfile, KerberosStep>("identify"),
    /** Adds the user's credentials, if there are any to be forwarded, to the files of the login. */
    forwardCredentials: required<Identity, KerberosStep & { identity: Identity }>("forwardCredentials"),
  },
  actions: {
    log: requiredAction<{ connectionId: string; line: LogLine }>("log"),
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
    refuse: assign((_, { refusal }: { refusal: Refusal }) => ({ refusal })),
    keepIdentity: assign(({ context }, { identity }: { identity: Identity }) => ({
      profile: { ...profileOf(context), identity },
    })),
  },
  guards: {
    hasTicket: (_, { proof }: KerberosSession) => proof === "ticket",
    isToken: (_, { kind }: ClientMessage) => kind === "token",
    isMic: (_, { kind }: ClientMessage) => kind === "mic",
    isEstablished: (_, { isEstablished }: KerberosSession) => isEstablished,
    fitsNoRule: ({ context }) => profileOf(context).identity.authenticatedUsername === "",
    isMisnamed: ({ context }) => isMisnamed(context),
  },
}).createMachine({
  id: "kerberos",
  context: ({ input }) => ({
    login: input,
    session: undefined,
    message: undefined,
    profile: undefined,
    refusal: undefined,
  }),
  output: ({ context }) => {
    const { refusal } = context;
    if (refusal === undefined) return { kind: "granted", identity: profileOf(context).identity };
    if (!isMisnamed(context)) return { kind: "refused", refusal };
    return { kind: "misnamed", identity: profileOf(context).identity, refusal };
  },
  initial: "opening",
  states: {
    opening: {
      invoke: {
        src: "openSession",
        input: ({ context }) => context.login,
        onDone: [
          {
            guard: { type: "hasTicket", params: ({ event }) => event.output },
            target: "awaitingToken",
            actions: assign(({ event }) => ({ session: event.output })),
          },
          { target: "gettingCredentials", actions: assign(({ event }) => ({ session: event.output })) },
        ],
      },
    },

    awaitingToken: {
      tags: UNTIMED,
      invoke: {
        src: "receiveMessage",
        input: ({ context }) => stepOf(context),
        onDone: [
          {
            guard: { type: "isToken", params: ({ event }) => event.output },
            target: "acceptingContext",
            actions: assign(({ event }) => ({ message: event.output })),
          },
          {
            target: "refused",
            actions: {
              type: "refuse",
              params: ({ event }) => ({ refusal: outOfOrder("token", event.output) }),
            },
          },
        ],
        onError: failing,
      },
    },
    acceptingContext: {
      invoke: {
        src: "acceptToken",
        input: ({ context }) => messageStepOf(context),
        onDone: [
          {
            guard: { type: "isEstablished", params: ({ event }) => event.output },
            target: "awaitingMic",
            actions: assign(({ event }) => ({ session: event.output })),
          },
          { target: "awaitingToken", actions: assign(({ event }) => ({ session: event.output })) },
        ],
        onError: failing,
      },
    },
    awaitingMic: {
      tags: UNTIMED,
      invoke: {
        src: "receiveMessage",
        input: ({ context }) => stepOf(context),
        onDone: [
          {
            guard: { type: "isMic", params: ({ event }) => event.output },
            target: "verifyingMic",
            actions: assign(({ event }) => ({ message: event.output })),
          },
          {
            target: "refused",
            actions: {
              type: "refuse",
              params: ({ event: { output } }) => ({
                refusal: output.kind === "exchangeComplete" ? micMissing(output) : outOfOrder("MIC", output),
              }),
            },
          },
        ],
        onError: failing,
      },
    },
    verifyingMic: {
      invoke: {
        src: "verifyMic",
        input: ({ context }) => messageStepOf(context),
        onDone: { target: "identifying" },
        onError: failing,
      },
    },

    gettingCredentials: {
      invoke: {
        src: "getCredentials",
        input: ({ context }) => stepOf(context),
        onDone: { target: "provingKdc", actions: assign(({ event }) => ({ session: event.output })) },
        onError: failing,
      },
    },
    provingKdc: {
      invoke: {
        src: "proveKdc",
        input: ({ context }) => stepOf(context),
        onDone: { target: "identifying" },
        onError: failing,
      },
    },

    identifying: {
      invoke: {
        src: "identify",
        input: ({ context }) => stepOf(context),
        onDone: { target: "checkingUsername", actions: assign(({ event }) => ({ profile: event.output })) },
      },
    },
    checkingUsername: {
      always: [
        {
          guard: "fitsNoRule",
          target: "refused",
          actions: { type: "refuse", params: ({ context }) => ({ refusal: noRuleFits(context) }) },
        },
        {
          guard: "isMisnamed",
          target: "misnamed",
          actions: { type: "refuse", params: ({ context }) => ({ refusal: anotherUser(context) }) },
        },
        { target: "forwardingCredentials" },
      ],
    },
    forwardingCredentials: {
      invoke: {
        src: "forwardCredentials",
        input: ({ context }) => ({ ...stepOf(context), identity: profileOf(context).identity }),
        onDone: {
          target: "granted",
          actions: { type: "keepIdentity", params: ({ event }) => ({ identity: event.output }) },
        },
        onError: {
          target: "granted",
          actions: { type: "log", params: ({ context, event }) => notForwarded(context, event.error) },
        },
      },
    },

    granted: { type: "final" },
    misnamed: { type: "final" },
    refused: { type: "final" },
  },
});
