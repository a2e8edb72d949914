/**
 * The pods that Berth creates: the configuration's metadata and spec as they are, with the command, labels,
 * annotations and variables that a connection adds to them.
 */
import { randomInt } from "node:crypto";
import { Redacted } from "effect";
import type { Identity } from "../../../machines/facts.ts";
import type { PodPlan } from "../../../machines/kubernetes-facts.ts";
import type { KubernetesPod } from "../../config/sections/kubernetes.ts";
import {
  CREATION,
  firstUser,
  INSTANCE,
  type InstanceMark,
  inUse,
  MODE,
  persistentAnnotations,
} from "./marks.ts";

/** The reference's names. */
const CONNECTION_ID = "containerssh_connection_id";
const USERNAME = "containerssh_username";
const IP = "containerssh_ip";

/** The reference's default where a pod has no name of its own. */
const GENERATE_NAME = "containerssh-";

export interface ManifestInput {
  readonly pod: KubernetesPod;
  readonly plan: Pick<PodPlan, "mode" | "name">;
  readonly identity: Identity;
  readonly instance: InstanceMark;
  /** No other creation has it. */
  readonly creationId: string;
  /** Session mode: the program and whether it gets a terminal. */
  readonly session?: { readonly command: readonly string[]; readonly terminal: boolean };
}

/** A container of a pod spec, as far as Berth looks into it. */
interface Container {
  readonly env?: readonly unknown[];
}

/** A Pod of the API. */
export const podManifest = (input: ManifestInput): object => {
  const { pod, plan, identity, instance, creationId } = input;
  const { name: _, generateName, labels, annotations, ...metadata } = pod.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...metadata,
      ...(generateName === "" ? {} : { generateName }),
      name: plan.name,
      labels: {
        ...labels,
        ...userLabels(identity),
        ...exposed(pod.exposeAuthMetadataAsLabels, identity),
        [MODE]: plan.mode,
        ...(plan.mode === "persistent" ? {} : { [INSTANCE]: instance.id }),
      },
      annotations: {
        ...annotations,
        [IP]: addressOf(identity.remoteAddress).replaceAll(":", "-"),
        ...exposed(pod.exposeAuthMetadataAsAnnotations, identity),
        ...(plan.mode === "persistent"
          ? { ...persistentAnnotations(pod), ...firstUser(identity.authenticatedUsername) }
          : {}),
        [CREATION]: creationId,
        ...inUse(instance, undefined),
      },
    },
    spec: podSpec(input),
  };
};

const podSpec = ({ pod, plan, identity, session }: ManifestInput): object => {
  const env = Object.entries(podEnvironment(pod, identity, plan.mode)).map(([name, value]) => ({
    name,
    value,
  }));
  const spec = {
    ...pod.spec,
    containers: containersOf(pod.spec.containers).map((container, number) => ({
      ...withEnvironment(container, env),
      ...(number === pod.consoleContainerNumber ? consoleFields(pod, session) : {}),
    })),
    ...(pod.spec.initContainers === undefined
      ? {}
      : {
          initContainers: containersOf(pod.spec.initContainers).map((container) =>
            withEnvironment(container, env),
          ),
        }),
  };
  return session === undefined || isSet(pod.spec.restartPolicy) ? spec : { ...spec, restartPolicy: "Never" };
};

const isSet = (value: unknown): boolean => typeof value === "string" && value !== "";

const consoleFields = (pod: KubernetesPod, session: ManifestInput["session"]) =>
  session === undefined
    ? { command: pod.idleCommand }
    : {
        command: session.command.map(literal),
        tty: session.terminal,
        stdin: true,
        stdinOnce: true,
      };

/** Kubernetes replaces `$(NAME)` in a container's command; `$$` stands for one that means itself. */
const literal = (word: string): string => word.replaceAll("$", () => "$$");

/** Only persistent mode without creation works without containers in the configuration. */
const containersOf = (containers: unknown): readonly Container[] =>
  Array.isArray(containers) ? containers : [];

const withEnvironment = (container: Container, env: readonly object[]): Container =>
  env.length === 0 ? container : { ...container, env: [...(container.env ?? []), ...env] };

/** What the login adds to the environment of every program. */
export const loginEnvironment = (pod: KubernetesPod, identity: Identity): Record<string, string> => ({
  ...Object.fromEntries(
    Object.entries(identity.environment).map(([name, { value }]) => [name, Redacted.value(value)]),
  ),
  ...exposed(pod.exposeAuthMetadataAsEnv, identity),
});

/**
 * The same for init containers and idle commands, which only the pod's spec reaches. Whoever may read pods reads it,
 * and a persistent pod keeps it for whoever comes later: there, sensitive values are only given to programs.
 */
const podEnvironment = (
  pod: KubernetesPod,
  identity: Identity,
  mode: PodPlan["mode"],
): Record<string, string> =>
  mode === "persistent"
    ? loginEnvironment(pod, {
        ...identity,
        environment: publicOnly(identity.environment),
        metadata: publicOnly(identity.metadata),
      })
    : loginEnvironment(pod, identity);

const publicOnly = <V extends { readonly sensitive: boolean }>(values: Readonly<Record<string, V>>) =>
  Object.fromEntries(Object.entries(values).filter(([, { sensitive }]) => !sensitive));

/** `{ metadata key: name }` → `{ name: value }` for the keys that are there. */
const exposed = (names: Readonly<Record<string, string>>, { metadata }: Identity): Record<string, string> =>
  Object.fromEntries(
    Object.entries(names).flatMap(([key, name]) => {
      const value = Object.hasOwn(metadata, key) ? metadata[key] : undefined;
      return value === undefined ? [] : [[name, Redacted.value(value.value)]];
    }),
  );

/** Longest value of a label. */
const LABEL_LENGTH = 63;

/** Whether the user's name is too long for a label, which the reference warns about. */
export const isTooLongForLabel = (username: string): boolean => username.length > LABEL_LENGTH;

/** Labels begin and end with a letter or digit; the reference's replacement of other characters is kept. */
const userLabels = ({ connectionId, authenticatedUsername }: Identity): Record<string, string> => {
  const label = authenticatedUsername.replace(/[^A-Za-z0-9.]/g, "-").replace(/^[-.]+|[-.]+$/g, "");
  return {
    [CONNECTION_ID]: connectionId,
    ...(isTooLongForLabel(authenticatedUsername) ? {} : { [USERNAME]: label }),
  };
};

/** `address:port` without the port, an IPv6 address without its brackets. */
const addressOf = (remoteAddress: string): string =>
  remoteAddress.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");

/** The letters of names that Kubernetes generates itself: no vowels, nothing that looks alike. */
const NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789";

/**
 * The name for a new pod. Where Kubernetes would generate one, it is generated here: then a creation whose answer was
 * lost leaves a pod that can be found and removed.
 */
export const newPodName = ({ metadata: { name, generateName } }: KubernetesPod): string =>
  name !== ""
    ? name
    : (generateName === "" ? GENERATE_NAME : generateName) +
      Array.from({ length: 8 }, () => NAME_LETTERS[randomInt(NAME_LETTERS.length)]).join("");
