/**
 * How a connection reaches the server that its programs run on: jump hosts and the server are dialed one after
 * another, and each has to show a host key that is known before it is told anything. Nothing is trusted on first use.
 */
import { assign, setup } from "xstate";
import {
  type Environment,
  type LogLine,
  type Provisioning,
  type ProvisioningOutcome,
  type Refusal,
  refusalOf,
} from "./facts.ts";
import { required, requiredAction } from "./required.ts";

/** A server on the way. Extended in src/backend/sshproxy/route.ts by how to log in there. */
export interface Hop {
  /** `host:port`. */
  readonly address: string;
  /** `SHA256:…` of each host key that it may have. */
  readonly allowedFingerprints: readonly string[];
}

/** The way to where programs run. */
export interface Route {
  /** In the order in which they are dialed; the last is the server itself. */
  readonly hops: readonly Hop[];
  /** All of dialing, retries, key exchange and login has to fit into this. */
  readonly timeoutMillis: number;
}

/** A server that has shown its host key and was told nothing yet. Extended in src/backend/sshproxy/route.ts. */
export interface Peer {
  /** `SHA256:…` of its host key. */
  readonly fingerprint: string;
}

/** What it takes to dial a hop. */
export interface Dialing extends Provisioning {
  readonly route: Route;
  readonly hop: Hop;
  /** The jump host through which it is reached; none for the first. */
  readonly through: Peer | undefined;
}

/** A server whose host key is the right one. */
export interface TrustedPeer extends Provisioning {
  readonly hop: Hop;
  readonly peer: Peer;
}

export interface SshProxyContext extends Provisioning {
  readonly route: Route | undefined;
  /** Which hop is being reached. */
  readonly reached: number;
  /** How often this hop was dialed in vain. */
  readonly attempts: number;
  /** The server that was reached last. */
  readonly peer: Peer | undefined;
  readonly environment: Environment | undefined;
  readonly refusal: Refusal | undefined;
}

const FIRST_RETRY_MILLIS = 250;
/** The reference's pause. */
const LONGEST_RETRY_MILLIS = 10_000;

const routeOf = ({ route }: SshProxyContext): Route => {
  if (route === undefined) throw new Error("the way has not been planned yet");
  return route;
};

const hopOf = (context: SshProxyContext): Hop => {
  const hop = routeOf(context).hops[context.reached];
  if (hop === undefined) throw new Error("there is no such hop");
  return hop;
};

const dialingOf = (context: SshProxyContext): Dialing => ({
  ...context,
  route: routeOf(context),
  hop: hopOf(context),
  through: context.peer,
});

const peerOf = (context: SshProxyContext): TrustedPeer => {
  if (context.peer === undefined) throw new Error("no server has been reached yet");
  return { ...context, hop: hopOf(context), peer: context.peer };
};

const strangeHostKey = (context: SshProxyContext): Refusal => {
  const { hop, peer } = peerOf(context);
  return {
    code: "SSHPROXY_INVALID_FINGERPRINT",
    level: "error",
    userMessage:
      "The server behind this one has changed its identity, so nothing was sent to it. Please ask your administrator.",
    message: "The host key of a server is none of those that are allowed, and nothing secret was sent to it",
    details: {
      server: hop.address,
      fingerprint: peer.fingerprint,
      allowed: hop.allowedFingerprints.join(" "),
    },
  };
};

/** The last failed attempt says more than that the time is over. */
const timedOut = (context: SshProxyContext): Refusal => {
  const { timeoutMillis } = routeOf(context);
  const { code, message, userMessage } = context.refusal ?? {
    code: "SSHPROXY_BACKEND_FAILED",
    message: "A server did not answer in time",
    userMessage: "The server behind this one does not answer. Please try again later.",
  };
  const details = { ...context.refusal?.details, server: hopOf(context).address };
  return {
    code,
    level: "error",
    userMessage,
    message,
    details: { ...details, attempts: context.attempts, timeoutSeconds: timeoutMillis / 1000 },
  };
};

const retryLine = (context: SshProxyContext): { connectionId: string; line: LogLine } => ({
  connectionId: context.connectionId,
  line: {
    level: "debug",
    code: "SSHPROXY_BACKEND_FAILED",
    message: `${context.refusal?.message ?? ""}: it is tried again`,
    details: { ...context.refusal?.details, server: hopOf(context).address, attempts: context.attempts },
  },
});

/** How every step fails: the connection is refused with the step's own reason. */
const refused = {
  target: "#sshproxy.refused",
  actions: { type: "keepReason", params: ({ event }: { event: { error: unknown } }) => event },
} as const;

export const sshProxyMachine = setup({
  types: {
    input: {} as Provisioning,
    context: {} as SshProxyContext,
    output: {} as ProvisioningOutcome,
  },
  actors: {
    /** Reads the configuration and the keys that it names. */
    planRoute: required<Route, Provisioning>("planRoute"),
    /** Connects and exchanges keys up to where the server shows its host key; nothing secret is sent. */
    dial: required<Peer, Dialing>("dial"),
    /** Ends the key exchange and logs in. */
    logIn: required<void, TrustedPeer>("logIn"),
    openEnvironment: required<Environment, TrustedPeer>("openEnvironment"),
  },
  actions: {
    log: requiredAction<{ connectionId: string; line: LogLine }>("log"),
    /** Ends the connection to a server that is not trusted. */
    hangUp: requiredAction<TrustedPeer>("hangUp"),
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
    refuse: assign((_, { refusal }: { refusal: Refusal }) => ({ refusal })),
  },
  guards: {
    /** Whether nobody spoke SSH there: that may pass. */
    isUnreachable: (_, { error }: { error: unknown }) => refusalOf(error).code === "SSHPROXY_BACKEND_FAILED",
    hasAllowedHostKey: ({ context }) => {
      const { hop, peer } = peerOf(context);
      return hop.allowedFingerprints.includes(peer.fingerprint);
    },
    isLastHop: ({ context }) => context.reached === routeOf(context).hops.length - 1,
  },
  delays: {
    timeout: ({ context }) => routeOf(context).timeoutMillis,
    pause: ({ context }) =>
      Math.min(LONGEST_RETRY_MILLIS, FIRST_RETRY_MILLIS * 2 ** Math.max(0, context.attempts - 1)),
  },
}).createMachine({
  id: "sshproxy",
  context: ({ input }) => ({
    ...input,
    route: undefined,
    reached: 0,
    attempts: 0,
    peer: undefined,
    environment: undefined,
    refusal: undefined,
  }),
  output: ({ context: { environment, refusal } }) => {
    if (environment !== undefined) return { kind: "ready", environment };
    return { kind: "refused", refusal: refusal ?? refusalOf(new Error("no environment and no reason")) };
  },
  initial: "planning",
  states: {
    planning: {
      invoke: {
        src: "planRoute",
        input: ({ context }) => context,
        onDone: { target: "connecting", actions: assign(({ event }) => ({ route: event.output })) },
        onError: refused,
      },
    },
    connecting: {
      initial: "dialing",
      after: {
        timeout: {
          target: "refused",
          actions: { type: "refuse", params: ({ context }) => ({ refusal: timedOut(context) }) },
        },
      },
      states: {
        dialing: {
          invoke: {
            src: "dial",
            input: ({ context }) => dialingOf(context),
            onDone: {
              target: "verifyingHostKey",
              actions: assign(({ event }) => ({ peer: event.output, refusal: undefined })),
            },
            onError: [
              {
                guard: { type: "isUnreachable", params: ({ event }) => event },
                target: "waiting",
                actions: [
                  { type: "keepReason", params: ({ event }) => event },
                  assign(({ context }) => ({ attempts: context.attempts + 1 })),
                  { type: "log", params: ({ context }) => retryLine(context) },
                ],
              },
              refused,
            ],
          },
        },
        waiting: { after: { pause: { target: "dialing" } } },
        verifyingHostKey: {
          always: [
            { guard: "hasAllowedHostKey", target: "authenticating" },
            {
              target: "#sshproxy.refused",
              actions: [
                { type: "refuse", params: ({ context }) => ({ refusal: strangeHostKey(context) }) },
                { type: "hangUp", params: ({ context }) => peerOf(context) },
              ],
            },
          ],
        },
        authenticating: {
          invoke: {
            src: "logIn",
            input: ({ context }) => peerOf(context),
            onDone: [
              { guard: "isLastHop", target: "#sshproxy.opening" },
              {
                target: "dialing",
                actions: assign(({ context }) => ({ reached: context.reached + 1, attempts: 0 })),
              },
            ],
            onError: refused,
          },
        },
      },
    },
    opening: {
      invoke: {
        src: "openEnvironment",
        input: ({ context }) => peerOf(context),
        onDone: { target: "ready", actions: assign(({ event }) => ({ environment: event.output })) },
      },
    },
    ready: { type: "final" },
    refused: { type: "final" },
  },
});
