/** The clusters that a daemon works with, and what it knows of each: kept for all connections, over their ends. */
import { createHash } from "node:crypto";
import { Duration, Effect, Redacted, type Scope } from "effect";
import type { Kubernetes, KubernetesConnection } from "../../config/sections/kubernetes.ts";
import type { Logger } from "../../log/logger.ts";
import { encodeWhereabouts, type Instance, thisInstance } from "../docker/instance.ts";
import type { Cluster } from "./cluster.ts";
import { ConfigError } from "./failures.ts";
import { Housekeeping } from "./housekeeping.ts";
import type { InstanceMark } from "./marks.ts";
import { Occupancy } from "./occupancy.ts";
import { Presence } from "./presence.ts";
import { Witness } from "./witness.ts";

export interface KnownCluster {
  readonly cluster: Cluster;
  readonly presence: Presence;
  readonly occupancy: Occupancy;
  /** The one that looks after a namespace; the first call starts it. */
  readonly housekeeping: (namespace: string) => Housekeeping;
}

export class KubernetesClusters {
  readonly instance: InstanceMark;
  readonly logger: Logger;
  /** The daemon's: for what outlives connections. */
  readonly background: Scope.Scope;
  readonly #here: Instance["whereabouts"];
  readonly #known = new Map<string, KnownCluster>();
  /** Authenticated users by pod, for the isolation warning. */
  readonly #users = new Map<string, string>();

  constructor({ id, whereabouts }: Instance, logger: Logger, background: Scope.Scope) {
    this.instance = { id, whereabouts: whereabouts === undefined ? "" : encodeWhereabouts(whereabouts) };
    this.#here = whereabouts;
    this.logger = logger;
    this.background = background;
  }

  /** The cluster of this configuration: the same one for the same. */
  get({ connection, timeouts }: Kubernetes): Effect.Effect<KnownCluster, ConfigError> {
    return Effect.suspend(() => {
      const key = keyOf(connection, timeouts.http);
      const known = this.#known.get(key);
      if (known !== undefined) return Effect.succeed(known);
      return Effect.map(openCluster(connection, timeouts.http, this.logger), (cluster) => {
        // Another connection may have been faster while the client was being loaded.
        const opened = this.#known.get(key) ?? this.#know(cluster);
        this.#known.set(key, opened);
        return opened;
      });
    });
  }

  /** The first user seen in a pod, when that is somebody else. */
  otherUserOf(podUid: string, username: string): string | undefined {
    const first = this.#users.get(podUid);
    if (first === undefined) {
      if (this.#users.size >= REMEMBERED_PODS) this.#users.clear();
      this.#users.set(podUid, username);
    }
    return first === username ? undefined : first;
  }

  #know(cluster: Cluster): KnownCluster {
    const { api } = cluster;
    const { instance, logger, background } = this;
    const presence = new Presence();
    const housekeepers = new Map<string, Housekeeping>();
    const housekeeping = (namespace: string): Housekeeping => {
      const known = housekeepers.get(namespace);
      if (known !== undefined) return known;
      const started = new Housekeeping({
        api,
        namespace,
        instance,
        presence,
        witness: new Witness(this.#here),
        logger,
      });
      housekeepers.set(namespace, started);
      Effect.runFork(Effect.forkIn(started.run, background));
      return started;
    };
    const occupancy = new Occupancy(api, presence, instance, logger, ({ namespace }) =>
      housekeeping(namespace).wake(),
    );
    return { cluster, presence, occupancy, housekeeping };
  }
}

/** How many pods' users are remembered. */
const REMEMBERED_PODS = 10_000;

/** Opens what all connections share. Closing the scope ends what runs in the background. */
export const openKubernetes = (logger: Logger): Effect.Effect<KubernetesClusters, never, Scope.Scope> =>
  Effect.gen(function* () {
    const instance = yield* thisInstance;
    return new KubernetesClusters(instance, logger, yield* Effect.scope);
  });

/** The client library takes long to load and much memory: only who uses Kubernetes pays for it. */
const openCluster = (
  connection: KubernetesConnection,
  timeout: Duration.Duration,
  logger: Logger,
): Effect.Effect<Cluster, ConfigError> =>
  Effect.tryPromise({
    try: async () => {
      const { Cluster } = await import("./cluster.ts");
      return Cluster.at(connection, timeout, logger);
    },
    catch: (error) =>
      error instanceof ConfigError
        ? error
        : new ConfigError({ message: `The Kubernetes client can't be used: ${String(error)}`, cause: error }),
  });

const keyOf = (connection: KubernetesConnection, timeout: Duration.Duration): string => {
  const { password, key, bearerToken, ...open } = connection;
  const secrets = [password, key, bearerToken].map(Redacted.value);
  return createHash("sha256")
    .update(JSON.stringify([open, secrets, Duration.toMillis(timeout)]))
    .digest("hex");
};
