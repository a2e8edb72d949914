/** The Kubernetes backend: what `kubernetesMachine` leaves open, done on a cluster. */
import { Effect, Scope } from "effect";
import type { Environment } from "../../../machines/facts.ts";
import type { KnownPodRequest, PodEnvironmentRequest } from "../../../machines/kubernetes-facts.ts";
import type { Config } from "../../config/schema.ts";
import { isUnconfigured } from "../../config/sections/kubernetes.ts";
import type { Failure } from "../../failure.ts";
import { fromEffect } from "../../from-effect.ts";
import { wipeFiles } from "../../metadata.ts";
import { type KubernetesBackendDependencies, workshop } from "./bench.ts";
import type { KubernetesClusters } from "./clusters.ts";
import { refuseDeleted } from "./ending.ts";
import { ForwardingFailed } from "./failures.ts";
import { writeFiles as write } from "./files.ts";
import { execHost, programHost } from "./hosts.ts";
import { createsPods, SHARED_POD, sharedPodWarning } from "./plan.ts";
import { known, podSteps } from "./pod-steps.ts";
import { startByExec } from "./program.ts";
import { startBySession } from "./session-program.ts";

export type { KubernetesBackendDependencies } from "./bench.ts";
export { type KubernetesClusters, openKubernetes } from "./clusters.ts";
export { SHARED_POD, sharedPodWarning } from "./plan.ts";

/**
 * What a daemon whose file gives it access to a cluster does at its start, whatever the file's own backend and mode: it
 * begins to look after the namespace, which sweeps what dead daemons left there. For the backend of the file it also
 * warns of a pod that everybody would share. Clusters and namespaces that only a configuration server names are not
 * known before: they are looked after from the first login on.
 */
export const startKubernetes = (
  clusters: KubernetesClusters,
  { backend, kubernetes }: Pick<Config, "backend" | "kubernetes">,
): Effect.Effect<void, Failure> => {
  const { pod, connection } = kubernetes;
  const { logger, background } = clusters;
  const lookAfter = Effect.map(Scope.provide(clusters.open(kubernetes), background), ({ housekeeping }) => {
    const housekeeper = housekeeping(pod.metadata.namespace);
    housekeeper.stay();
    if (backend === "kubernetes" && createsPods(pod)) housekeeper.need();
  });
  if (backend === "kubernetes") {
    const warning = sharedPodWarning(pod);
    if (warning !== undefined) {
      logger.warning(SHARED_POD, `kubernetes.pod.metadata.name: ${warning}`, { name: pod.metadata.name });
    }
    return lookAfter;
  }
  if (isUnconfigured(connection)) return Effect.void;
  return Effect.catch(lookAfter, ({ code, message }) =>
    Effect.sync(() => logger.warning(code, `kubernetes.connection can't be used: ${message}`)),
  );
};

/** What `kubernetesMachine.provide` takes. */
export const kubernetesBackend = (dependencies: KubernetesBackendDependencies) => {
  const benchFor = workshop(dependencies);
  const steps = podSteps(benchFor);

  const writeFiles = ({ pod: { uid }, ...provisioning }: KnownPodRequest): Effect.Effect<void, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const { files } = bench.identity;
      yield* Effect.ensuring(write(programHost(bench, yield* known(bench, uid)), files), wipeFiles(files));
    });

  const openEnvironment = ({
    pod,
    plan,
    ...provisioning
  }: PodEnvironmentRequest): Effect.Effect<Environment, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      if (pod === undefined) {
        return {
          description: `pods per session in ${plan.namespace}`,
          start: (request) => startBySession(bench, plan, request),
          openTcp,
        };
      }
      const { cluster, connection } = bench;
      const met = yield* known(bench, pod.uid);
      const followed = yield* Scope.provide(cluster.watches.follow(met), connection.scope);
      return {
        description: `pod ${plan.namespace}/${plan.name}`,
        start: (request) =>
          Effect.suspend(() => {
            const host = execHost(bench, followed, met);
            return Effect.andThen(refuseDeleted(host), startByExec(host, request));
          }),
        openTcp,
      };
    });

  return {
    actors: {
      planPod: fromEffect(steps.planPod),
      findPod: fromEffect(steps.findPod),
      createPod: fromEffect(steps.createPod),
      claimPod: fromEffect(steps.claimPod),
      awaitRunning: fromEffect(steps.awaitRunning),
      removePod: fromEffect(steps.removePod),
      awaitGone: fromEffect(steps.awaitGone),
      writeFiles: fromEffect(writeFiles),
      openEnvironment: fromEffect(openEnvironment),
    },
    actions: {
      reportOutdated: (_: unknown, { connectionId, pod: { namespace, name } }: KnownPodRequest): void => {
        const { logger, notify } = dependencies.resources(connectionId);
        logger.notice(
          "KUBERNETES_POD_OUTDATED",
          "The pod was made from another spec than the one that is configured now",
          { namespace, podName: name },
        );
        notify("Your environment is older than its configuration; changes come with a new one.");
      },
    },
  };
};

/** Forwarding speaks the guest agent's own protocol, which Berth does not speak yet. */
const openTcp = (): Effect.Effect<never, ForwardingFailed> =>
  Effect.fail(new ForwardingFailed({ message: "Forwarding into pods is not built yet" }));
