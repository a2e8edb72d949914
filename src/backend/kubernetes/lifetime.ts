/**
 * Pods that Berth creates. One for a connection or a session belongs to a scope: created within it, removed with it.
 * What the API server can't do at that moment housekeeping does later, here or in the next daemon.
 */
import { randomUUID } from "node:crypto";
import type { V1Pod } from "@kubernetes/client-node";
import { Effect, Schedule, type Scope } from "effect";
import type { PodPlan } from "../../../machines/kubernetes-facts.ts";
import type { Failure } from "../../failure.ts";
import type { CallFailure } from "./api.ts";
import type { Bench } from "./bench.ts";
import { ApiUnavailable, PodCreateFailed } from "./failures.ts";
import { CREATION } from "./marks.ts";
import { isTooLongForLabel, podManifest } from "./pod-manifest.ts";

export type Creation =
  | { readonly kind: "created"; readonly pod: V1Pod }
  | { readonly kind: "exists"; readonly message: string };

/** Session mode: the program a pod is made for. */
export interface SessionProgram {
  readonly command: readonly string[];
  readonly terminal: boolean;
}

/** How often the API server is asked again that could not create or delete a pod. */
const RETRY = Schedule.spaced("1 second");

/** Creates a pod for a connection or a session; closing the scope removes it. */
export const scopedPod = (
  bench: Bench,
  plan: PodPlan,
  session?: SessionProgram,
): Effect.Effect<Creation, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { cluster, clusters } = bench;
    const { presence } = clusters;
    const { namespace, name } = plan;
    const creationId = randomUUID();
    let uid: string | undefined;
    // Registered before the creation: one that is interrupted may have been carried out all the same.
    yield* Effect.acquireRelease(
      Effect.sync(() => presence.hold(cluster, { namespace, name, uid: undefined })),
      (release) =>
        Effect.ensuring(
          removeSurely(bench, plan, creationId, () => uid),
          Effect.sync(release),
        ),
    );
    const creation = yield* createPod(bench, plan, creationId, session);
    if (creation.kind === "created") {
      uid = creation.pod.metadata?.uid;
      yield* Effect.acquireRelease(
        Effect.sync(() => presence.hold(cluster, { namespace, name, uid })),
        (release) => Effect.sync(release),
      );
      bench.housekeeping(namespace).welcome();
    }
    return creation;
  });

/** Creates a pod that stays. Until the scope closes, this connection is in it. */
export const persistentPod = (bench: Bench, plan: PodPlan): Effect.Effect<Creation, Failure, Scope.Scope> => {
  const { cluster, clusters } = bench;
  const { namespace, name } = plan;
  return Effect.acquireUseRelease(
    Effect.sync(() => clusters.presence.hold(cluster, { namespace, name, uid: undefined })),
    () =>
      Effect.tap(createPod(bench, plan, randomUUID()), (creation) => {
        if (creation.kind !== "created") return Effect.void;
        bench.housekeeping(namespace).welcome();
        return clusters.occupancy.adopt(creation.pod, bench);
      }),
    (release) => Effect.sync(release),
  );
};

const createPod = (
  bench: Bench,
  plan: PodPlan,
  creationId: string,
  session?: SessionProgram,
): Effect.Effect<Creation, Failure> =>
  Effect.gen(function* () {
    const { cluster, clusters, kubernetes, identity, connection } = bench;
    const { namespace, name } = plan;
    const { logger } = connection;
    if (isTooLongForLabel(identity.authenticatedUsername)) {
      logger.warning(
        "KUBERNETES_USERNAME_TOO_LONG",
        "The user's name is longer than the 63 characters of a label: the pod has no containerssh_username",
      );
    }
    logger.debug("KUBERNETES_POD_CREATE", "Creating the pod", { namespace, podName: name });
    const manifest = podManifest({
      pod: kubernetes.pod,
      plan,
      identity,
      instance: clusters.instance,
      creationId,
      ...(session === undefined ? {} : { session }),
    });
    const told = new Set<string>();
    const attempt = Effect.tapError(cluster.api.create(namespace, manifest), (error) =>
      Effect.sync(() => {
        if (!isTemporary(error)) return;
        // A login that this makes wait until its time is up ends without a word of it.
        logger.log(
          told.has(error.message) ? "debug" : "warning",
          "KUBERNETES_POD_CREATE_FAILED",
          `Creating the pod again: ${error.message}`,
          { ...error.details, podName: name },
        );
        told.add(error.message);
      }),
    );
    return yield* Effect.retry(attempt, { while: isTemporary, schedule: RETRY }).pipe(
      Effect.map((pod): Creation => ({ kind: "created", pod })),
      Effect.catchTag("ObjectConflict", (conflict) => existing(bench, plan, creationId, conflict.message)),
      Effect.mapError((error) => createFailure(error, plan)),
    );
  });

/** Quotas are counted optimistically: two pods created at the same moment make the API server say 409 to one. */
const isTemporary = (error: CallFailure): boolean =>
  error._tag === "ApiUnavailable" ||
  (error._tag === "ObjectConflict" && error.details?.reason !== "AlreadyExists");

/** The name is taken: perhaps by an earlier attempt of ours whose answer was lost. */
const existing = (
  { cluster }: Bench,
  { namespace, name, mode }: PodPlan,
  creationId: string,
  message: string,
): Effect.Effect<Creation, CallFailure> =>
  mode === "persistent"
    ? Effect.succeed({ kind: "exists", message })
    : Effect.map(cluster.api.get(namespace, name), (pod) =>
        isOf(pod, creationId) ? { kind: "created", pod } : { kind: "exists", message },
      );

const createFailure = (error: CallFailure, { namespace, name }: PodPlan): Failure =>
  error._tag === "ApiRefused" || error._tag === "ObjectMissing"
    ? new PodCreateFailed({
        message: `The pod could not be created: ${error.message}`,
        details: { ...error.details, namespace, podName: name },
        cause: error,
      })
    : error;

/** Deletes a pod of this connection's. `uid` is unknown when the answer to its creation never came. */
const removeSurely = (
  bench: Bench,
  { namespace, name }: PodPlan,
  creationId: string,
  uidOf: () => string | undefined,
): Effect.Effect<void> => {
  const { cluster, kubernetes, connection } = bench;
  const { logger } = connection;
  const names = { namespace, podName: name };
  const remove = Effect.gen(function* () {
    const uid = uidOf() ?? (yield* uidOfCreation(bench, namespace, name, creationId));
    if (uid === undefined) return;
    logger.debug("KUBERNETES_POD_REMOVE", "Removing the pod", names);
    yield* cluster.api.delete(namespace, name, { uid });
    logger.debug("KUBERNETES_POD_REMOVE_SUCCESSFUL", "The pod is removed", names);
  });
  return Effect.retry(remove, { while: ({ _tag }) => _tag === "ApiUnavailable", schedule: RETRY }).pipe(
    Effect.catchTag(["ObjectMissing", "ObjectConflict"], () => Effect.void),
    Effect.timeoutOrElse({
      duration: kubernetes.timeouts.podStop,
      orElse: () => Effect.fail(new ApiUnavailable({ message: "The API server did not do it in time" })),
    }),
    Effect.catch((error) =>
      Effect.sync(() =>
        logger.error("KUBERNETES_POD_REMOVE_FAILED", `The pod could not be removed: ${error.message}`, {
          ...error.details,
          ...names,
        }),
      ),
    ),
  );
};

const uidOfCreation = ({ cluster }: Bench, namespace: string, name: string, creationId: string) =>
  Effect.map(cluster.api.get(namespace, name), (pod) =>
    isOf(pod, creationId) ? pod.metadata?.uid : undefined,
  );

const isOf = ({ metadata }: V1Pod, creationId: string): boolean =>
  metadata?.annotations?.[CREATION] === creationId;
