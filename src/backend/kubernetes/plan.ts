/** What the configuration of one connection asks for, with the pod's name filled in; and who may share a pod. */
import { Duration, Effect } from "effect";
import type { Identity } from "../../../machines/facts.ts";
import type { PodPlan } from "../../../machines/kubernetes-facts.ts";
import type { Kubernetes, KubernetesPod } from "../../config/sections/kubernetes.ts";
import { DNS_LABEL, fillName, hasPlaceholder, isPerUser } from "../environment-name.ts";
import { ConfigError } from "./failures.ts";
import { newPodName } from "./pod-manifest.ts";

export const planOf = (
  { pod, timeouts }: Kubernetes,
  identity: Identity,
): Effect.Effect<PodPlan, ConfigError> =>
  Effect.map(nameOf(pod, identity), (name) => ({
    mode: pod.mode,
    namespace: pod.metadata.namespace,
    name,
    createMissing: pod.createMissingPods,
    replaceOutdated: pod.recreateOutdated === "whenUnused",
    podStartMillis: Duration.toMillis(timeouts.podStart),
  }));

/** Whether logins may make pods, and so leave some behind: only then Berth needs the permissions to look after them. */
export const createsPods = ({ mode, createMissingPods }: KubernetesPod): boolean =>
  mode !== "persistent" || createMissingPods;

const nameOf = (pod: KubernetesPod, identity: Identity): Effect.Effect<string, ConfigError> => {
  if (pod.mode !== "persistent") return Effect.succeed(newPodName(pod));
  const filled = fillName(pod.metadata.name, identity, DNS_LABEL);
  if (filled.kind !== "name") {
    const why =
      filled.kind === "empty"
        ? `this user has nothing for ${filled.placeholder}`
        : `${filled.placeholder} is sensitive`;
    return Effect.fail(
      new ConfigError({
        message: `The pod's name can't be made: ${why}`,
        details: { name: pod.metadata.name },
      }),
    );
  }
  return filled.name === ""
    ? Effect.fail(new ConfigError({ message: "kubernetes.pod.metadata.name is required in persistent mode" }))
    : Effect.succeed(filled.name);
};

/** The code of warnings about pods that users share. */
export const SHARED_POD = "KUBERNETES_SHARED_POD";

/**
 * A warning for a configuration file by which everybody comes into the same pod, and whoever forwards credentials
 * into it shares them with everybody; undefined when there is no such danger. A name with the authenticated user in
 * it, or without any user of the file's (a configuration server sends it), is none.
 */
export const sharedPodWarning = ({ mode, metadata: { name } }: KubernetesPod): string | undefined =>
  mode !== "persistent" || name === "" || isPerUser(name)
    ? undefined
    : hasPlaceholder(name)
      ? "users may share a pod, and with it every credential that one of them brings: the name does not hold {authenticatedUsername}"
      : "all users share one pod, and with it every credential that one of them brings: let a configuration server name it, or put {authenticatedUsername} into the name";
