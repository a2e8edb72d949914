/**
 * Who is in persistent pods. The first connection of this daemon that enters a pod marks it, the last one that leaves
 * takes the mark away; the mark is what keeps any daemon from deleting the pod.
 */
import type { V1Pod } from "@kubernetes/client-node";
import { Duration, Effect, Exit, type Scope, Semaphore } from "effect";
import type { KubernetesPod } from "../../config/sections/kubernetes.ts";
import type { Logger } from "../../log/logger.ts";
import type { CallFailure, PodApi } from "./api.ts";
import { entering, type InstanceMark, leaving } from "./marks.ts";
import { type WatchedPod, watchedPod } from "./pod-watch.ts";
import type { Presence } from "./presence.ts";

interface Occupied {
  readonly pod: WatchedPod;
  connections: number;
  /** Connections that are in it, or on their way in or out. */
  interested: number;
  /** Whether it is deleted when nobody has been in it for a while. */
  idles: boolean;
  /** One change of the mark at a time. */
  readonly turn: Semaphore.Semaphore;
}

export class Occupancy {
  readonly #api: PodApi;
  readonly #presence: Presence;
  readonly #instance: InstanceMark;
  readonly #logger: Logger;
  /** Called when a pod has become idle. */
  readonly #left: (pod: WatchedPod) => void;
  readonly #pods = new Map<string, Occupied>();

  constructor(
    api: PodApi,
    presence: Presence,
    instance: InstanceMark,
    logger: Logger,
    left: (pod: WatchedPod) => void,
  ) {
    this.#api = api;
    this.#presence = presence;
    this.#instance = instance;
    this.#logger = logger;
    this.#left = left;
  }

  /** Enters until the scope closes. The pod as it is with the mark; undefined when it is gone. */
  enter(pod: V1Pod, settings: KubernetesPod): Effect.Effect<V1Pod | undefined, CallFailure, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.suspend(() => this.#come(pod, settings)),
      (entered) => (entered === undefined ? Effect.void : this.#leave(entered.metadata?.uid ?? "")),
      { interruptible: false },
    );
  }

  /** Enters a pod that was created with the mark. */
  adopt(pod: V1Pod, settings: KubernetesPod): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        this.#interest(pod, settings).connections += 1;
      }),
      () => this.#leave(pod.metadata?.uid ?? ""),
    );
  }

  #interest(pod: V1Pod, { idleTimeout }: KubernetesPod): Occupied {
    const watched = watchedPod(pod);
    const occupied = this.#pods.get(watched.uid) ?? {
      pod: watched,
      connections: 0,
      interested: 0,
      idles: false,
      turn: Semaphore.makeUnsafe(1),
    };
    occupied.interested += 1;
    occupied.idles = Duration.toMillis(idleTimeout) > 0;
    this.#presence.hold(watched);
    this.#pods.set(watched.uid, occupied);
    return occupied;
  }

  #loseInterest(occupied: Occupied): void {
    occupied.interested -= 1;
    this.#presence.release(occupied.pod);
    if (occupied.interested === 0) this.#pods.delete(occupied.pod.uid);
  }

  #come(pod: V1Pod, settings: KubernetesPod): Effect.Effect<V1Pod | undefined, CallFailure> {
    const occupied = this.#interest(pod, settings);
    const { namespace, name, uid } = occupied.pod;
    const mark = Effect.suspend(() => {
      if (occupied.connections > 0) return Effect.succeed<V1Pod | undefined>(pod);
      return this.#api.annotate(namespace, name, entering(settings, this.#instance, new Date()), { uid });
    });
    const enter = Effect.tap(mark, () =>
      Effect.sync(() => {
        occupied.connections += 1;
      }),
    );
    return occupied.turn.withPermit(enter).pipe(
      Effect.catchTag("ObjectMissing", () => Effect.succeed(undefined)),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit) || exit.value === undefined) this.#loseInterest(occupied);
        }),
      ),
    );
  }

  #leave(uid: string): Effect.Effect<void> {
    const occupied = this.#pods.get(uid);
    if (occupied === undefined) return Effect.void;
    const { namespace, name } = occupied.pod;
    return occupied.turn.withPermit(
      Effect.suspend(() => {
        occupied.connections -= 1;
        if (occupied.connections > 0) return Effect.sync(() => this.#loseInterest(occupied));
        return this.#api.annotate(namespace, name, leaving([this.#instance.id], new Date()), { uid }).pipe(
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
              this.#loseInterest(occupied);
              if (occupied.idles) this.#left(occupied.pod);
            }),
          ),
        );
      }),
    );
  }
}
