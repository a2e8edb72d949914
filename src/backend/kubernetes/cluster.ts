/**
 * One API server as the backend uses it: its calls, its exec channels, the pods that are followed, and what has been
 * learned about images. Shared by all connections of a daemon that have the same `kubernetes.connection`.
 */
import { Duration, Effect, type Scope } from "effect";
import type { KubernetesConnection } from "../../config/sections/kubernetes.ts";
import type { Logger } from "../../log/logger.ts";
import { ClusterAccess } from "./access.ts";
import { type CallFailure, type PodApi, podApi, podPath } from "./api.ts";
import { type Channels, type ChannelsRequest, openChannels } from "./channels.ts";
import type { ConfigError } from "./failures.ts";
import { PodWatches } from "./followed-pod.ts";
import { requestAccess, responseTo } from "./request.ts";
import type { Throttle, Throttles } from "./throttle.ts";

/** Where programs run. */
export interface ContainerAddress {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** PodExecOptions and PodAttachOptions of the API. */
export interface StreamRequest {
  readonly container: ContainerAddress;
  /** Missing: attach to the container's own program. */
  readonly command?: readonly string[];
  readonly stdin: boolean;
  readonly terminal: boolean;
  readonly timeout: Duration.Duration;
  readonly filters?: ChannelsRequest["filters"];
}

/** How long an API server may take to prove that it lives when its pings are not answered. */
const LIVENESS_MILLIS = 2000;

export class Cluster {
  /** The core API's URL: where the pods are that it tells of. */
  readonly server: string;
  readonly api: PodApi;
  readonly watches: PodWatches;
  /** Images by id in which something was looked for and not found: a shell, the guest agent. */
  readonly lacks = { shell: new Set<string>(), agent: new Set<string>() };
  readonly #access: ClusterAccess;

  private constructor(access: ClusterAccess, throttle: Throttle, timeout: Duration.Duration, logger: Logger) {
    this.#access = access;
    this.server = access.server;
    this.api = podApi({ access, throttle, timeout, logger });
    this.watches = new PodWatches({ access, api: this.api, timeout }, logger);
  }

  /** @throws ConfigError when the credentials can't be read. */
  static at(
    connection: KubernetesConnection,
    timeout: Duration.Duration,
    logger: Logger,
    throttles: Throttles,
  ): Cluster {
    const access = ClusterAccess.from(connection);
    const throttle = throttles.of(access.server, connection.qps, connection.burst);
    return new Cluster(access, throttle, timeout, logger);
  }

  /** Opens exec or attach; closing the scope closes the connection and leaves the program to itself. */
  stream(request: StreamRequest): Effect.Effect<Channels, CallFailure | ConfigError, Scope.Scope> {
    const { container, command, stdin, terminal, timeout, filters } = request;
    const { namespace, pod } = container;
    const subresource = command === undefined ? "attach" : "exec";
    const query = new URLSearchParams({
      container: container.container,
      stdin: String(stdin),
      stdout: "true",
      stderr: String(!terminal),
      tty: String(terminal),
    });
    for (const word of command ?? []) query.append("command", word);
    return Effect.flatMap(requestAccess(this.#access), (access) =>
      openChannels({
        access,
        path: `${podPath(namespace, pod)}/${subresource}?${query}`,
        // A WebSocket begins with a GET, so that is the verb older API servers check; newer ones check create.
        call: { verb: "get", resource: `pods/${subresource}`, namespace, name: pod },
        timeoutMillis: Duration.toMillis(timeout),
        isServerAlive: () => this.#isAlive(),
        filters,
      }),
    );
  }

  /** Whether the API server answers anything at all. */
  async #isAlive(): Promise<boolean> {
    try {
      const access = await this.#access.request();
      return await responseTo(access, "", { signal: AbortSignal.timeout(LIVENESS_MILLIS) }).then(
        (response) => {
          response.resume();
          return true;
        },
        () => false,
      );
    } catch {
      // Credentials that can't be read any more say nothing about the server: the program may go on.
      return true;
    }
  }
}
