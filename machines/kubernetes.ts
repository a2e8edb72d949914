/**
 * How a connection gets its pod: made for it, or found by its name, waited for, replaced, created when it is missing
 * and that is allowed, and refused otherwise. Every reason to refuse has its state or its guard.
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

/** What the configuration of this connection asks for. */
export interface PodPlan {
  /** A pod for each connection, for each session, or one that is found by its name and stays. */
  readonly mode: "connection" | "session" | "persistent";
  readonly namespace: string;
  /** In persistent mode the name with its placeholders filled in; elsewhere the name that a new pod will have. */
  readonly name: string;
  readonly createMissing: boolean;
  /** Whether a pod of ours whose spec has changed is replaced while nobody is in it. */
  readonly replaceOutdated: boolean;
  /** How long everything until the pod runs may take. */
  readonly podStartMillis: number;
}

/** What is known of a pod. */
export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** `starting`: scheduled or not, its containers don't run yet. `terminating`: its deletion was asked for. */
  readonly phase: "starting" | "running" | "terminating" | "failed" | "succeeded";
  /** Berth created it. */
  readonly ours: boolean;
  /** Ours, and the configuration asks for another spec by now. */
  readonly outdated: boolean;
  /** Somebody's connection is in it, as far as its annotations tell. */
  readonly inUse: boolean;
  /** What Kubernetes says about the phase: `ErrImagePull: …`, `Unschedulable: …`; may be empty. */
  readonly reason: string;
}

/** `exists`: somebody else created a pod of this name first. */
export type PodCreation =
  | { readonly kind: "created"; readonly pod: PodFacts }
  | { readonly kind: "exists"; readonly message: string };

export interface KubernetesContext extends Provisioning {
  readonly plan: PodPlan | undefined;
  readonly pod: PodFacts | undefined;
  readonly environment: Environment | undefined;
  readonly refusal: Refusal | undefined;
}

/** What a step of a planned connection gets. */
export interface PodRequest extends Provisioning {
  readonly plan: PodPlan;
}

/** What a step on a pod gets. */
export interface KnownPodRequest extends PodRequest {
  readonly pod: PodFacts;
}

/** `pod` is missing in session mode: its pods are made for each program. */
export interface PodEnvironmentRequest extends PodRequest {
  readonly pod: PodFacts | undefined;
}

const podRequest = (context: KubernetesContext): PodRequest => {
  if (context.plan === undefined) throw new Error("the connection's pod has not been planned yet");
  return { ...context, plan: context.plan };
};

const knownPodRequest = (context: KubernetesContext): KnownPodRequest => {
  if (context.pod === undefined) throw new Error("there is no pod yet");
  return { ...podRequest(context), pod: context.pod };
};

const namesOf = (context: KubernetesContext) => {
  const { namespace, name } = podRequest(context).plan;
  return { namespace, podName: name };
};

const podAbsent = (context: KubernetesContext): Refusal => ({
  code: "KUBERNETES_POD_NOT_FOUND",
  level: "notice",
  userMessage: "Your environment does not exist yet. Please ask your administrator to create it.",
  message: "The pod does not exist and createMissingPods is off",
  details: namesOf(context),
});

const phaseForUsers = {
  starting: "is still starting",
  running: "is running",
  terminating: "is being shut down (its pod is terminating)",
  failed: "has stopped with an error (its pod has failed)",
  succeeded: "has stopped (its pod has succeeded)",
} as const satisfies Record<PodFacts["phase"], string>;

const podUnusable = (context: KubernetesContext): Refusal => {
  const { phase, reason, ours } = knownPodRequest(context).pod;
  return {
    code: "KUBERNETES_POD_NOT_RUNNING",
    level: "notice",
    userMessage: `Your environment ${phaseForUsers[phase]}. Please try again later, or ask your administrator.`,
    message: ours
      ? `The pod is ${phase} and may not be replaced`
      : `The pod is ${phase}, and Berth deletes no pod that it did not create`,
    details: { ...namesOf(context), phase, reason },
  };
};

const podTooSlow = (context: KubernetesContext): Refusal => {
  const { pod } = context;
  return {
    code: "KUBERNETES_POD_WAIT_FAILED",
    level: "error",
    userMessage:
      pod === undefined || pod.phase === "running"
        ? "Your environment could not be started in time. Please try again later."
        : `Your environment ${phaseForUsers[pod.phase]}, and waiting for it took too long. Please try again later.`,
    message: "The pod did not run within kubernetes.timeouts.podStart",
    details: {
      ...namesOf(context),
      podStartSeconds: podRequest(context).plan.podStartMillis / 1000,
      phase: pod?.phase ?? "unknown",
      reason: pod?.reason ?? "",
    },
  };
};

const podVanished = (context: KubernetesContext): Refusal => ({
  code: "KUBERNETES_POD_WAIT_FAILED",
  level: "error",
  userMessage: "Your environment was deleted while it was starting. Please connect again.",
  message: "The pod was deleted before it ran",
  details: namesOf(context),
});

const nameTaken = (context: KubernetesContext, message: string): Refusal => ({
  code: "KUBERNETES_POD_CREATE_FAILED",
  level: "error",
  userMessage: "Your environment could not be created. Please ask your administrator.",
  message: "A pod of the configured name exists, and only persistent mode shares pods",
  details: { ...namesOf(context), answer: message },
});

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
