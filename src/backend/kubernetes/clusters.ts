/** The clusters that a daemon works with, and what it knows of each: kept for all connections, over their ends. */
import { createHash } from "node:crypto";
import { Duration, Effect, Redacted, type Scope } from "effect";
import type { Kubernetes, KubernetesConnection } from "../../config/sections/kubernetes.ts";
import type { Logger } from "../../log/logger.ts";
import { encodeWhereabouts, type Instance, thisInstance } from "../docker/instance.ts";
import type { Cluster } from "./cluster.ts";
import { ConfigError } from "./failures.ts";
import { Housekeeping, type HousekeepingMemory } from "./housekeeping.ts";
import type { InstanceMark } from "./marks.ts";
import { Occupancy } from "./occupancy.ts";
import { Presence } from "./presence.ts";
import { Throttles } from "./throttle.ts";
import { Witness } from "./witness.ts";

/** An API server, and how it is reached. */
export interface KnownCluster {
  readonly cluster: Cluster;
  /** The one that looks after a namespace of the API server's, whoever else reaches it; a call starts it. */
  readonly housekeeping: (namespace: string) => Housekeeping;
}

interface Known extends KnownCluster {
  users: number;
}

export class KubernetesClusters {
  readonly instance: InstanceMark;
  readonly logger: Logger;
  /** The daemon's: for what outlives connections. */
  readonly background: Scope.Scope;
  readonly presence = new Presence();
  readonly occupancy: Occupancy;
  readonly #here: Instance["whereabouts"];
  readonly #throttles = new Throttles();
  /** By configuration, in the order of their last use. */
  readonly #known = new Map<string, Known>();
  /** By API server and namespace. */
  readonly #housekeepers = new Map<string, Housekeeping>();
  readonly #memories = new Map<string, HousekeepingMemory>();
  /** Authenticated users by pod, for the isolation warning. */
  readonly #users = new Map<string, string>();

  constructor({ id, whereabouts }: Instance, logger: Logger, background: Scope.Scope) {
    this.instance = { id, whereabouts: whereabouts === undefined ? "" : encodeWhereabouts(whereabouts) };
    this.occupancy = new Occupancy(this.presence, this.instance, logger);
    this.#here = whereabouts;
    this.logger = logger;
    this.background = background;
  }

  /** The cluster of this configuration, the same one for the same, at least until the scope closes. */
  open({ connection, timeouts }: Kubernetes): Effect.Effect<KnownCluster, ConfigError, Scope.Scope> {
    const key = keyOf(connection, timeouts.http);
    const get = Effect.suspend(() => {
      const known = this.#known.get(key);
      if (known !== undefined) return Effect.succeed(known);
      return Effect.map(
        this.#openCluster(connection, timeouts.http),
        // Another connection may have been faster while the client was being loaded.
        (cluster) => this.#known.get(key) ?? this.#know(cluster),
      );
    });
    const take = Effect.map(get, (known) => {
      known.users += 1;
      this.#known.set(key, known);
      return known;
    });
    return Effect.acquireRelease(take, (known) =>
      Effect.sync(() => {
        known.users -= 1;
        this.#known.delete(key);
        this.#known.set(key, known);
        this.#forgetUnused();
      }),
    );
  }

  /** How many configurations are kept, how many namespaces are looked after, and of how many something is remembered. */
  get kept(): { readonly configurations: number; readonly namespaces: number; readonly memories: number } {
    return {
      configurations: this.#known.size,
      namespaces: this.#housekeepers.size,
      memories: this.#memories.size,
    };
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

  #know(cluster: Cluster): Known {
    return { cluster, housekeeping: (namespace) => this.#housekeeping(cluster, namespace), users: 0 };
  }

  #forgetUnused(): void {
    const unused = [...this.#known].filter(([, { users }]) => users === 0);
    for (const [key] of unused.slice(0, -KEPT_UNUSED)) this.#known.delete(key);
  }

  #housekeeping({ server, api }: Cluster, namespace: string): Housekeeping {
    const key = JSON.stringify([server, namespace]);
    const running = this.#housekeepers.get(key);
    if (running !== undefined) {
      running.goBy(api);
      return running;
    }
    const { instance, logger, presence } = this;
    const witness = new Witness(this.#here);
    const memory = this.#memories.get(key) ?? { told: new Set(), isNeeded: false };
    this.#memories.set(key, memory);
    const started = new Housekeeping({ server, namespace, instance, presence, witness, logger, memory }, api);
    this.#housekeepers.set(key, started);
    Effect.runFork(
      Effect.forkIn(
        started.run(() => {
          this.#housekeepers.delete(key);
          if (memory.told.size === 0) this.#memories.delete(key);
        }),
        this.background,
      ),
    );
    return started;
  }

  /** The client library takes long to load and much memory: only who uses Kubernetes pays for it. */
  #openCluster(
    connection: KubernetesConnection,
    timeout: Duration.Duration,
  ): Effect.Effect<Cluster, ConfigError> {
    return Effect.tryPromise({
      try: async () => {
        const { Cluster } = await import("./cluster.ts");
        return Cluster.at(connection, timeout, this.logger, this.#throttles);
      },
      catch: (error) =>
        error instanceof ConfigError
          ? error
          : new ConfigError({
              message: `The Kubernetes client can't be used: ${String(error)}`,
              cause: error,
            }),
    });
  }
}

/** How many pods' users are remembered. */
const REMEMBERED_PODS = 10_000;

/** How many configurations that nobody uses are kept for who comes back: a token of each user's is one of its own. */
const KEPT_UNUSED = 10;

/** Opens what all connections share. Closing the scope ends what runs in the background. */
export const openKubernetes = (logger: Logger): Effect.Effect<KubernetesClusters, never, Scope.Scope> =>
  Effect.gen(function* () {
    const instance = yield* thisInstance;
    return new KubernetesClusters(instance, logger, yield* Effect.scope);
  });

const keyOf = (connection: KubernetesConnection, timeout: Duration.Duration): string => {
  const { password, key, bearerToken, ...open } = connection;
  const secrets = [password, key, bearerToken].map(Redacted.value);
  return createHash("sha256")
    .update(JSON.stringify([open, secrets, Duration.toMillis(timeout)]))
    .digest("hex");
};
