/**
 * The calls of the Kubernetes API that Berth makes, as effects: throttled, timed, and failing by what the answer
 * means. They are plain requests, since the client library's own would load the models of every object there is, and
 * drop of a pod what its model doesn't know. Objects are as JSON has them: dates are text, whatever their type says.
 */
import { text } from "node:stream/consumers";
import type { V1Pod, V1PodList } from "@kubernetes/client-node";
import { Duration, Effect } from "effect";
import type { Logger } from "../../log/logger.ts";
import type { ClusterAccess, RequestAccess } from "./access.ts";
import { type ApiCall, failureOfAnswer, failureOfSilence } from "./api-failure.ts";
import { type ApiFailure, type ConfigError, ObjectMissing } from "./failures.ts";
import { requestAccess, responseTo } from "./request.ts";
import type { Throttle } from "./throttle.ts";

export type CallFailure = ApiFailure | ConfigError;

/** Does it only if the pod is still the one that was looked at. */
export interface Preconditions {
  readonly uid: string;
  /** Also only if nothing about it has changed. */
  readonly resourceVersion?: string;
}

export type Annotations = Readonly<Record<string, string | null>>;

export interface PodApi {
  /** The API server's clock, as its last answer told it: all daemons go by it. */
  readonly now: () => Date;
  readonly get: (namespace: string, name: string) => Effect.Effect<V1Pod, CallFailure>;
  readonly list: (namespace: string, labelSelector: string) => Effect.Effect<V1PodList, CallFailure>;
  /** `manifest` is sent as it is. */
  readonly create: (namespace: string, manifest: object) => Effect.Effect<V1Pod, CallFailure>;
  readonly delete: (
    namespace: string,
    name: string,
    preconditions: Preconditions,
  ) => Effect.Effect<void, CallFailure>;
  /**
   * Changes annotations; `null` takes one away. Fails with `ObjectMissing` when the pod is not the one that was looked
   * at, and with `ObjectConflict` when it has changed since.
   */
  readonly annotate: (
    namespace: string,
    name: string,
    annotations: Annotations,
    preconditions: Preconditions,
  ) => Effect.Effect<V1Pod, CallFailure>;
}

export interface ApiParts {
  readonly access: ClusterAccess;
  readonly throttle: Throttle;
  readonly timeout: Duration.Duration;
  readonly logger: Logger;
}

/** Waiting longer than this for our own throttle is worth a line in the log. */
const NOTABLE_WAIT_MILLIS = 1000;

export const podApi = ({ access, throttle, timeout, logger }: ApiParts): PodApi => {
  let aheadMillis = 0;
  const ask = (asked: ApiCall, request: Request): Effect.Effect<Answer, CallFailure> =>
    Effect.gen(function* () {
      const waitedMillis = yield* throttle.take;
      if (waitedMillis >= NOTABLE_WAIT_MILLIS) {
        logger.notice("KUBERNETES_THROTTLED", "A request waited for the limit of kubernetes.connection.qps", {
          ...asked,
          waitedMillis: Math.round(waitedMillis),
        });
      }
      const server = yield* requestAccess(access);
      const answer = yield* Effect.tryPromise({
        try: (signal) => exchange(server, request, [signal, AbortSignal.timeout(Duration.toMillis(timeout))]),
        catch: (error) => failureOfSilence(asked, error),
      });
      if (answer.date !== undefined) aheadMillis = notably(answer.date - Date.now());
      return answer;
    });
  /** Comes back when a server that is busy says that it will be able to, if that is soon enough. */
  const call = <A>(asked: ApiCall, request: Request): Effect.Effect<A, CallFailure> =>
    Effect.gen(function* () {
      const patienceEnds = performance.now() + Duration.toMillis(timeout);
      for (;;) {
        const { status, body, retryAfterMillis } = yield* ask(asked, request);
        if (status < 300) {
          return yield* Effect.try({
            try: () => JSON.parse(body) as A,
            catch: (error) => failureOfSilence(asked, error),
          });
        }
        const isBusy = status === 429 || status >= 500;
        if (!isBusy || retryAfterMillis === undefined || performance.now() + retryAfterMillis > patienceEnds)
          return yield* Effect.fail(failureOfAnswer(asked, status, body));
        logger.notice("KUBERNETES_THROTTLED", "The API server is busy and asks us to come back", {
          ...asked,
          httpStatus: status,
          retryAfterMillis,
        });
        yield* Effect.sleep(retryAfterMillis);
      }
    });

  return {
    now: () => new Date(Date.now() + aheadMillis),
    get: (namespace, name) =>
      call(
        { verb: "get", resource: "pods", namespace, name },
        { method: "GET", path: podPath(namespace, name) },
      ),
    list: (namespace, labelSelector) =>
      call(
        { verb: "list", resource: "pods", namespace },
        { method: "GET", path: `${podsPath(namespace)}?${new URLSearchParams({ labelSelector })}` },
      ),
    create: (namespace, manifest) =>
      call(
        { verb: "create", resource: "pods", namespace },
        // A server that can check for unknown fields does (Kubernetes 1.25); older ones ignore the parameter.
        { method: "POST", path: `${podsPath(namespace)}?fieldValidation=Strict`, body: manifest },
      ),
    delete: (namespace, name, preconditions) =>
      Effect.asVoid(
        call(
          { verb: "delete", resource: "pods", namespace, name },
          { method: "DELETE", path: podPath(namespace, name), body: { preconditions } },
        ),
      ),
    annotate: (namespace, name, annotations, { uid, resourceVersion }) => {
      const asked: ApiCall = { verb: "patch", resource: "pods", namespace, name };
      const metadata = { uid, ...(resourceVersion === undefined ? {} : { resourceVersion }), annotations };
      return call<V1Pod>(asked, {
        method: "PATCH",
        path: podPath(namespace, name),
        body: { metadata },
        contentType: "application/merge-patch+json",
      }).pipe(
        Effect.mapError((error) =>
          error._tag === "ApiRefused" && error.message.includes("metadata.uid")
            ? new ObjectMissing({ message: "Another pod has its name by now", details: { ...asked } })
            : error,
        ),
      );
    },
  };
};

interface Request {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** Path and query after the core API's URL. */
  readonly path: string;
  readonly body?: object | undefined;
  /** Of the body; `application/json` by default. */
  readonly contentType?: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  /** When the server answered by its own clock, in milliseconds since 1970, whole seconds. */
  readonly date: number | undefined;
  /** When to ask again, as a busy server says. */
  readonly retryAfterMillis: number | undefined;
}

/** Of the header `Retry-After`; Kubernetes says seconds. */
const retryAfterMillis = (seconds: string | undefined): number | undefined =>
  seconds !== undefined && /^\d+$/.test(seconds) ? Math.max(1, Number(seconds)) * 1000 : undefined;

/** What answers are late by, and the parts of seconds that they leave out, are no difference between two clocks. */
const notably = (aheadMillis: number): number => (Math.abs(aheadMillis) < 2000 ? 0 : aheadMillis);

/** Path of a namespace's pods after the core API's URL. */
export const podsPath = (namespace: string): string => `/v1/namespaces/${encodeURIComponent(namespace)}/pods`;

export const podPath = (namespace: string, name: string): string =>
  `${podsPath(namespace)}/${encodeURIComponent(name)}`;

const exchange = async (
  server: RequestAccess,
  { method, path, body, contentType = "application/json" }: Request,
  limits: AbortSignal[],
): Promise<Answer> => {
  const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const headers: Record<string, string> =
    content === undefined ? {} : { "Content-Type": contentType, "Content-Length": String(content.length) };
  const response = await responseTo(
    server,
    path,
    { method, signal: AbortSignal.any(limits), headers },
    content,
  );
  const date = Date.parse(response.headers.date ?? "");
  return {
    status: response.statusCode ?? 0,
    body: await text(response),
    date: Number.isNaN(date) ? undefined : date,
    retryAfterMillis: retryAfterMillis(response.headers["retry-after"]),
  };
};
