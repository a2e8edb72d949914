/** What a daemon is to do with a pod of Berth's that it comes upon: nothing but what the pod itself proves. */
import type { V1Pod } from "@kubernetes/client-node";
import type { Preconditions } from "./api.ts";
import { idleDeadline, isOurs, modeOf, ownerOf, usersOf } from "./marks.ts";
import { watchedPod } from "./pod-watch.ts";
import type { Absence } from "./witness.ts";

/** How old a pod of this daemon's that nothing holds must be: its creation may not have been answered yet. */
const ORPHAN_AGE_MILLIS = 60_000;

/** What is to be done with a pod. */
export type Chore =
  | { readonly kind: "nothing"; readonly again: Date | undefined }
  | {
      readonly kind: "delete";
      readonly reason: string;
      /** Nothing but its daemon's silence tells that nobody is in it. */
      readonly bySilence: boolean;
      readonly preconditions: Preconditions;
    }
  /** Somebody took this daemon for gone while its connections were in the pod. */
  | { readonly kind: "mark"; readonly preconditions: Preconditions }
  | { readonly kind: "unmark"; readonly instances: readonly string[]; readonly preconditions: Preconditions };

/** What is known besides the pod itself. */
export interface Circumstances {
  readonly self: string;
  readonly now: Date;
  readonly absenceOf: (instance: string) => Absence | undefined;
  /** By its name, or by its uid. */
  readonly isHeld: boolean;
  /** It is this very pod that connections of this daemon are in. */
  readonly isEntered: boolean;
}

const nothing: Chore = { kind: "nothing", again: undefined };

/** Decides about one pod of Berth's. */
export const choreFor = (pod: V1Pod, circumstances: Circumstances): Chore => {
  const { self, now, absenceOf, isHeld, isEntered } = circumstances;
  if (!isOurs(pod) || pod.metadata?.deletionTimestamp !== undefined) return nothing;
  const preconditions = { uid: watchedPod(pod).uid, resourceVersion: pod.metadata?.resourceVersion ?? "" };
  const users = [...usersOf(pod).keys()];
  if (modeOf(pod) !== "persistent")
    return isHeld ? nothing : choreForOwned(pod, circumstances, preconditions);
  if (isHeld) return isEntered && !users.includes(self) ? { kind: "mark", preconditions } : nothing;
  const left = users.filter((id) => id === self || absenceOf(id) !== undefined);
  if (left.length > 0) return { kind: "unmark", instances: left, preconditions };
  const deadline = idleDeadline(pod);
  if (users.length > 0 || deadline === undefined) return nothing;
  return deadline <= now
    ? { kind: "delete", reason: "it was idle for too long", bySilence: false, preconditions }
    : { kind: "nothing", again: deadline };
};

/** A pod for one connection or session, which lives as long as its daemon wants it. */
const choreForOwned = (
  pod: V1Pod,
  { self, now, absenceOf }: Circumstances,
  preconditions: Preconditions,
): Chore => {
  const owner = ownerOf(pod);
  if (owner === undefined) return nothing;
  if (owner !== self) {
    const absence = absenceOf(owner);
    return absence === undefined
      ? nothing
      : { kind: "delete", reason: "its daemon is gone", bySilence: absence === "silent", preconditions };
  }
  const created = pod.metadata?.creationTimestamp;
  const isOrphan = created !== undefined && now.getTime() - new Date(created).getTime() > ORPHAN_AGE_MILLIS;
  return isOrphan
    ? { kind: "delete", reason: "its connection is gone", bySilence: false, preconditions }
    : nothing;
};
