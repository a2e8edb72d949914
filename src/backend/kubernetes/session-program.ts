/**
 * Session mode: a program is the first process of a pod of its own. The pod waits, like a program by exec, for its
 * orders on standard input, so the login's files are there before it runs and nothing it says is lost before somebody
 * is attached.
 */
import type { V1Pod } from "@kubernetes/client-node";
import { Duration, Effect, Option, type Scope } from "effect";
import type { Exit, Program } from "../../../machines/facts.ts";
import type { PodPlan } from "../../../machines/kubernetes-facts.ts";
import type { Failure } from "../../failure.ts";
import type { ProgramRequest, RunningProgram } from "../backend.ts";
import { exitOf } from "../docker/exit.ts";
import type { Bench } from "./bench.ts";
import type { ChannelsEnd } from "./channels.ts";
import { deletionOf, podNames } from "./ending.ts";
import { ContainerOutOfMemory, ExitLost, PodCreateFailed, PodDeleted, PodWaitFailed } from "./failures.ts";
import { writeFiles } from "./files.ts";
import type { FollowedPod } from "./followed-pod.ts";
import { execHost, programHost } from "./hosts.ts";
import {
  type Launcher,
  type LaunchRequest,
  launcherFor,
  NO_SUCH_PROGRAM,
  type ProgramHost,
} from "./launch.ts";
import { scopedPod } from "./lifetime.ts";
import { loginEnvironment, newPodName } from "./pod-manifest.ts";
import { containerStatus, phaseOf, reasonOf } from "./pod-status.ts";
import type { PodSighting } from "./pod-watch.ts";
import { commandOf, type ExecHost, programEnvironment, runningProgram } from "./program.ts";

export const startBySession = (
  bench: Bench,
  plan: PodPlan,
  request: ProgramRequest,
): Effect.Effect<RunningProgram, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { kubernetes, identity } = bench;
    const { pod, timeouts } = kubernetes;
    const command = yield* commandOf(request.program, pod);
    const environment = programEnvironment(request, loginEnvironment(pod, identity));
    const launchRequest: LaunchRequest = { command, environment, terminal: request.terminal };
    for (;;) {
      const launcher = yield* launcherFor(imageHost(bench), launchRequest, true);
      const up = yield* podUp(bench, plan, launcher, request.terminal !== undefined);
      if (up.kind === "missing") {
        launcher.giveUp(up);
        continue;
      }
      const host = execHost(bench, up.followed, up.pod);
      yield* writeFiles(host, identity.files);
      host.logger.debug("KUBERNETES_POD_ATTACH", "Attaching to the pod");
      const channels = yield* bench.cluster.stream({
        container: host.address,
        stdin: true,
        terminal: request.terminal !== undefined,
        timeout: timeouts.commandStart,
        filters: launcher.filters,
      });
      const launched = yield* launcher.begin(channels);
      if (!("channels" in launched)) {
        launcher.giveUp(launched);
        continue;
      }
      return yield* runningProgram(host, request, launched, (delivered) =>
        Effect.raceFirst(endingOf(bench, host, launched.ended, request.program, delivered), deletionOf(host)),
      );
    }
  });

/** Before there is a pod, an image is only known by the name it has in the spec. */
const imageHost = (bench: Bench): ProgramHost => {
  const { spec, consoleContainerNumber } = bench.kubernetes.pod;
  const containers: readonly { readonly image?: string }[] = Array.isArray(spec.containers)
    ? spec.containers
    : [];
  return { ...programHost(bench, {}), imageId: containers[consoleContainerNumber]?.image ?? "" };
};

type PodUp =
  | { readonly kind: "up"; readonly pod: V1Pod; readonly followed: FollowedPod }
  | { readonly kind: "missing"; readonly missing: string };

/** Creates the pod and waits until its program waits. */
const podUp = (
  bench: Bench,
  plan: PodPlan,
  launcher: Launcher,
  terminal: boolean,
): Effect.Effect<PodUp, Failure, Scope.Scope> =>
  Effect.suspend(() => {
    const { cluster, kubernetes, connection } = bench;
    const name = newPodName(kubernetes.pod);
    const names = { namespace: plan.namespace, podName: name };
    let followed: FollowedPod | undefined;
    const up = Effect.gen(function* () {
      const creation = yield* scopedPod(bench, { ...plan, name }, { command: launcher.command, terminal });
      if (creation.kind === "exists") {
        return yield* Effect.fail(
          new PodCreateFailed({
            message: `A pod of the configured name exists: ${creation.message}`,
            details: names,
          }),
        );
      }
      connection.logger.debug("KUBERNETES_POD_WAIT", "Waiting for the pod to come up", names);
      followed = yield* cluster.watches.follow(creation.pod);
      const container = programHost(bench, creation.pod).address.container;
      const { pod, phase } = yield* followed.until((seen) => comeUp(seen, container));
      if (pod !== undefined && phase === "running") return { kind: "up", pod, followed } satisfies PodUp;
      const reason = pod === undefined ? "it is gone" : reasonOf(pod);
      if (phase === "failed" && NO_SUCH_PROGRAM.test(reason))
        return { kind: "missing", missing: reason } satisfies PodUp;
      return yield* Effect.fail(
        new PodWaitFailed({ message: `The pod did not come up: ${reason}`, details: { ...names, phase } }),
      );
    });
    const { podStart } = kubernetes.timeouts;
    return Effect.timeoutOrElse(up, {
      duration: podStart,
      orElse: () =>
        Effect.fail(
          new PodWaitFailed({
            message: "The pod did not run within kubernetes.timeouts.podStart",
            details: {
              ...names,
              podStartSeconds: Duration.toSeconds(podStart),
              reason: followed?.latest === undefined ? "" : reasonOf(followed.latest),
            },
          }),
        ),
    });
  });

const comeUp = (pod: PodSighting, container: string) => {
  const phase = pod === undefined ? "gone" : phaseOf(pod, container);
  return phase === "starting" ? undefined : { pod, phase };
};

/** The exit code is the container's, and is known a little after its output has ended. */
const endingOf = (
  { kubernetes }: Bench,
  { followed, container, address }: ExecHost,
  ended: Promise<ChannelsEnd>,
  program: Program,
  delivered: ReadonlySet<string>,
): Effect.Effect<Exit, Failure> =>
  Effect.gen(function* () {
    const outcome = Effect.flatMap(
      followed.untilSeen((pod) => outcomeOf(pod, { container, address }, program, delivered)),
      (known) => ("kind" in known ? Effect.succeed(known) : Effect.fail(known)),
    );
    const early = yield* Effect.raceFirst(
      Effect.as(
        Effect.promise(() => ended),
        undefined,
      ),
      outcome,
    );
    if (early !== undefined) {
      // The rest of the output is on its way; a program that left children behind is not waited for.
      yield* Effect.timeoutOption(
        Effect.promise(() => ended),
        kubernetes.timeouts.http,
      );
      return early;
    }
    const late = yield* Effect.timeoutOption(outcome, kubernetes.timeouts.podStop);
    if (Option.isSome(late)) return late.value;
    return yield* Effect.fail(
      new ExitLost({ message: "The pod did not say how its program ended", details: podNames(address) }),
    );
  });

const outcomeOf = (
  pod: PodSighting,
  { container, address }: Pick<ExecHost, "container" | "address">,
  program: Program,
  delivered: ReadonlySet<string>,
): Exit | Failure | undefined => {
  const details = podNames(address);
  if (pod === undefined)
    return new PodDeleted({ message: "The pod was deleted while its program ran", details });
  const terminated = containerStatus(pod, container)?.state?.terminated;
  if (terminated !== undefined) {
    return terminated.reason === "OOMKilled"
      ? new ContainerOutOfMemory({ message: "The program's pod ran out of memory", details })
      : exitOf({ code: terminated.exitCode, program, delivered, message: terminated.message ?? "" });
  }
  return undefined;
};
