/**
 * What a daemon does for a namespace besides its connections: it says that it lives, removes the pods of daemons that
 * are gone, takes their marks away, and deletes persistent pods that have been idle for too long. All that is known is
 * on the pods, so any daemon does it for all, and a pod that somebody enters at the same moment is not deleted: the
 * API refuses to delete one that has changed since it was looked at.
 */
import type { V1Pod } from "@kubernetes/client-node";
import { Effect, Latch } from "effect";
import type { Logger } from "../../log/logger.ts";
import type { CallFailure, PodApi, Preconditions } from "./api.ts";
import {
  type InstanceMark,
  idleDeadline,
  inUse,
  isOurs,
  leaving,
  MODE,
  modeOf,
  ownerOf,
  usersOf,
} from "./marks.ts";
import { watchedPod } from "./pod-watch.ts";
import type { Presence } from "./presence.ts";
import { HEARTBEAT_MILLIS, type Witness } from "./witness.ts";

/** How old a pod of this daemon's that nothing holds must be: its creation may not have been answered yet. */
const ORPHAN_AGE_MILLIS = 60_000;

export interface HousekeepingParts {
  readonly api: PodApi;
  readonly namespace: string;
  readonly instance: InstanceMark;
  readonly presence: Presence;
  readonly witness: Witness;
  readonly logger: Logger;
}

/** What is to be done with a pod. */
export type Chore =
  | { readonly kind: "nothing"; readonly again: Date | undefined }
  | { readonly kind: "delete"; readonly reason: string; readonly preconditions: Preconditions }
  | { readonly kind: "unmark"; readonly instances: readonly string[]; readonly preconditions: Preconditions };

/** What is known besides the pod itself. */
export interface Circumstances {
  readonly self: string;
  readonly now: Date;
  readonly isGone: (instance: string) => boolean;
  readonly isHeld: boolean;
}

const nothing: Chore = { kind: "nothing", again: undefined };

/** Decides about one pod of Berth's. */
export const choreFor = (pod: V1Pod, { self, now, isGone, isHeld }: Circumstances): Chore => {
  const { uid } = watchedPod(pod);
  if (!isOurs(pod) || isHeld || pod.metadata?.deletionTimestamp !== undefined) return nothing;
  const resourceVersion = pod.metadata?.resourceVersion ?? "";
  if (modeOf(pod) !== "persistent") {
    const owner = ownerOf(pod);
    if (owner === undefined) return nothing;
    if (owner !== self) {
      return isGone(owner)
        ? { kind: "delete", reason: "its daemon is gone", preconditions: { uid } }
        : nothing;
    }
    const created = pod.metadata?.creationTimestamp;
    const isOrphan = created !== undefined && now.getTime() - new Date(created).getTime() > ORPHAN_AGE_MILLIS;
    return isOrphan ? { kind: "delete", reason: "its connection is gone", preconditions: { uid } } : nothing;
  }
  const users = [...usersOf(pod).keys()];
  const left = users.filter((id) => id === self || isGone(id));
  if (left.length > 0) return { kind: "unmark", instances: left, preconditions: { uid, resourceVersion } };
  const deadline = idleDeadline(pod);
  if (users.length > 0 || deadline === undefined) return nothing;
  return deadline <= now
    ? { kind: "delete", reason: "it was idle for too long", preconditions: { uid, resourceVersion } }
    : { kind: "nothing", again: deadline };
};

export class Housekeeping {
  readonly #parts: HousekeepingParts;
  readonly #bell = Latch.makeUnsafe(false);
  readonly #refused = new Set<string>();
  #beatenAt = Number.NEGATIVE_INFINITY;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
  }

  /** Something has changed: look again now. */
  wake(): void {
    this.#bell.openUnsafe();
  }

  /** A pod has come: the first one's mark is proven at once. */
  welcome(): void {
    if (this.#beatenAt === Number.NEGATIVE_INFINITY) this.wake();
  }

  /** Whether it is certain that a daemon is gone. */
  isGone(instance: string): boolean {
    return this.#parts.witness.isGone(instance);
  }

  /** Never ends. */
  readonly run: Effect.Effect<never> = Effect.forever(
    Effect.gen({ self: this }, function* () {
      this.#bell.closeUnsafe();
      yield* this.#beat();
      const again = yield* this.#tidy();
      const pauseMillis = Math.min(
        HEARTBEAT_MILLIS,
        Math.max(0, (again?.getTime() ?? Infinity) - Date.now()),
      );
      yield* Effect.raceFirst(Effect.sleep(pauseMillis), this.#bell.await);
    }),
  );

  /** Renews the mark on one of the pods that this daemon is in. */
  #beat(): Effect.Effect<void> {
    const { api, namespace, instance, presence } = this.#parts;
    return Effect.gen({ self: this }, function* () {
      // Somewhat early is better than a whole round late.
      if (performance.now() - this.#beatenAt < HEARTBEAT_MILLIS / 2) return;
      for (const { name, uid } of presence.in(namespace)) {
        if (uid === undefined) continue;
        this.#beatenAt = performance.now();
        const isDone = yield* api.annotate(namespace, name, inUse(instance, new Date()), { uid }).pipe(
          Effect.as(true),
          Effect.catchTag("ObjectMissing", () => Effect.succeed(false)),
          Effect.catch((error) =>
            this.#report(error, "This daemon can't say that it lives").pipe(Effect.as(true)),
          ),
        );
        if (isDone) return;
      }
    });
  }

  /** When to look again, if that is known. */
  #tidy(): Effect.Effect<Date | undefined> {
    const { api, namespace, instance, presence, witness } = this.#parts;
    return Effect.gen({ self: this }, function* () {
      const { items } = yield* api.list(namespace, MODE);
      yield* witness.look(items, performance.now());
      let again: Date | undefined;
      for (const pod of items) {
        const chore = choreFor(pod, {
          self: instance.id,
          now: new Date(),
          isGone: (id) => witness.isGone(id),
          isHeld: presence.holds(watchedPod(pod)),
        });
        if (chore.kind !== "nothing") yield* this.#do(pod, chore);
        else if (chore.again !== undefined && (again === undefined || chore.again < again))
          again = chore.again;
      }
      return again;
    }).pipe(
      Effect.catch((error) =>
        Effect.as(this.#report(error, "Pods that are left over or idle can't be looked for"), undefined),
      ),
    );
  }

  #do(pod: V1Pod, chore: Exclude<Chore, { kind: "nothing" }>): Effect.Effect<void> {
    const { api, namespace, logger } = this.#parts;
    const { name } = watchedPod(pod);
    const act =
      chore.kind === "unmark"
        ? Effect.asVoid(
            api.annotate(namespace, name, leaving(chore.instances, new Date()), chore.preconditions),
          )
        : api.delete(namespace, name, chore.preconditions);
    return act.pipe(
      Effect.tap(() =>
        Effect.sync(() => {
          if (chore.kind === "unmark") this.wake();
          else {
            logger.info("KUBERNETES_POD_REMOVE", `A pod was deleted: ${chore.reason}`, {
              namespace,
              podName: name,
            });
          }
        }),
      ),
      // Somebody was faster: gone, or changed and to be looked at again.
      Effect.catchTag(["ObjectMissing", "ObjectConflict"], () => Effect.sync(() => this.wake())),
      Effect.catch((error) => this.#report(error, "A pod that nobody needs can't be removed")),
    );
  }

  /** A permission that is missing is told once. */
  #report(error: CallFailure, what: string): Effect.Effect<void> {
    return Effect.sync(() => {
      const { logger, namespace } = this.#parts;
      const isRefusal = error._tag === "PermissionDenied";
      if (isRefusal && this.#refused.has(error.message)) return;
      if (isRefusal) this.#refused.add(error.message);
      logger.log(isRefusal ? "warning" : "notice", error.code, `${what}: ${error.message}`, {
        namespace,
        ...error.details,
      });
    });
  }
}
