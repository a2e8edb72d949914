/** Pods that are followed for several parties, and what they wait for. */
import type { V1Pod } from "@kubernetes/client-node";
import { Effect, type Scope } from "effect";
import type { Logger } from "../../log/logger.ts";
import type { CallFailure } from "./api.ts";
import { ConfigError } from "./failures.ts";
import { followPod, type PodSighting, type WatchedPod, type WatchParts, watchedPod } from "./pod-watch.ts";

/**
 * How soon a server is asked again that refused: a token may have been renewed, a permission given back. Longer from
 * time to time, for all that follow a pod ask it.
 */
const FIRST_PAUSE_MILLIS = 5000;
const LONGEST_PAUSE_MILLIS = 300_000;

/** A pod that several parties follow: it is watched once while anybody does. */
export class FollowedPod {
  #latest: PodSighting;
  #failure: CallFailure | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(latest: PodSighting) {
    this.#latest = latest;
  }

  /** The pod as it was seen last. */
  get latest(): PodSighting {
    return this.#latest;
  }

  see(sighting: PodSighting): void {
    this.#latest = sighting;
    this.#failure = undefined;
    this.#tell();
  }

  /** Nothing is seen any more, at least for a while. */
  fail(failure: CallFailure): void {
    this.#failure = failure;
    this.#tell();
  }

  /**
   * Waits for the first state, the present one included, of which `test` makes something; fails when nothing is seen any
   * more.
   */
  until<A>(test: (sighting: PodSighting) => A | undefined): Effect.Effect<A, CallFailure> {
    return this.#wait<A, CallFailure>(test, (failure) => Effect.fail(failure));
  }

  /** The same, however long nothing is seen. */
  untilSeen<A>(test: (sighting: PodSighting) => A | undefined): Effect.Effect<A> {
    return this.#wait<A, never>(test, () => undefined);
  }

  #wait<A, E>(
    test: (sighting: PodSighting) => A | undefined,
    blinded: (failure: CallFailure) => Effect.Effect<never, E> | undefined,
  ): Effect.Effect<A, E> {
    return Effect.callback<A, E>((resume) => {
      const listener = (): void => {
        const found = test(this.#latest);
        const end = found !== undefined ? Effect.succeed(found) : this.#failure && blinded(this.#failure);
        if (end === undefined) return;
        this.#listeners.delete(listener);
        resume(end);
      };
      this.#listeners.add(listener);
      listener();
      return Effect.sync(() => void this.#listeners.delete(listener));
    });
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Follows pods, each once however many ask. */
export class PodWatches {
  readonly #parts: WatchParts;
  readonly #logger: Logger;
  readonly #shared = new Map<string, { readonly pod: FollowedPod; followers: number; stop: () => void }>();

  constructor(parts: WatchParts, logger: Logger) {
    this.#parts = parts;
    this.#logger = logger;
  }

  /**
   * Follows a pod until the scope closes. A watch that the server refuses is logged once, fails its waiters and is tried
   * again.
   */
  follow(latest: V1Pod): Effect.Effect<FollowedPod, never, Scope.Scope> {
    const pod = watchedPod(latest);
    return Effect.acquireRelease(
      Effect.sync(() => this.#join(pod, latest)),
      () => Effect.sync(() => this.#leave(pod.uid)),
    );
  }

  #join(pod: WatchedPod, latest: V1Pod): FollowedPod {
    const known = this.#shared.get(pod.uid);
    if (known !== undefined) {
      known.followers += 1;
      return known.pod;
    }
    const followed = new FollowedPod(latest);
    const abort = new AbortController();
    this.#shared.set(pod.uid, { pod: followed, followers: 1, stop: () => abort.abort() });
    let pauseMillis = FIRST_PAUSE_MILLIS;
    const give = (failure: CallFailure) =>
      Effect.suspend(() => {
        const level = pauseMillis === FIRST_PAUSE_MILLIS ? "warning" : "debug";
        this.#logger.log(level, failure.code, failure.message, failure.details);
        followed.fail(failure);
        const pause = Effect.sleep(pauseMillis);
        pauseMillis = Math.min(2 * pauseMillis, LONGEST_PAUSE_MILLIS);
        return Effect.as(pause, false);
      });
    let from: PodSighting = latest;
    const round = Effect.suspend(() => {
      const begin = from;
      from = undefined;
      return Effect.as(
        followPod(this.#parts, pod, begin, (sighting) => followed.see(sighting)),
        true,
      );
    }).pipe(
      Effect.catch(give),
      // A bug of ours must not pass for a pod that never changes.
      Effect.catchDefect((defect) => give(new ConfigError({ message: String(defect), cause: defect }))),
    );
    Effect.runFork(Effect.repeat(round, { until: (isOver) => isOver }), { signal: abort.signal });
    return followed;
  }

  #leave(uid: string): void {
    const known = this.#shared.get(uid);
    if (known === undefined) return;
    known.followers -= 1;
    if (known.followers > 0) return;
    this.#shared.delete(uid);
    known.stop();
  }
}
