/** Everything that a step of one connection works with. */
import type { V1Pod } from "@kubernetes/client-node";
import { Effect, Scope } from "effect";
import type { Identity, Provisioning } from "../../../machines/facts.ts";
import type { Kubernetes } from "../../config/sections/kubernetes.ts";
import type { Failure } from "../../failure.ts";
import type { ConnectionResources } from "../backend.ts";
import type { KnownCluster, KubernetesClusters } from "./clusters.ts";
import type { Entrant } from "./marks.ts";

export interface Bench extends KnownCluster {
  readonly clusters: KubernetesClusters;
  readonly kubernetes: Kubernetes;
  readonly identity: Identity;
  readonly connection: ConnectionResources;
  /** The pods this connection has met, as they were seen last, by uid. */
  readonly pods: Map<string, V1Pod>;
}

/** The connection as it comes into a persistent pod. */
export const entrantOf = ({ kubernetes, identity }: Bench): Entrant => ({
  settings: kubernetes.pod,
  authenticatedUsername: identity.authenticatedUsername,
});

export interface KubernetesBackendDependencies {
  readonly clusters: KubernetesClusters;
  readonly resources: (connectionId: string) => ConnectionResources;
}

export type Workshop = (provisioning: Provisioning) => Effect.Effect<Bench, Failure>;

/** What a connection keeps from its first step to its end. */
interface Kept {
  readonly known: KnownCluster;
  readonly pods: Map<string, V1Pod>;
}

export const workshop = ({ clusters, resources }: KubernetesBackendDependencies): Workshop => {
  const kept = new Map<string, Kept>();
  const keep = ({ connectionId }: ConnectionResources, kubernetes: Kubernetes) =>
    Effect.gen(function* () {
      const known = yield* clusters.open(kubernetes);
      // Another step may have been faster while the client was being loaded.
      return yield* Effect.acquireRelease(
        Effect.sync(() => {
          const made: Kept = kept.get(connectionId) ?? { known, pods: new Map() };
          kept.set(connectionId, made);
          return made;
        }),
        () => Effect.sync(() => kept.delete(connectionId)),
      );
    });
  return ({ connectionId, identity, settings: { kubernetes } }) =>
    Effect.gen(function* () {
      const connection = resources(connectionId);
      const { known, pods } =
        kept.get(connectionId) ?? (yield* Scope.provide(keep(connection, kubernetes), connection.scope));
      return { ...known, clusters, kubernetes, identity, connection, pods };
    });
};
