/**
 * How a connection gets a place on this machine: can programs be isolated here, which shell runs them, where is
 * their home, and are the login's files in it. Every reason to refuse has its state.
 */
import { assign, setup } from "xstate";
import {
  type Environment,
  type Provisioning,
  type ProvisioningOutcome,
  type Refusal,
  refusalOf,
} from "./facts.ts";
import { required, requiredAction } from "./required.ts";

/** What this machine offers, next to what the configuration wants of it. */
export interface Host {
  readonly wanted: "auto" | "bubblewrap" | "none";
  readonly sandbox:
    | { readonly usable: true }
    | {
        readonly usable: false;
        readonly reason: string;
        /** Whether it can't be used here; otherwise nobody knows, for it did not answer in time. */
        readonly isCertain: boolean;
      };
  /** The program for shells and commands; missing when it is not there. */
  readonly shell: string | undefined;
  /** Where the shell was looked for. */
  readonly shellsTried: string;
}

/** The directories of one connection. Extended in src/backend/process/home.ts by how to reach them. */
export interface Home {
  /** As programs see it. */
  readonly directory: string;
}

/** Where the programs of one connection will run. */
export interface Placement extends Provisioning {
  readonly isolated: boolean;
  readonly shell: string;
}

export interface FurnishedPlacement extends Placement {
  readonly home: Home;
}

export interface ProcessContext extends Provisioning {
  readonly host: Host | undefined;
  readonly home: Home | undefined;
  readonly environment: Environment | undefined;
  readonly refusal: Refusal | undefined;
}

const hostOf = ({ host }: ProcessContext): Host => {
  if (host === undefined) throw new Error("the host has not been inspected yet");
  return host;
};

const isIsolated = (context: ProcessContext): boolean => {
  const { wanted, sandbox } = hostOf(context);
  return wanted !== "none" && sandbox.usable;
};

const placementOf = (context: ProcessContext): Placement => {
  const { connectionId, identity, settings } = context;
  const { shell } = hostOf(context);
  if (shell === undefined) throw new Error("no shell has been found");
  return { connectionId, identity, settings, shell, isolated: isIsolated(context) };
};

const furnishedPlacementOf = (context: ProcessContext): FurnishedPlacement => {
  if (context.home === undefined) throw new Error("the home has not been prepared yet");
  return { ...placementOf(context), home: context.home };
};

const whyNotIsolated = (context: ProcessContext): string => {
  const { wanted, sandbox } = hostOf(context);
  if (wanted === "none") return "process.isolation is none";
  return sandbox.usable ? "" : sandbox.reason;
};

/** `auto` does without isolation where the host has none, not where it is slow to say so. */
const mustIsolate = (context: ProcessContext): boolean => {
  const { wanted, sandbox } = hostOf(context);
  return wanted === "bubblewrap" || (wanted === "auto" && !sandbox.usable && !sandbox.isCertain);
};

const isolationMissing = (context: ProcessContext): Refusal => ({
  code: "PROCESS_ISOLATION_UNAVAILABLE",
  level: "error",
  userMessage: "Your environment cannot be isolated on this server. Please ask your administrator.",
  message: `process.isolation is ${hostOf(context).wanted}, and programs can't be isolated on this host`,
  details: { reason: whyNotIsolated(context) },
});

const shellMissing = (context: ProcessContext): Refusal => ({
  code: "PROCESS_SHELL_NOT_FOUND",
  level: "error",
  userMessage: "There is no shell for you on this server. Please ask your administrator.",
  message: "The shell for programs does not exist or cannot be executed",
  details: { tried: hostOf(context).shellsTried, isolated: isIsolated(context) },
});

const failing = {
  target: "failed",
  actions: { type: "keepReason", params: ({ event }: { event: { error: unknown } }) => event },
} as const;

export const processMachine = setup({
  types: {
    input: {} as Provisioning,
    context: {} as ProcessContext,
    output: {} as ProvisioningOutcome,
  },
  actors: {
    inspectHost: required<Host, Provisioning>("inspectHost"),
    prepareHome: required<Home, Placement>("prepareHome"),
    writeFiles: required<void, FurnishedPlacement>("writeFiles"),
    openEnvironment: required<Environment, FurnishedPlacement>("openEnvironment"),
  },
  actions: {
    /** Says that nothing separates the programs from the host. */
    warnOfNoIsolation: requiredAction<{ connectionId: string; reason: string }>("warnOfNoIsolation"),
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
    refuse: assign((_, { refusal }: { refusal: Refusal }) => ({ refusal })),
  },
  guards: {
    mustIsolateAndCannot: ({ context }) => mustIsolate(context) && !isIsolated(context),
    hasNoShell: ({ context }) => hostOf(context).shell === undefined,
    isIsolated: ({ context }) => isIsolated(context),
  },
}).createMachine({
  id: "process",
  context: ({ input }) => ({
    ...input,
    host: undefined,
    home: undefined,
    environment: undefined,
    refusal: undefined,
  }),
  output: ({ context: { environment, refusal } }) => {
    if (environment !== undefined) return { kind: "ready", environment };
    return { kind: "refused", refusal: refusal ?? refusalOf(new Error("no environment and no reason")) };
  },
  initial: "inspectingHost",
  states: {
    inspectingHost: {
      invoke: {
        src: "inspectHost",
        input: ({ context }) => context,
        onDone: { target: "choosingIsolation", actions: assign(({ event }) => ({ host: event.output })) },
      },
    },
    choosingIsolation: {
      always: [
        {
          guard: "mustIsolateAndCannot",
          target: "refused",
          actions: { type: "refuse", params: ({ context }) => ({ refusal: isolationMissing(context) }) },
        },
        {
          guard: "hasNoShell",
          target: "refused",
          actions: { type: "refuse", params: ({ context }) => ({ refusal: shellMissing(context) }) },
        },
        { guard: "isIsolated", target: "preparingHome" },
        {
          target: "preparingHome",
          actions: {
            type: "warnOfNoIsolation",
            params: ({ context }) => ({
              connectionId: context.connectionId,
              reason: whyNotIsolated(context),
            }),
          },
        },
      ],
    },
    preparingHome: {
      invoke: {
        src: "prepareHome",
        input: ({ context }) => placementOf(context),
        onDone: { target: "writingFiles", actions: assign(({ event }) => ({ home: event.output })) },
        onError: failing,
      },
    },
    writingFiles: {
      invoke: {
        src: "writeFiles",
        input: ({ context }) => furnishedPlacementOf(context),
        onDone: { target: "opening" },
        onError: failing,
      },
    },
    opening: {
      invoke: {
        src: "openEnvironment",
        input: ({ context }) => furnishedPlacementOf(context),
        onDone: { target: "ready", actions: assign(({ event }) => ({ environment: event.output })) },
        onError: failing,
      },
    },
    ready: { type: "final" },
    /** This host cannot give what the configuration demands. */
    refused: { type: "final" },
    /** It should have worked: the disk, the limits or a program failed. */
    failed: { type: "final" },
  },
});
