/** The steps of `kubernetesMachine` on pods. */
import type { V1Pod } from "@kubernetes/client-node";
import { Effect, Scope } from "effect";
import type { Provisioning } from "../../../machines/facts.ts";
import type {
  KnownPodRequest,
  PodCreation,
  PodFacts,
  PodPlan,
  PodRequest,
} from "../../../machines/kubernetes-facts.ts";
import type { Failure } from "../../failure.ts";
import { type Bench, entrantOf, type Workshop } from "./bench.ts";
import { ConfigError, PermissionDenied, PodWaitFailed } from "./failures.ts";
import { persistentPod, scopedPod } from "./lifetime.ts";
import { isOurs, isOutdated, usersOf, wasSomebodyElses } from "./marks.ts";
import { createsPods, planOf, SHARED_POD } from "./plan.ts";
import { consoleContainer, isReady, phaseOf, reasonOf } from "./pod-status.ts";
import { type PodSighting, watchedPod } from "./pod-watch.ts";

export const podSteps = (benchFor: Workshop) => {
  const planPod = (provisioning: Provisioning): Effect.Effect<PodPlan, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const { pod } = bench.kubernetes;
      const plan = yield* planOf(bench.kubernetes, bench.identity);
      if (pod.disableAgent) {
        bench.connection.logger.debug("KUBERNETES_GUEST_AGENT_DISABLED", "The guest agent is disabled");
      }
      if (createsPods(pod)) bench.housekeeping(plan.namespace).need();
      return plan;
    });

  const findPod = ({ plan, ...provisioning }: PodRequest): Effect.Effect<PodFacts | undefined, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const found = yield* Effect.catchTag(
        bench.cluster.api.get(plan.namespace, plan.name),
        "ObjectMissing",
        () => Effect.succeed(undefined),
      );
      return found && (yield* meet(bench, found));
    });

  const createPod = ({ plan, ...provisioning }: PodRequest): Effect.Effect<PodCreation, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const create = plan.mode === "persistent" ? persistentPod(bench, plan) : scopedPod(bench, plan);
      const creation = yield* Scope.provide(create, bench.connection.scope);
      if (creation.kind === "exists") return creation;
      if (plan.mode === "persistent") warnOfOthers(bench, plan, creation.pod);
      return { kind: "created", pod: yield* meet(bench, creation.pod) };
    });

  const claimPod = ({
    plan,
    pod: { uid },
    ...provisioning
  }: KnownPodRequest): Effect.Effect<PodFacts | undefined, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const { clusters, connection, housekeeping } = bench;
      const pod = yield* known(bench, uid);
      warnOfOthers(bench, plan, pod);
      // A pod that Berth did not make is nobody's to delete: a mark would protect it from nothing.
      if (!isOurs(pod)) return yield* meet(bench, pod);
      // Without a mark nothing tells other daemons that somebody is in it: their idle timeouts would delete it.
      const enter = Effect.catchTag(
        clusters.occupancy.enter(pod, entrantOf(bench), bench),
        "PermissionDenied",
        ({ message, details = {} }) =>
          Effect.fail(
            new PermissionDenied({ message: `The pod can't be marked as in use: ${message}`, details }),
          ),
      );
      const entered = yield* Scope.provide(enter, connection.scope);
      if (entered === undefined) return undefined;
      housekeeping(plan.namespace).welcome();
      return yield* meet(bench, entered);
    });

  const awaitRunning = ({
    pod: { uid },
    ...provisioning
  }: KnownPodRequest): Effect.Effect<PodFacts | undefined, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const { cluster, connection } = bench;
      const pod = yield* known(bench, uid);
      const { namespace, name } = watchedPod(pod);
      connection.logger.debug("KUBERNETES_POD_WAIT", "Waiting for the pod to come up", {
        namespace,
        podName: name,
      });
      const sighting = yield* Effect.scoped(
        Effect.flatMap(cluster.watches.follow(pod), (followed) => followed.until(hasComeUp(bench))),
      );
      return sighting.pod && (yield* meet(bench, sighting.pod));
    });

  const removePod = ({ pod: { uid }, ...provisioning }: KnownPodRequest): Effect.Effect<void, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const { cluster, connection } = bench;
      const pod = yield* known(bench, uid);
      const { namespace, name } = watchedPod(pod);
      connection.logger.info("KUBERNETES_POD_REMOVE", "Removing the pod to replace it", {
        namespace,
        podName: name,
        phase: phaseFor(bench, pod),
      });
      const resourceVersion = pod.metadata?.resourceVersion ?? "";
      yield* Effect.catchTag(
        cluster.api.delete(namespace, name, { uid, resourceVersion }),
        ["ObjectMissing", "ObjectConflict"],
        () => Effect.void,
      );
    });

  const awaitGone = ({ pod: { uid }, ...provisioning }: KnownPodRequest): Effect.Effect<void, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const { cluster, connection } = bench;
      const pod = yield* known(bench, uid);
      connection.notify("Your environment is being shut down; a new one will be created when it is gone.");
      yield* Effect.scoped(
        Effect.flatMap(cluster.watches.follow(pod), (followed) =>
          followed.until((sighting) => (sighting === undefined ? true : undefined)),
        ),
      );
    });

  return { planPod, findPod, createPod, claimPod, awaitRunning, removePod, awaitGone };
};

/** Remembers a pod as it is now. */
const meet = (bench: Bench, pod: V1Pod): Effect.Effect<PodFacts, ConfigError> =>
  Effect.suspend(() => {
    const { namespace, name, uid } = watchedPod(pod);
    const { consoleContainerNumber } = bench.kubernetes.pod;
    const container = consoleContainer(pod, consoleContainerNumber);
    if (container === undefined) {
      return Effect.fail(
        new ConfigError({
          message: "The pod has no container with the number of consoleContainerNumber",
          details: { namespace, podName: name, consoleContainerNumber },
        }),
      );
    }
    bench.pods.set(uid, pod);
    return Effect.succeed({
      namespace,
      name,
      uid,
      phase: phaseOf(pod, container),
      ours: isOurs(pod),
      outdated: isOurs(pod) && isOutdated(pod, bench.kubernetes.pod),
      inUse: isInUse(bench, pod),
      reason: reasonOf(pod),
    });
  });

/** The pod as it was seen last. */
export const known = ({ pods }: Bench, uid: string): Effect.Effect<V1Pod, PodWaitFailed> =>
  Effect.suspend(() => {
    const pod = pods.get(uid);
    return pod === undefined
      ? Effect.fail(new PodWaitFailed({ message: "The pod is not known any more", details: { uid } }))
      : Effect.succeed(pod);
  });

const phaseFor = ({ kubernetes: { pod } }: Bench, found: V1Pod): PodFacts["phase"] =>
  phaseOf(found, consoleContainer(found, pod.consoleContainerNumber) ?? "");

/** Wraps what was seen, for a pod that is gone is something to wait for, too. */
const hasComeUp =
  (bench: Bench) =>
  (pod: PodSighting): { readonly pod: PodSighting } | undefined => {
    if (pod === undefined) return { pod };
    const phase = phaseFor(bench, pod);
    if (phase !== "starting") bench.pods.set(watchedPod(pod).uid, pod);
    return phase === "starting" || (phase === "running" && isOurs(pod) && !isReady(pod))
      ? undefined
      : { pod };
  };

const isInUse = ({ clusters, housekeeping }: Bench, pod: V1Pod): boolean => {
  const watched = watchedPod(pod);
  if (clusters.presence.holds(watched)) return true;
  const others = [...usersOf(pod).keys()].filter((id) => id !== clusters.instance.id);
  // Of a daemon that is merely silent the mark counts until somebody has taken it away.
  return others.some((id) => housekeeping(watched.namespace).absenceOf(id) !== "gone");
};

const warnOfOthers = ({ clusters, identity, connection }: Bench, plan: PodPlan, pod: V1Pod): void => {
  const { authenticatedUsername } = identity;
  const other = clusters.otherUserOf(watchedPod(pod).uid, authenticatedUsername);
  if (other === undefined && !wasSomebodyElses(pod, authenticatedUsername)) return;
  connection.logger.warning(
    SHARED_POD,
    "Two users share a pod, and with it every credential that one of them brings",
    {
      namespace: plan.namespace,
      podName: plan.name,
      username: authenticatedUsername,
      // Of the first user only a hash is known when that was with another daemon.
      ...(other === undefined ? {} : { otherUsername: other }),
    },
  );
};
