/**
 * How a connection gets its pod: made for it, or found by its name, waited for, replaced, created when it is missing
 * and that is allowed, and refused otherwise. Every reason to refuse has its state or its guard.
 */
import { assign, setup } from "xstate";
import { type Environment, type Provisioning, type ProvisioningOutcome, refusalOf } from "./facts.ts";
import {
  type KnownPodRequest,
  type KubernetesContext,
  knownPodRequest,
  nameTaken,
  type PodCreation,
  type PodEnvironmentRequest,
  type PodFacts,
  type PodPlan,
  type PodRequest,
  podAbsent,
  podRequest,
  podTooSlow,
  podUnusable,
  podVanished,
} from "./kubernetes-facts.ts";
import { required, requiredAction } from "./required.ts";

/** How every step fails: the connection is refused with the step's own reason. */
const refused = {
  target: "#kubernetes.refused",
  actions: { type: "keepReason", params: ({ event }: { event: { error: unknown } }) => event },
} as const;

export const kubernetesMachine = setup({
  types: {
    input: {} as Provisioning,
    context: {} as KubernetesContext,
    output: {} as ProvisioningOutcome,
  },
  actors: {
    /** Reads what this connection asks for and fills in the pod's name. */
    planPod: required<PodPlan, Provisioning>("planPod"),
    findPod: required<PodFacts | undefined, PodRequest>("findPod"),
    createPod: required<PodCreation, PodRequest>("createPod"),
    /** Marks a pod as in use; undefined when it was gone before that. */
    claimPod: required<PodFacts | undefined, KnownPodRequest>("claimPod"),
    /** Waits until a starting pod runs or never will; undefined when it is gone. */
    awaitRunning: required<PodFacts | undefined, KnownPodRequest>("awaitRunning"),
    /** Deletes a pod of ours, unless it changed since it was looked at: then it is left alone. */
    removePod: required<void, KnownPodRequest>("removePod"),
    awaitGone: required<void, KnownPodRequest>("awaitGone"),
    writeFiles: required<void, KnownPodRequest>("writeFiles"),
    openEnvironment: required<Environment, PodEnvironmentRequest>("openEnvironment"),
  },
  delays: { podStart: ({ context }) => podRequest(context).plan.podStartMillis },
  actions: {
    /** Tells the log, and users with a terminal, that the pod was made from another spec than the configured one. */
    reportOutdated: requiredAction<KnownPodRequest>("reportOutdated"),
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
    keepPod: assign((_, pod: PodFacts | undefined) => ({ pod })),
    keepCreated: assign((_, creation: PodCreation) =>
      creation.kind === "created" ? { pod: creation.pod } : {},
    ),
  },
  guards: {
    isMode: ({ context }, mode: PodPlan["mode"]) => podRequest(context).plan.mode === mode,
    exists: (_, pod: PodFacts | undefined) => pod !== undefined,
    isPhase: ({ context }, phase: PodFacts["phase"]) => context.pod?.phase === phase,
    mayCreate: ({ context }) => podRequest(context).plan.createMissing,
    mayAwaitRemoval: ({ context }) =>
      podRequest(context).plan.createMissing && context.pod?.phase === "terminating",
    /** A pod that has ended and that Berth made may be deleted to make place for a new one. */
    mayRemove: ({ context }) => podRequest(context).plan.createMissing && context.pod?.ours === true,
    isOutdated: ({ context }) => context.pod?.outdated === true,
    mayReplaceOutdated: ({ context }) => {
      const { pod, plan } = knownPodRequest(context);
      return plan.replaceOutdated && plan.createMissing && pod.ours && pod.outdated && !pod.inUse;
    },
    wasFirst: (_, { kind }: PodCreation) => kind === "created",
  },
}).createMachine({
  id: "kubernetes",
  context: ({ input }) => ({
    ...input,
    plan: undefined,
    pod: undefined,
    environment: undefined,
    refusal: undefined,
  }),
  output: ({ context: { environment, refusal } }) => {
    if (refusal !== undefined) return { kind: "refused", refusal };
    if (environment === undefined) throw new Error("provisioning ended with nothing");
    return { kind: "ready", environment };
  },
  initial: "planning",
  states: {
    planning: {
      invoke: {
        src: "planPod",
        input: ({ context }) => context,
        onDone: { target: "choosingMode", actions: assign(({ event }) => ({ plan: event.output })) },
        onError: refused,
      },
    },
    choosingMode: {
      always: [
        { guard: { type: "isMode", params: "session" }, target: "opening" },
        { guard: { type: "isMode", params: "connection" }, target: "pod.creating" },
        { target: "pod.lookingUp" },
      ],
    },

    pod: {
      initial: "lookingUp",
      after: {
        podStart: { target: "explainingDelay" },
      },
      onDone: [
        {
          guard: "isOutdated",
          target: "writingFiles",
          actions: { type: "reportOutdated", params: ({ context }) => knownPodRequest(context) },
        },
        { target: "writingFiles" },
      ],
      states: {
        lookingUp: {
          invoke: {
            src: "findPod",
            input: ({ context }) => podRequest(context),
            onDone: [
              {
                guard: { type: "exists", params: ({ event }) => event.output },
                target: "found",
                actions: { type: "keepPod", params: ({ event }) => event.output },
              },
              { guard: "mayCreate", target: "creating" },
              {
                target: "#kubernetes.refused",
                actions: assign(({ context }) => ({ refusal: podAbsent(context) })),
              },
            ],
            onError: refused,
          },
        },
        found: {
          always: [
            { guard: { type: "isPhase", params: "terminating" }, target: "terminating" },
            { guard: { type: "isPhase", params: "failed" }, target: "ended" },
            { guard: { type: "isPhase", params: "succeeded" }, target: "ended" },
            { guard: "mayReplaceOutdated", target: "removing" },
            { target: "claiming" },
          ],
        },
        /** From here on nobody's idle timeout deletes it. */
        claiming: {
          invoke: {
            src: "claimPod",
            input: ({ context }) => knownPodRequest(context),
            onDone: [
              {
                guard: { type: "exists", params: ({ event }) => event.output },
                target: "claimed",
                actions: { type: "keepPod", params: ({ event }) => event.output },
              },
              { target: "lookingUp" },
            ],
            onError: refused,
          },
        },
        claimed: {
          always: [
            { guard: { type: "isPhase", params: "running" }, target: "running" },
            { guard: { type: "isPhase", params: "starting" }, target: "starting" },
            { target: "found" },
          ],
        },
        starting: {
          invoke: {
            src: "awaitRunning",
            input: ({ context }) => knownPodRequest(context),
            onDone: [
              {
                guard: { type: "exists", params: ({ event }) => event.output },
                target: "started",
                actions: { type: "keepPod", params: ({ event }) => event.output },
              },
              {
                guard: { type: "isMode", params: "connection" },
                target: "#kubernetes.refused",
                actions: assign(({ context }) => ({ refusal: podVanished(context) })),
              },
              { target: "lookingUp" },
            ],
            onError: refused,
          },
        },
        started: {
          always: [
            { guard: { type: "isPhase", params: "running" }, target: "running" },
            { guard: "mayAwaitRemoval", target: "awaitingRemoval" },
            {
              target: "#kubernetes.refused",
              actions: assign(({ context }) => ({ refusal: podUnusable(context) })),
            },
          ],
        },
        /** Somebody asked for its deletion: it can only be waited for. */
        terminating: {
          always: [
            { guard: "mayAwaitRemoval", target: "awaitingRemoval" },
            {
              target: "#kubernetes.refused",
              actions: assign(({ context }) => ({ refusal: podUnusable(context) })),
            },
          ],
        },
        /** It has failed or succeeded and will never run again. One that Berth did not make is not Berth's to delete. */
        ended: {
          always: [
            { guard: "mayRemove", target: "removing" },
            {
              target: "#kubernetes.refused",
              actions: assign(({ context }) => ({ refusal: podUnusable(context) })),
            },
          ],
        },
        removing: {
          invoke: {
            src: "removePod",
            input: ({ context }) => knownPodRequest(context),
            onDone: { target: "lookingUp" },
            onError: refused,
          },
        },
        awaitingRemoval: {
          invoke: {
            src: "awaitGone",
            input: ({ context }) => knownPodRequest(context),
            onDone: { target: "lookingUp" },
            onError: refused,
          },
        },
        creating: {
          invoke: {
            src: "createPod",
            input: ({ context }) => podRequest(context),
            onDone: [
              {
                guard: { type: "wasFirst", params: ({ event }) => event.output },
                target: "starting",
                actions: { type: "keepCreated", params: ({ event }) => event.output },
              },
              // The loser of a race uses the winner's pod.
              { guard: { type: "isMode", params: "persistent" }, target: "lookingUp" },
              {
                target: "#kubernetes.refused",
                actions: assign(({ context, event }) => ({
                  refusal: nameTaken(context, event.output.kind === "exists" ? event.output.message : ""),
                })),
              },
            ],
            onError: refused,
          },
        },
        running: { type: "final" },
      },
    },

    /** The time is up: how does the pod stand now, and what does Kubernetes say about it? */
    explainingDelay: {
      invoke: {
        src: "findPod",
        input: ({ context }) => podRequest(context),
        onDone: {
          target: "refused",
          actions: [
            { type: "keepPod", params: ({ event }) => event.output },
            assign(({ context }) => ({ refusal: podTooSlow(context) })),
          ],
        },
        onError: { target: "refused", actions: assign(({ context }) => ({ refusal: podTooSlow(context) })) },
      },
    },

    writingFiles: {
      invoke: {
        src: "writeFiles",
        input: ({ context }) => knownPodRequest(context),
        onDone: { target: "opening" },
        onError: refused,
      },
    },
    opening: {
      invoke: {
        src: "openEnvironment",
        input: ({ context }) => ({ ...podRequest(context), pod: context.pod }),
        onDone: { target: "ready", actions: assign(({ event }) => ({ environment: event.output })) },
        onError: refused,
      },
    },
    ready: { type: "final" },
    refused: { type: "final" },
  },
});
