/** What the API says about a pod (PodStatus, ContainerStatus), in the words of machines/kubernetes.ts. */
import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import type { PodFacts } from "../../../machines/kubernetes-facts.ts";

/** The name of the container that programs run in; undefined when the pod has no container of this number. */
export const consoleContainer = ({ spec }: V1Pod, number: number): string | undefined =>
  spec?.containers[number]?.name;

export const containerStatus = ({ status }: V1Pod, container: string): V1ContainerStatus | undefined =>
  status?.containerStatuses?.find(({ name }) => name === container);

/** `running` means that programs can be started in the container. */
export const phaseOf = (pod: V1Pod, container: string): PodFacts["phase"] => {
  if (pod.metadata?.deletionTimestamp !== undefined) return "terminating";
  switch (pod.status?.phase) {
    case "Failed":
      return "failed";
    case "Succeeded":
      return "succeeded";
    default:
      return containerStatus(pod, container)?.state?.running === undefined ? "starting" : "running";
  }
};

/** Whether the pod's readiness probes, its init containers and every container say that it is up. */
export const isReady = ({ status }: V1Pod): boolean =>
  status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") ?? false;

/** Why the pod is as it is, in Kubernetes' words; empty when nothing is worth saying. */
export const reasonOf = ({ status }: V1Pod): string => {
  const waiting = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].flatMap(
    ({ name, state }) => {
      const { reason, message } = state?.waiting ?? {};
      if (reason === undefined || reason === "ContainerCreating" || reason === "PodInitializing") return [];
      return [`${name}: ${sentence(reason, message)}`];
    },
  );
  const ended = (status?.containerStatuses ?? []).flatMap(({ name, state }) =>
    state?.terminated === undefined
      ? []
      : [
          `${name}: ${sentence(state.terminated.reason, state.terminated.message)}, exit code ${state.terminated.exitCode}`,
        ],
  );
  const unscheduled = (status?.conditions ?? []).flatMap(({ type, status: value, reason, message }) =>
    type === "PodScheduled" && value === "False" ? [sentence(reason, message)] : [],
  );
  const own = status?.reason === undefined ? [] : [sentence(status.reason, status.message)];
  return [...own, ...unscheduled, ...waiting, ...ended].join("; ");
};

const sentence = (reason: string | undefined, message: string | undefined): string =>
  [reason, message].filter((part) => part !== undefined && part !== "").join(": ");
