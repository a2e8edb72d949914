/**
 * What Berth writes on pods: whose they are, what they were made from, who is in them. All state of persistent pods
 * is here, so that it outlives daemons and is shared by several. A mark of use is an annotation for each daemon, so
 * that two never write the same one.
 */
import { createHash } from "node:crypto";
import type { V1Pod } from "@kubernetes/client-node";
import { Duration } from "effect";
import type { PodPlan } from "../../../machines/kubernetes-facts.ts";
import type { KubernetesPod } from "../../config/sections/kubernetes.ts";
import type { Annotations } from "./api.ts";

/** Label: the mode a pod was made for. Every pod of Berth's has it, and nothing without it is ever deleted. */
export const MODE = "berth-mode";
/** Label of pods for one connection or session: the daemon they belong to. */
export const INSTANCE = "berth-instance";
/** Annotation: one creation, to tell a pod whose creation was not answered from another one of its name. */
export const CREATION = "berth-creation";
/** Annotation prefix: a daemon whose connections are in the pod, with the time it last said so. */
const IN_USE = "berth-in-use-";
/** Annotation: when the last connection left, RFC 3339. */
export const LAST_USED = "berth-last-used";
/** Annotation: how many seconds nobody may be in the pod until it is deleted. */
const IDLE_SECONDS = "berth-idle-seconds";
/** Annotation: hash of the spec the pod was made from. */
const SPEC_HASH = "berth-spec-hash";
/** Annotation: hash of the authenticated name of the first user in the pod. */
const FIRST_USER = "berth-first-user";

/** What a pod is made from, in 16 hexadecimal digits. Key order does not matter. */
export const specHash = ({ spec, idleCommand, consoleContainerNumber }: KubernetesPod): string =>
  hashOf(JSON.stringify(sorted({ spec, idleCommand, consoleContainerNumber })));

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, child]) => [key, sorted(child)]),
  );
};

/** Annotations of a persistent pod as it is made. */
export const persistentAnnotations = (pod: KubernetesPod): Record<string, string> => ({
  [SPEC_HASH]: specHash(pod),
  ...(isIdling(pod) ? { [IDLE_SECONDS]: idleSeconds(pod) } : {}),
});

/** A daemon, as it signs its marks. */
export interface InstanceMark {
  readonly id: string;
  /** Where it runs, so that a daemon on the same host can tell at once that it is gone; may be empty. */
  readonly whereabouts: string;
}

/** When a mark was made with the pod, and its daemon has not said since that it lives. */
const UNPROVEN = "-";

/**
 * Annotations that say: this daemon is in the pod. Also its heartbeat, for their text changes with the time. Without
 * `now` it proves nothing yet: a daemon that may create pods and not patch them can never say that it lives, and must
 * not be taken for dead for that.
 */
export const inUse = ({ id, whereabouts }: InstanceMark, now: Date | undefined): Record<string, string> => ({
  [`${IN_USE}${id}`]: `${now?.toISOString() ?? UNPROVEN} ${whereabouts}`.trim(),
});

/** Whether the daemon of this mark has ever shown that it can say it lives. */
export const isProof = (mark: string): boolean => !mark.startsWith(UNPROVEN);

/**
 * For a connection that comes into a pod. Of the idle timeout, the newest configuration is in force that may create the
 * pod.
 */
export const entering = (
  pod: V1Pod,
  { settings, authenticatedUsername }: Entrant,
  instance: InstanceMark,
  now: Date,
): Annotations => ({
  ...inUse(instance, now),
  ...(settings.createMissingPods
    ? { [IDLE_SECONDS]: isIdling(settings) ? idleSeconds(settings) : null }
    : {}),
  ...(firstUserOf(pod) === undefined ? firstUser(authenticatedUsername) : {}),
});

/** A connection that comes into a persistent pod. */
export interface Entrant {
  readonly settings: KubernetesPod;
  readonly authenticatedUsername: string;
}

/** Says who was the first in a persistent pod, in 16 hexadecimal digits of a hash. */
export const firstUser = (authenticatedUsername: string): Record<string, string> => ({
  [FIRST_USER]: hashOf(authenticatedUsername),
});

const firstUserOf = ({ metadata }: V1Pod): string | undefined => metadata?.annotations?.[FIRST_USER];

/** Whether the pod says that somebody else was the first in it. */
export const wasSomebodyElses = (pod: V1Pod, authenticatedUsername: string): boolean =>
  ![undefined, hashOf(authenticatedUsername)].includes(firstUserOf(pod));

const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);

const isIdling = ({ idleTimeout }: KubernetesPod): boolean => Duration.toMillis(idleTimeout) > 0;

const idleSeconds = ({ idleTimeout }: KubernetesPod): string => String(Duration.toSeconds(idleTimeout));

/** For the last connection of each of these daemons that leaves. */
export const leaving = (instanceIds: readonly string[], now: Date): Annotations => ({
  ...Object.fromEntries(instanceIds.map((id) => [`${IN_USE}${id}`, null])),
  [LAST_USED]: now.toISOString(),
});

export const isOurs = ({ metadata }: V1Pod): boolean => metadata?.labels?.[MODE] !== undefined;

export const modeOf = ({ metadata }: V1Pod): PodPlan["mode"] | undefined => {
  const mode = metadata?.labels?.[MODE];
  return mode === "connection" || mode === "session" || mode === "persistent" ? mode : undefined;
};

/** Undefined for a pod that Berth did not make, or that is of no daemon's. */
export const ownerOf = ({ metadata }: V1Pod): string | undefined => metadata?.labels?.[INSTANCE];

/** Daemons that say they are in a pod, by id, with what they said. */
export const usersOf = ({ metadata }: V1Pod): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(metadata?.annotations ?? {})
      .filter(([key]) => key.startsWith(IN_USE))
      .map(([key, value]) => [key.slice(IN_USE.length), value]),
  );

/** Where the daemon of a mark said it runs; empty when it did not. */
export const whereaboutsOf = (mark: string): string => mark.split(" ").slice(1).join(" ");

export const isOutdated = (pod: V1Pod, configured: KubernetesPod): boolean => {
  const hash = pod.metadata?.annotations?.[SPEC_HASH];
  return hash !== undefined && hash !== specHash(configured);
};

/** How long nobody may be in the pod, by what it says; 0 for ever. */
export const idleSecondsOf = ({ metadata }: V1Pod): number =>
  Math.max(0, Number(metadata?.annotations?.[IDLE_SECONDS]) || 0);

/** When an unused pod is to be deleted; undefined for never. */
export const idleDeadline = (pod: V1Pod): Date | undefined => {
  const { metadata } = pod;
  const seconds = idleSecondsOf(pod);
  const lastUsed = Date.parse(metadata?.annotations?.[LAST_USED] ?? "");
  return seconds > 0 && !Number.isNaN(lastUsed) ? new Date(lastUsed + seconds * 1000) : undefined;
};
