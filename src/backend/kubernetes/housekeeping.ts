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

/** On how many pods a daemon renews its mark: one of them may be left at any time, and with it all proof. */
const RENEWED_PODS = 2;

/** What outlives a housekeeper of a namespace, for the next one. */
export interface HousekeepingMemory {
  /** What has been told of missing permissions. */
  readonly told: Set<string>;
  isNeeded: boolean;
}

export interface HousekeepingParts {
  /** The API server, as `Cluster.server` names it. */
  readonly server: string;
  readonly namespace: string;
  readonly instance: InstanceMark;
  readonly presence: Presence;
  readonly witness: Witness;
  readonly logger: Logger;
  readonly memory: HousekeepingMemory;
}

/** What is to be done with a pod. */
export type Chore =
  | { readonly kind: "nothing"; readonly again: Date | undefined }
  | { readonly kind: "delete"; readonly reason: string; readonly preconditions: Preconditions }
  | { readonly kind: "unmark"; readonly instances: readonly string[]; readonly preconditions: Preconditions };

/** Whether time alone may make something of a pod that is nothing now: its daemons may go, or its idle time pass. */
const mayComeUp = (pod: V1Pod): boolean =>
  modeOf(pod) !== "persistent" || usersOf(pod).size > 0 || idleDeadline(pod) !== undefined;

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
  #api: PodApi;
  /** Whether the last round lacked a permission, or was not known to the API server. */
  #isRefused = false;
  #stays = false;
  #beatenAt = Number.NEGATIVE_INFINITY;

  constructor(parts: HousekeepingParts, api: PodApi) {
    this.#parts = parts;
    this.#api = api;
  }

  /** Another way to the API server, for when the present one is refused. */
  goBy(api: PodApi): void {
    if (!this.#isRefused || api === this.#api) return;
    this.#api = api;
    this.#isRefused = false;
    this.wake();
  }

  /** Goes on when there is nothing to look after, too, if that is permitted. */
  stay(): void {
    this.#stays = true;
  }

  /** There are going to be pods to look after: a permission that is missing is worth a warning. */
  need(): void {
    this.#parts.memory.isNeeded = true;
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

  /** Calls `ended` and ends when this daemon is in no pod here and nothing is left to look after. */
  run(ended: () => void): Effect.Effect<void> {
    const { server, namespace, presence, memory } = this.#parts;
    const round = Effect.gen({ self: this }, function* () {
      this.#bell.closeUnsafe();
      this.#isRefused = false;
      yield* this.#beat();
      const { again, isOver } = yield* this.#tidy();
      const stays = this.#stays && (memory.isNeeded || !this.#isRefused);
      if (isOver && !stays && presence.in(server, namespace).length === 0) {
        ended();
        return true;
      }
      const pauseMillis = Math.min(
        HEARTBEAT_MILLIS,
        Math.max(0, (again?.getTime() ?? Infinity) - this.#api.now().getTime()),
      );
      yield* Effect.raceFirst(Effect.sleep(pauseMillis), this.#bell.await);
      return false;
    });
    return Effect.asVoid(Effect.repeat(round, { until: (isOver) => isOver }));
  }

  /** Renews the marks on some of the pods that this daemon is in. */
  #beat(): Effect.Effect<void> {
    const { server, namespace, instance, presence } = this.#parts;
    return Effect.gen({ self: this }, function* () {
      // Somewhat early is better than a whole round late.
      if (performance.now() - this.#beatenAt < HEARTBEAT_MILLIS / 2) return;
      let renewed = 0;
      for (const { uid, pod, reach } of presence.in(server, namespace)) {
        this.#beatenAt = performance.now();
        const mark = inUse(instance, reach.api.now());
        const isThere = yield* reach.api.annotate(namespace, pod.name, mark, { uid }).pipe(
          Effect.as(true),
          Effect.catchTag("ObjectMissing", () => Effect.succeed(false)),
          Effect.catch((error) =>
            this.#report(error, "This daemon can't say that it lives").pipe(Effect.as(true)),
          ),
        );
        if (isThere) renewed += 1;
        if (renewed === RENEWED_PODS) return;
      }
    });
  }

  /** When to look again, if that is known, and whether there is nothing to look for. */
  #tidy(): Effect.Effect<{ readonly again: Date | undefined; readonly isOver: boolean }> {
    const { namespace, instance, presence, witness } = this.#parts;
    return Effect.gen({ self: this }, function* () {
      const api = this.#api;
      const { items } = yield* api.list(namespace, MODE);
      yield* witness.look(items, performance.now());
      let again: Date | undefined;
      for (const pod of items) {
        const chore = choreFor(pod, {
          self: instance.id,
          now: api.now(),
          isGone: (id) => witness.isGone(id),
          isHeld: presence.holds(watchedPod(pod)),
        });
        if (chore.kind !== "nothing") yield* this.#do(pod, chore);
        else if (chore.again !== undefined && (again === undefined || chore.again < again))
          again = chore.again;
      }
      return { again, isOver: !items.some(mayComeUp) };
    }).pipe(
      Effect.catch((error) =>
        this.#report(error, "Pods that are left over or idle can't be looked for").pipe(
          Effect.map(() => ({ again: undefined, isOver: this.#isRefused })),
        ),
      ),
    );
  }

  #do(pod: V1Pod, chore: Exclude<Chore, { kind: "nothing" }>): Effect.Effect<void> {
    const { namespace, logger } = this.#parts;
    const api = this.#api;
    const { name } = watchedPod(pod);
    const act =
      chore.kind === "unmark"
        ? Effect.asVoid(
            api.annotate(namespace, name, leaving(chore.instances, api.now()), chore.preconditions),
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

  /** A refusal is told once. */
  #report(error: CallFailure, what: string): Effect.Effect<void> {
    return Effect.sync(() => {
      const { namespace, logger, memory } = this.#parts;
      const isRefusal = error._tag === "PermissionDenied" || error._tag === "CredentialsRefused";
      if (isRefusal) {
        this.#isRefused = true;
        const refusal = [what, error.details?.verb, memory.isNeeded].join(" ");
        if (memory.told.has(refusal)) return;
        memory.told.add(refusal);
      }
      const level = !isRefusal ? "notice" : memory.isNeeded ? "warning" : "info";
      logger.log(level, error.code, `${what}: ${error.message}`, {
        namespace,
        ...error.details,
      });
    });
  }
}
