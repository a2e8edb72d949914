import type { Environment, Provisioning, Refusal } from "./facts.ts";

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

export const podRequest = (context: KubernetesContext): PodRequest => {
  if (context.plan === undefined) throw new Error("the connection's pod has not been planned yet");
  return { ...context, plan: context.plan };
};

export const knownPodRequest = (context: KubernetesContext): KnownPodRequest => {
  if (context.pod === undefined) throw new Error("there is no pod yet");
  return { ...podRequest(context), pod: context.pod };
};

export const namesOf = (context: KubernetesContext) => {
  const { namespace, name } = podRequest(context).plan;
  return { namespace, podName: name };
};

export const podAbsent = (context: KubernetesContext): Refusal => ({
  code: "KUBERNETES_POD_NOT_FOUND",
  level: "notice",
  userMessage: "Your environment does not exist yet. Please ask your administrator to create it.",
  message: "The pod does not exist and createMissingPods is off",
  details: namesOf(context),
});

export const phaseForUsers = {
  starting: "is still starting",
  running: "is running",
  terminating: "is being shut down (its pod is terminating)",
  failed: "has stopped with an error (its pod has failed)",
  succeeded: "has stopped (its pod has succeeded)",
} as const satisfies Record<PodFacts["phase"], string>;

export const podUnusable = (context: KubernetesContext): Refusal => {
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

export const podTooSlow = (context: KubernetesContext): Refusal => {
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

export const podVanished = (context: KubernetesContext): Refusal => ({
  code: "KUBERNETES_POD_WAIT_FAILED",
  level: "error",
  userMessage: "Your environment was deleted while it was starting. Please connect again.",
  message: "The pod was deleted before it ran",
  details: namesOf(context),
});

export const nameTaken = (context: KubernetesContext, message: string): Refusal => ({
  code: "KUBERNETES_POD_CREATE_FAILED",
  level: "error",
  userMessage: "Your environment could not be created. Please ask your administrator.",
  message: "A pod of the configured name exists, and only persistent mode shares pods",
  details: { ...namesOf(context), answer: message },
});
