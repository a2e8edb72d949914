/**
 * Follows one pod: a GET, then a watch from there, again and again. (The client library's watch hides the API
 * server's answer when it refuses; a refusal must name the permission that is missing.)
 */
import type { IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";
import type { V1Pod } from "@kubernetes/client-node";
import { Duration, Effect, Schedule } from "effect";
import type { ClusterAccess } from "./access.ts";
import { type CallFailure, type PodApi, podsPath } from "./api.ts";
import { type ApiCall, failureOfAnswer, failureOfSilence } from "./api-failure.ts";
import { openRequest, requestAccess } from "./request.ts";

/** What is known of a pod; undefined when it is gone, or another pod has its name. */
export type PodSighting = V1Pod | undefined;

export interface WatchParts {
  readonly access: ClusterAccess;
  readonly api: PodApi;
  readonly timeout: Duration.Duration;
  /** How long a watch lasts that nothing ends earlier. Default 240. */
  readonly watchSeconds?: number;
}

export interface WatchedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** The server ends a watch after this time, or else we do: one that lost its server is noticed by then at the latest. */
const WATCH_SECONDS = 240;

/** Watches do not begin more often than this: somebody between us and the server may end each of them at once. */
const WATCH_PAUSE_MILLIS = 1000;

/** How soon the connection of a silent watch is checked. */
const KEEP_ALIVE_MILLIS = 5000;

/**
 * Calls `see` with every state of a pod after `latest`, or from now on, until it is gone or the effect is interrupted. A
 * server that can't be reached is asked again and again, one that refuses is not.
 */
export const followPod = (
  parts: WatchParts,
  pod: WatchedPod,
  latest: PodSighting,
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
    const [lasted, isGone] = yield* Effect.timed(watchOnce(parts, pod, from, see));
    if (!isGone) yield* Effect.sleep(Math.max(0, WATCH_PAUSE_MILLIS - Duration.toMillis(lasted)));
    return isGone;
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
  { access, timeout, watchSeconds = WATCH_SECONDS }: WatchParts,
  { namespace, name, uid }: WatchedPod,
  resourceVersion: string,
  see: (sighting: PodSighting) => void,
): Effect.Effect<boolean, CallFailure> => {
  const call: ApiCall = { verb: "watch", resource: "pods", namespace, name };
  const query = new URLSearchParams({
    watch: "true",
    fieldSelector: `metadata.name=${name}`,
    resourceVersion,
    timeoutSeconds: String(watchSeconds),
  });
  return Effect.flatMap(requestAccess(access), (server) =>
    Effect.callback<boolean, CallFailure>((resume) => {
      const request = openRequest(server, `${podsPath(namespace)}?${query}`);
      const failed = (error: unknown): void => resume(Effect.fail(failureOfSilence(call, error)));
      let patience = setTimeout(
        () => request.destroy(new Error("the watch was not answered in time")),
        Duration.toMillis(timeout),
      );
      request.once("response", (response) => {
        clearTimeout(patience);
        if (response.statusCode === GONE) {
          response.resume();
          resume(Effect.succeed(false));
          return;
        }
        if (response.statusCode !== 200) {
          buffer(response).then(
            (body) => resume(Effect.fail(failureOfAnswer(call, response.statusCode ?? 0, body))),
            failed,
          );
          return;
        }
        response.socket.setKeepAlive(true, KEEP_ALIVE_MILLIS);
        patience = setTimeout(
          () => response.destroy(new Error("the watch was not ended in time")),
          watchSeconds * 1000 + Duration.toMillis(timeout),
        );
        readEvents(response, uid, see, (isGone) => {
          clearTimeout(patience);
          resume(Effect.succeed(isGone));
        });
      });
      request.once("error", failed);
      request.end();
      return Effect.sync(() => {
        clearTimeout(patience);
        request.on("error", () => undefined);
        request.destroy();
      });
    }),
  );
};

/** The version to begin from is too old; the server may say so before it begins, or as the first event. */
const GONE = 410;

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
    // ERROR most often says 410, too: the next round begins from a new version.
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

export const watchedPod = ({ metadata }: V1Pod): WatchedPod => ({
  namespace: metadata?.namespace ?? "",
  name: metadata?.name ?? "",
  uid: metadata?.uid ?? "",
});
