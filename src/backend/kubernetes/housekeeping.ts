/**
 * What a daemon does for a namespace besides its connections: it says that it lives, removes the pods of daemons that
 * are gone, takes their marks away, and deletes persistent pods that have been idle for too long. All that is known is
 * on the pods, so any daemon does it for all, and a pod that somebody enters at the same moment is not deleted: the
 * API refuses to delete one that has changed since it was looked at. Who could not mark a pod does not hold the silence
 * of others against them, either: they may have lost the same permission.
 */
import type { V1Pod } from "@kubernetes/client-node";
import { Effect, Latch } from "effect";
import type { Logger } from "../../log/logger.ts";
import type { Annotations, CallFailure, PodApi } from "./api.ts";
import { type Chore, choreFor } from "./chores.ts";
import { type InstanceMark, idleDeadline, inUse, leaving, MODE, modeOf, usersOf } from "./marks.ts";
import { watchedPod } from "./pod-watch.ts";
import type { Presence } from "./presence.ts";
import { type Absence, HEARTBEAT_MILLIS, type Witness } from "./witness.ts";

/** On how many pods a daemon renews its mark: one of them may be left at any time, and with it all proof. */
const RENEWED_PODS = 2;

/** What outlives a housekeeper of a namespace, for the next one. */
export interface HousekeepingMemory {
  /** What has been told of missing permissions that are missing still. */
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

/** Whether time alone may make something of a pod that is nothing now: its daemons may go, or its idle time pass. */
const mayComeUp = (pod: V1Pod): boolean =>
  modeOf(pod) !== "persistent" || usersOf(pod).size > 0 || idleDeadline(pod) !== undefined;

const SILENT = "This daemon can't say that it lives, and others will take it for gone";
const BLIND = "Pods that are left over or idle can't be looked for";
const UNMARKED = "A pod can't be marked as in use again";
const UNREMOVED = "A pod that nobody needs can't be removed";

/** What a refusal means for a namespace. */
type Plight = typeof SILENT | typeof BLIND | typeof UNMARKED | typeof UNREMOVED;

type Task = Exclude<Chore, { kind: "nothing" }>;

const isRefusal = ({ _tag }: CallFailure): boolean =>
  _tag === "PermissionDenied" || _tag === "CredentialsRefused";

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

  /** How another daemon is known to be away. */
  absenceOf(instance: string): Absence | undefined {
    return this.#parts.witness.absenceOf(instance);
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
      // Connections may come with credentials of their own, and not all of them may do it.
      const refused = new Set<PodApi>();
      for (const { uid, pod, reach } of presence.in(server, namespace)) {
        if (refused.has(reach.api)) continue;
        this.#beatenAt = performance.now();
        const mark = inUse(instance, reach.api.now());
        const failure = yield* reach.api.annotate(namespace, pod.name, mark, { uid }).pipe(
          Effect.as(undefined),
          Effect.catch((error) => Effect.succeed(error)),
        );
        if (failure === undefined) this.#settle(SILENT);
        else if (failure._tag !== "ObjectMissing") yield* this.#report(failure, SILENT);
        if (failure !== undefined && (isRefusal(failure) || failure._tag === "ConfigError"))
          refused.add(reach.api);
        // A server that is not there would keep us waiting for every pod.
        if (failure === undefined || failure._tag === "ApiUnavailable") renewed += 1;
        if (renewed === RENEWED_PODS) return;
      }
    });
  }

  /** When to look again, if that is known, and whether there is nothing to look for. */
  #tidy(): Effect.Effect<{ readonly again: Date | undefined; readonly isOver: boolean }> {
    const { server, namespace, instance, presence, witness } = this.#parts;
    return Effect.gen({ self: this }, function* () {
      const api = this.#api;
      const { items } = yield* api.list(namespace, MODE);
      this.#settle(BLIND);
      yield* witness.look(items, performance.now());
      const entered = new Map(presence.in(server, namespace).map(({ uid, reach }) => [uid, reach.api]));
      let again: Date | undefined;
      for (const pod of items) {
        const watched = watchedPod(pod);
        const chore = choreFor(pod, {
          self: instance.id,
          now: api.now(),
          absenceOf: (id) => witness.absenceOf(id),
          isHeld: presence.holds(watched),
          isEntered: entered.has(watched.uid),
        });
        if (chore.kind !== "nothing") yield* this.#do(pod, chore, entered.get(watched.uid) ?? api);
        else if (chore.again !== undefined && (again === undefined || chore.again < again))
          again = chore.again;
      }
      return { again, isOver: !items.some(mayComeUp) };
    }).pipe(
      Effect.catch((error) =>
        this.#report(error, BLIND).pipe(Effect.map(() => ({ again: undefined, isOver: this.#isRefused }))),
      ),
    );
  }

  #do(pod: V1Pod, chore: Task, api: PodApi): Effect.Effect<void> {
    const { namespace, logger } = this.#parts;
    const { name } = watchedPod(pod);
    const failed = chore.kind === "mark" ? UNMARKED : UNREMOVED;
    return this.#carryOut(name, chore, api).pipe(
      Effect.tap(() =>
        Effect.sync(() => {
          this.#settle(failed);
          if (chore.kind !== "delete") this.wake();
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
      Effect.catch((error) => this.#report(error, failed)),
    );
  }

  #carryOut(name: string, chore: Task, api: PodApi): Effect.Effect<void, CallFailure> {
    const { namespace, instance } = this.#parts;
    const { preconditions } = chore;
    const change = (annotations: Annotations) => api.annotate(namespace, name, annotations, preconditions);
    switch (chore.kind) {
      case "mark":
        return Effect.asVoid(change(inUse(instance, api.now())));
      case "unmark":
        return Effect.asVoid(change(leaving(chore.instances, api.now())));
      case "delete":
        // Changes nothing and takes `patch` all the same: without it this daemon is as silent as the other one.
        return chore.bySilence
          ? Effect.flatMap(change({}), ({ metadata }) =>
              api.delete(namespace, name, {
                ...preconditions,
                resourceVersion: metadata?.resourceVersion ?? "",
              }),
            )
          : api.delete(namespace, name, preconditions);
    }
  }

  /** What had failed works again: the next time is worth a word again. */
  #settle(what: Plight): void {
    const { told } = this.#parts.memory;
    for (const refusal of told) if (refusal.startsWith(what)) told.delete(refusal);
  }

  /** A refusal is told once. */
  #report(error: CallFailure, what: Plight): Effect.Effect<void> {
    return Effect.sync(() => {
      const { namespace, logger, memory } = this.#parts;
      const isFinal = isRefusal(error);
      if (isFinal) {
        this.#isRefused = true;
        const refusal = [what, error.details?.verb, memory.isNeeded].join(" ");
        if (memory.told.has(refusal)) return;
        memory.told.add(refusal);
      }
      // Whoever can't say that they live are in pods that others may delete, whether their mode makes pods or not.
      const isGrave = memory.isNeeded || what === SILENT;
      const level = !isFinal ? "notice" : isGrave ? "warning" : "info";
      logger.log(level, error.code, `${what}: ${error.message}`, {
        namespace,
        ...error.details,
      });
    });
  }
}
