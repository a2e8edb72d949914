/** A pod of a connection's as programs are started in it. */
import type { V1Pod } from "@kubernetes/client-node";
import type { Bench } from "./bench.ts";
import type { FollowedPod } from "./followed-pod.ts";
import type { ProgramHost } from "./launch.ts";
import { loginEnvironment } from "./pod-manifest.ts";
import { consoleContainer, containerStatus } from "./pod-status.ts";
import { watchedPod } from "./pod-watch.ts";
import type { ExecHost } from "./program.ts";

export const programHost = ({ cluster, kubernetes, connection }: Bench, pod: V1Pod): ProgramHost => {
  const { namespace, name } = watchedPod(pod);
  const container = consoleContainer(pod, kubernetes.pod.consoleContainerNumber) ?? "";
  const status = containerStatus(pod, container);
  return {
    cluster,
    address: { namespace, pod: name, container },
    imageId: status?.imageID || status?.image || container,
    pod: kubernetes.pod,
    timeouts: kubernetes.timeouts,
    logger: connection.logger.with({ namespace, podName: name }),
  };
};

/** With the pod as it is at this moment: programs are compared with the container they were started in. */
export const execHost = (bench: Bench, followed: FollowedPod, met: V1Pod): ExecHost => {
  const pod = followed.latest ?? met;
  const host = programHost(bench, pod);
  const { container } = host.address;
  return {
    ...host,
    followed,
    container,
    containerId: containerStatus(pod, container)?.containerID,
    environment: loginEnvironment(bench.kubernetes.pod, bench.identity),
    notify: bench.connection.notify,
  };
};
