/**
 * The calls of the Kubernetes API that Berth makes, as effects: throttled, timed, and failing by what the answer
 * means. Pods are created from the configuration's own text: the client's model of a pod would drop what it doesn't
 * know.
 */
import {
  ApiException,
  CoreV1Api,
  createConfiguration,
  IsomorphicFetchHttpLibrary,
  type RequestContext,
  ServerConfiguration,
  type V1Pod,
  type V1PodList,
  wrapHttpLibrary,
} from "@kubernetes/client-node";
import { Duration, Effect } from "effect";
import type { Logger } from "../../log/logger.ts";
import type { ClusterAccess } from "./access.ts";
import { type ApiCall, failureOfAnswer, failureOfSilence } from "./api-failure.ts";
import { type ApiFailure, ConfigError, ObjectMissing } from "./failures.ts";
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

export const podApi = (parts: ApiParts): PodApi => {
  const { throttle, logger } = parts;
  const core = new CoreV1Api(createConfiguration({ baseServer: new ServerConfiguration("http://api", {}) }));

  const call = <A>(
    asked: ApiCall,
    send: (options: CallOptions) => Promise<A>,
    change?: (request: RequestContext) => void,
  ): Effect.Effect<A, CallFailure> =>
    Effect.flatMap(throttle.take, (waitedMillis) => {
      if (waitedMillis >= NOTABLE_WAIT_MILLIS) {
        logger.notice("KUBERNETES_THROTTLED", "A request waited for the limit of kubernetes.connection.qps", {
          ...asked,
          waitedMillis: Math.round(waitedMillis),
        });
      }
      return Effect.tryPromise({
        try: (signal) => send({ httpApi: transport(parts, signal, change) }),
        catch: (error) => failureOf(asked, error),
      });
    });

  return {
    get: (namespace, name) =>
      call({ verb: "get", resource: "pods", namespace, name }, (options) =>
        core.readNamespacedPod({ namespace, name }, options),
      ),
    list: (namespace, labelSelector) =>
      call({ verb: "list", resource: "pods", namespace }, (options) =>
        core.listNamespacedPod({ namespace, labelSelector }, options),
      ),
    create: (namespace, manifest) =>
      call(
        { verb: "create", resource: "pods", namespace },
        // A server that can check for unknown fields does (Kubernetes 1.25); older ones ignore the parameter.
        (options) => core.createNamespacedPod({ namespace, body: {}, fieldValidation: "Strict" }, options),
        (request) => request.setBody(JSON.stringify(manifest)),
      ),
    delete: (namespace, name, preconditions) =>
      Effect.asVoid(
        call({ verb: "delete", resource: "pods", namespace, name }, (options) =>
          core.deleteNamespacedPod({ namespace, name, body: { preconditions } }, options),
        ),
      ),
    annotate: (namespace, name, annotations, { uid, resourceVersion }) => {
      const asked: ApiCall = { verb: "patch", resource: "pods", namespace, name };
      const metadata = { uid, ...(resourceVersion === undefined ? {} : { resourceVersion }), annotations };
      return call(
        asked,
        (options) => core.patchNamespacedPod({ namespace, name, body: { metadata } }, options),
        (request) => request.setHeaderParam("Content-Type", "application/merge-patch+json"),
      ).pipe(
        Effect.mapError((error) =>
          error._tag === "ApiRefused" && error.message.includes("metadata.uid")
            ? new ObjectMissing({ message: "Another pod has its name by now", details: { ...asked } })
            : error,
        ),
      );
    },
  };
};

type CallOptions = NonNullable<Parameters<CoreV1Api["readNamespacedPod"]>[1]>;

const http = new IsomorphicFetchHttpLibrary();

/** Sends a request to where the API server is now, with who we are now. */
const transport = (
  { access, timeout }: ApiParts,
  signal: AbortSignal,
  change: ((request: RequestContext) => void) | undefined,
): NonNullable<CallOptions["httpApi"]> =>
  wrapHttpLibrary({
    send: async (request) => {
      const { url, agent, headers } = await access.request();
      request.setUrl(request.getUrl().replace(/^http:\/\/api\/api/, url));
      request.setAgent(agent);
      for (const [name, value] of Object.entries(headers)) request.setHeaderParam(name, value);
      request.setHeaderParam("User-Agent", "berth");
      request.setSignal(AbortSignal.any([signal, AbortSignal.timeout(Duration.toMillis(timeout))]));
      change?.(request);
      return http.send(request).toPromise();
    },
  });

const failureOf = (asked: ApiCall, error: unknown): CallFailure => {
  if (error instanceof ConfigError) return error;
  if (error instanceof ApiException) return failureOfAnswer(asked, error.code, error.body);
  return failureOfSilence(asked, error);
};
