/**
 * Follows one pod: a GET, then a watch from there, again and again. (The client library's watch hides the API
 * server's answer when it refuses; a refusal must name the permission that is missing.)
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";
import type { V1Pod } from "@kubernetes/client-node";
import { Duration, Effect, Schedule, type Scope } from "effect";
import type { Logger } from "../../log/logger.ts";
import type { ClusterAccess } from "./access.ts";
import { type CallFailure, type PodApi, podsPath } from "./api.ts";
import { type ApiCall, failureOfAnswer, failureOfSilence } from "./api-failure.ts";
import { ConfigError } from "./failures.ts";
import { openRequest, requestAccess } from "./request.ts";

/** What is known of a pod; undefined when it is gone, or another pod has its name. */
export type PodSighting = V1Pod | undefined;

export interface WatchParts {
  readonly access: ClusterAccess;
  readonly api: PodApi;
  readonly timeout: Duration.Duration;
}

export interface WatchedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** The server ends a watch after this time: one that lost its server is noticed by then at the latest. */
const WATCH_SECONDS = 240;

/** How soon the connection of a silent watch is checked. */
const KEEP_ALIVE_MILLIS = 5000;

/**
 * Calls `see` with every state of a pod after `latest`, until it is gone or the effect is interrupted. A server that
 * can't be reached is asked again and again, one that refuses is not.
 */
const followPod = (
  parts: WatchParts,
  pod: WatchedPod,
  latest: V1Pod,
  see: (sighting: PodSighting) => void,
): Effect.Effect<void, CallFailure> => {
  let known: PodSighting = latest;
  const round = Effect.gen(function* () {
    if (known === undefined) {
      known = yield* currentPod(parts.api, pod);
      see(known);
    }
    if (known === undefined) return true;
    const from = known.metadata?.resourceVersion ?? "";
    known = undefined;
    return yield* watchOnce(parts, pod, from, see);
  });
  return Effect.asVoid(
    Effect.repeat(
      Effect.retry(round, {
        while: ({ _tag }) => _tag === "ApiUnavailable",
        schedule: Schedule.spaced("1 second"),
      }),
      { until: (isGone) => isGone },
    ),
  );
};

/** The pod, if it is there and still the same one. */
export const currentPod = (
  api: PodApi,
  { namespace, name, uid }: WatchedPod,
): Effect.Effect<PodSighting, CallFailure> =>
  Effect.catchTag(
    Effect.map(api.get(namespace, name), (found) => (found.metadata?.uid === uid ? found : undefined)),
    "ObjectMissing",
    () => Effect.succeed(undefined),
  );

/** Whether the pod was seen to go; otherwise the watch has ended and must be begun again. */
const watchOnce = (
  { access, timeout }: WatchParts,
  { namespace, name, uid }: WatchedPod,
  resourceVersion: string,
  see: (sighting: PodSighting) => void,
): Effect.Effect<boolean, CallFailure> => {
  const call: ApiCall = { verb: "watch", resource: "pods", namespace, name };
  const query = new URLSearchParams({
    watch: "true",
    fieldSelector: `metadata.name=${name}`,
    resourceVersion,
    timeoutSeconds: String(WATCH_SECONDS),
  });
  return Effect.flatMap(requestAccess(access), (server) =>
    Effect.callback<boolean, CallFailure>((resume) => {
      const request = openRequest(server, `${podsPath(namespace)}?${query}`);
      const failed = (error: unknown): void => resume(Effect.fail(failureOfSilence(call, error)));
      const patience = setTimeout(
        () => request.destroy(new Error("the watch was not answered in time")),
        Duration.toMillis(timeout),
      );
      request.once("response", (response) => {
        clearTimeout(patience);
        if (response.statusCode !== 200) {
          buffer(response).then(
            (body) => resume(Effect.fail(failureOfAnswer(call, response.statusCode ?? 0, body))),
            failed,
          );
          return;
        }
        response.socket.setKeepAlive(true, KEEP_ALIVE_MILLIS);
        readEvents(response, uid, see, (isGone) => resume(Effect.succeed(isGone)));
      });
      request.once("error", failed);
      request.end();
      return Effect.sync(() => abandon(request, patience));
    }),
  );
};

const abandon = (request: ClientRequest, patience: NodeJS.Timeout): void => {
  clearTimeout(patience);
  request.on("error", () => undefined);
  request.destroy();
};

interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: V1Pod;
}

const readEvents = (
  response: IncomingMessage,
  uid: string,
  see: (sighting: PodSighting) => void,
  done: (isGone: boolean) => void,
): void => {
  const lines = createInterface(response);
  let hasEnded = false;
  const end = (isGone: boolean): void => {
    if (hasEnded) return;
    hasEnded = true;
    response.destroy();
    done(isGone);
  };
  lines.on("line", (line) => {
    if (hasEnded) return;
    const event = eventOf(line);
    // ERROR says that the version to begin from is too old: the next round begins from a new one.
    if (event === undefined || event.type === "ERROR") return end(false);
    if (event.object.metadata?.uid !== uid) return;
    if (event.type === "DELETED") {
      see(undefined);
      return end(true);
    }
    if (event.type !== "BOOKMARK") see(event.object);
  });
  // A connection that breaks is an end like any other: the next round tells whether the server is there.
  response.on("error", () => end(false));
  lines.on("error", () => end(false));
  lines.on("close", () => end(false));
};

/** Undefined for a line that broke off. */
const eventOf = (line: string): WatchEvent | undefined => {
  try {
    return JSON.parse(line) as WatchEvent;
  } catch {
    return undefined;
  }
};

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
    this.#tell();
  }

  /** Nothing will be seen any more. */
  fail(failure: CallFailure): void {
    this.#failure = failure;
    this.#tell();
  }

  /** Waits for the first state, the present one included, of which `test` makes something. */
  until<A>(test: (sighting: PodSighting) => A | undefined): Effect.Effect<A, CallFailure> {
    return Effect.callback<A, CallFailure>((resume) => {
      const listener = (): void => {
        const found = test(this.#latest);
        if (found !== undefined) resume(Effect.succeed(found));
        else if (this.#failure !== undefined) resume(Effect.fail(this.#failure));
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

  /** Follows a pod until the scope closes. A watch that the server refuses is logged and fails its waiters. */
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
    const give = (failure: CallFailure) =>
      Effect.sync(() => {
        this.#logger.warning(failure.code, failure.message, failure.details);
        followed.fail(failure);
      });
    const following = followPod(this.#parts, pod, latest, (sighting) => followed.see(sighting)).pipe(
      Effect.catch(give),
      // A bug of ours must not pass for a pod that never changes.
      Effect.catchDefect((defect) => give(new ConfigError({ message: String(defect), cause: defect }))),
    );
    Effect.runFork(following, { signal: abort.signal });
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

export const watchedPod = ({ metadata }: V1Pod): WatchedPod => ({
  namespace: metadata?.namespace ?? "",
  name: metadata?.name ?? "",
  uid: metadata?.uid ?? "",
});
