/**
 * Who is in persistent pods. The first connection of this daemon that enters a pod marks it, the last one that leaves
 * takes the mark away; the mark is what keeps any daemon from deleting the pod. A daemon has one occupancy: its
 * connections may come to the same pod with different credentials.
 */
import type { V1Pod } from "@kubernetes/client-node";
import { Duration, Effect, Exit, type Scope, Semaphore } from "effect";
import type { Logger } from "../../log/logger.ts";
import type { CallFailure } from "./api.ts";
import type { Housekeeping } from "./housekeeping.ts";
import { type Entrant, entering, type InstanceMark, idleSecondsOf, leaving, usersOf } from "./marks.ts";
import { type WatchedPod, watchedPod } from "./pod-watch.ts";
import type { Presence, Reach } from "./presence.ts";

/** How a connection reaches its pod, and who looks after the namespace. */
export interface Route {
  readonly cluster: Reach;
  readonly housekeeping: (namespace: string) => Pick<Housekeeping, "wake">;
}

interface Occupied {
  readonly pod: WatchedPod;
  connections: number;
  /** Connections that are in it, or on their way in or out. */
  interested: number;
  /** When this daemon's mark was written last, by `performance.now()`. */
  markedAtMillis: number;
  /** After how long it is deleted when nobody is in it, as the pod says; 0 for never. */
  idleSeconds: number;
  /** One change of the mark at a time. */
  readonly turn: Semaphore.Semaphore;
}

/** The pod as this daemon has marked it just now. */
const keepMark = (occupied: Occupied, marked: V1Pod): void => {
  occupied.markedAtMillis = performance.now();
  occupied.idleSeconds = idleSecondsOf(marked);
};

/** A connection that is in a pod, or on its way. */
interface Stay {
  readonly route: Route;
  readonly occupied: Occupied;
  readonly release: () => void;
}

export class Occupancy {
  readonly #presence: Presence;
  readonly #instance: InstanceMark;
  readonly #logger: Logger;
  readonly #pods = new Map<string, Occupied>();

  constructor(presence: Presence, instance: InstanceMark, logger: Logger) {
    this.#presence = presence;
    this.#instance = instance;
    this.#logger = logger;
  }

  /** Enters until the scope closes. The pod as it is with the mark; undefined when it is gone. */
  enter(
    pod: V1Pod,
    entrant: Entrant,
    route: Route,
  ): Effect.Effect<V1Pod | undefined, CallFailure, Scope.Scope> {
    return Effect.map(
      Effect.acquireRelease(
        Effect.suspend(() => this.#come(pod, entrant, route)),
        (entered) => (entered === undefined ? Effect.void : this.#leave(entered.stay)),
        { interruptible: false },
      ),
      (entered) => entered?.pod,
    );
  }

  /** Enters a pod that was created with the mark. */
  adopt(pod: V1Pod, route: Route): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        const stay = this.#interest(pod, route);
        stay.occupied.connections += 1;
        keepMark(stay.occupied, pod);
        return stay;
      }),
      (stay) => this.#leave(stay),
    );
  }

  #interest(pod: V1Pod, route: Route): Stay {
    const watched = watchedPod(pod);
    const occupied = this.#pods.get(watched.uid) ?? {
      pod: watched,
      connections: 0,
      interested: 0,
      markedAtMillis: Number.NEGATIVE_INFINITY,
      idleSeconds: 0,
      turn: Semaphore.makeUnsafe(1),
    };
    occupied.interested += 1;
    this.#pods.set(watched.uid, occupied);
    return { route, occupied, release: this.#presence.hold(route.cluster, watched) };
  }

  #loseInterest({ occupied, release }: Stay): void {
    occupied.interested -= 1;
    release();
    if (occupied.interested === 0) this.#pods.delete(occupied.pod.uid);
  }

  #come(
    pod: V1Pod,
    entrant: Entrant,
    route: Route,
  ): Effect.Effect<{ readonly pod: V1Pod; readonly stay: Stay } | undefined, CallFailure> {
    const stay = this.#interest(pod, route);
    const { occupied } = stay;
    const { namespace, name, uid } = occupied.pod;
    const { api } = route.cluster;
    const { createMissingPods, idleTimeout } = entrant.settings;
    const seenAtMillis = performance.now();
    // Somebody may have taken this daemon for gone; whoever saw the pod before its mark knows nothing of that.
    const isMarked = () => usersOf(pod).has(this.#instance.id) || occupied.markedAtMillis > seenAtMillis;
    const mark = Effect.suspend(() =>
      occupied.connections > 0 &&
      isMarked() &&
      (!createMissingPods || occupied.idleSeconds === Duration.toSeconds(idleTimeout))
        ? Effect.succeed(pod)
        : api.annotate(namespace, name, entering(pod, entrant, this.#instance, api.now()), { uid }),
    );
    const enter = Effect.map(mark, (marked) => {
      occupied.connections += 1;
      if (marked !== pod) keepMark(occupied, marked);
      return { pod: marked, stay };
    });
    return occupied.turn.withPermit(enter).pipe(
      Effect.catchTag("ObjectMissing", () => Effect.succeed(undefined)),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit) || exit.value === undefined) this.#loseInterest(stay);
        }),
      ),
    );
  }

  #leave(stay: Stay): Effect.Effect<void> {
    const { route, occupied } = stay;
    const { namespace, name, uid } = occupied.pod;
    const { api } = route.cluster;
    return occupied.turn.withPermit(
      Effect.suspend(() => {
        occupied.connections -= 1;
        if (occupied.connections > 0) return Effect.sync(() => this.#loseInterest(stay));
        return api.annotate(namespace, name, leaving([this.#instance.id], api.now()), { uid }).pipe(
          Effect.asVoid,
          Effect.catchTag("ObjectMissing", () => Effect.void),
          Effect.catch((error) =>
            Effect.sync(() =>
              this.#logger.warning(
                error.code,
                `A pod's mark of use could not be taken away and will be later: ${error.message}`,
                { namespace, podName: name },
              ),
            ),
          ),
          Effect.ensuring(
            Effect.sync(() => {
              this.#loseInterest(stay);
              if (occupied.idleSeconds > 0) route.housekeeping(namespace).wake();
            }),
          ),
        );
      }),
    );
  }
}
