/** How a program in a pod ended, and if something took it away, what that was. */
import type { V1Pod } from "@kubernetes/client-node";
import { Duration, Effect, Option } from "effect";
import type { Exit, Program } from "../../../machines/facts.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import { exitOf } from "../docker/exit.ts";
import type { ChannelsEnd } from "./channels.ts";
import type { ContainerAddress } from "./cluster.ts";
import { ContainerOutOfMemory, ContainerRestarted, ExitLost, PodDeleted } from "./failures.ts";
import type { FollowedPod } from "./followed-pod.ts";
import { containerStatus, reasonOf } from "./pod-status.ts";
import type { PodSighting } from "./pod-watch.ts";

/** A container at the time a program was started in it. */
export interface Whereabouts {
  readonly followed: FollowedPod;
  readonly address: ContainerAddress;
  readonly container: string;
  /** The runtime's id: another one means that the container was started again. */
  readonly containerId: string | undefined;
  readonly logger: Logger;
  readonly notify: (line: string) => void;
}

/** Which pod it was, for a failure's details. */
export const podNames = ({ namespace, pod }: ContainerAddress) => ({ namespace, podName: pod });

/** The exit code of a program that was killed; also of everything in a container that runs out of memory. */
const KILLED = 137;

/**
 * How long the API may take to know what a program's end already shows (kubelets look about once a second). An end
 * without a status may have taken some seconds to notice already: users learn within 10 s what has happened. A server
 * that is silent says nothing about pods either.
 */
const HINDSIGHT = {
  exited: Duration.seconds(5),
  failed: Duration.seconds(2),
  lost: Duration.seconds(2),
  silent: Duration.zero,
};

/** How long programs may go on in a pod that is being deleted, for the same reason. */
const DELETION_GRACE = Duration.seconds(3);

/** Waits for the program's end, or for that of its pod. */
export const endingOf = (
  where: Whereabouts,
  ended: Promise<ChannelsEnd>,
  program: Program,
  delivered: ReadonlySet<string>,
): Effect.Effect<Exit, Failure> =>
  Effect.raceFirst(
    Effect.flatMap(
      Effect.promise(() => ended),
      (end) => explain(where, end, program, delivered),
    ),
    deletionOf(where),
  );

const explain = (
  where: Whereabouts,
  end: ChannelsEnd,
  program: Program,
  delivered: ReadonlySet<string>,
): Effect.Effect<Exit, Failure> =>
  Effect.gen(function* () {
    if (end.kind === "exited" && (end.status !== KILLED || delivered.has("KILL"))) {
      return exitOf({ code: end.status, program, delivered, message: "" });
    }
    const trouble = yield* Effect.timeoutOption(
      where.followed.untilSeen((pod) => troubleOf(pod, where)),
      HINDSIGHT[end.kind],
    );
    if (Option.isSome(trouble)) return yield* Effect.fail(trouble.value);
    if (end.kind === "exited") return exitOf({ code: end.status, program, delivered, message: "" });
    return yield* Effect.fail(
      new ExitLost({
        message: `The program's connection ended without an exit status: ${end.message}`,
        details: { ...podNames(where.address), answer: end.message },
      }),
    );
  });

/** Exec goes by the pod's name: once the pod is gone, another one may have it, which this connection has not entered. */
export const refuseDeleted = ({ followed, address }: Whereabouts): Effect.Effect<void, PodDeleted> =>
  Effect.suspend(() => {
    const deleted = deletedOf(followed.latest, address);
    return deleted === undefined ? Effect.void : Effect.fail(deleted);
  });

/** Fails a while after somebody asked to delete the pod; never succeeds. */
export const deletionOf = ({ followed, address, notify }: Whereabouts): Effect.Effect<never, Failure> =>
  Effect.gen(function* () {
    const failure = yield* followed.untilSeen((pod) => deletedOf(pod, address));
    notify("Your environment is being shut down by the cluster.");
    yield* Effect.sleep(DELETION_GRACE);
    return yield* Effect.fail(failure);
  });

const deletedOf = (pod: PodSighting, address: ContainerAddress): PodDeleted | undefined =>
  pod === undefined || pod.metadata?.deletionTimestamp !== undefined
    ? new PodDeleted({
        message: "The pod was deleted while somebody was in it",
        details: podNames(address),
      })
    : undefined;

/** What has happened to the container since the program was started, if anything. */
const troubleOf = (pod: PodSighting, where: Whereabouts): Failure | undefined => {
  const { address, container, containerId } = where;
  const deleted = deletedOf(pod, address);
  if (deleted !== undefined || pod === undefined) return deleted;
  const status = containerStatus(pod, container);
  const isSame = status?.containerID === containerId && status?.state?.running !== undefined;
  return isSame ? undefined : stopped(pod, where);
};

const stopped = (pod: V1Pod, { address, container }: Whereabouts): Failure => {
  const status = containerStatus(pod, container);
  const ended = status?.state?.terminated ?? status?.lastState?.terminated;
  const fields = {
    message: "The container stopped while a program ran in it",
    details: {
      ...podNames(address),
      reason: ended?.reason ?? pod.status?.reason ?? "",
      exitCode: ended?.exitCode ?? -1,
      restarts: status?.restartCount ?? 0,
      pod: reasonOf(pod),
    },
  };
  return ended?.reason === "OOMKilled" ? new ContainerOutOfMemory(fields) : new ContainerRestarted(fields);
};
