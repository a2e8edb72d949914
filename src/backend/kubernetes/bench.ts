/** Everything that a step of one connection works with. */
import type { V1Pod } from "@kubernetes/client-node";
import { Effect, Scope } from "effect";
import type { Identity, Provisioning } from "../../../machines/facts.ts";
import type { Kubernetes } from "../../config/sections/kubernetes.ts";
import type { Failure } from "../../failure.ts";
import type { ConnectionResources } from "../backend.ts";
import type { KnownCluster, KubernetesClusters } from "./clusters.ts";

export interface Bench extends KnownCluster {
  readonly clusters: KubernetesClusters;
  readonly kubernetes: Kubernetes;
  readonly identity: Identity;
  readonly connection: ConnectionResources;
  /** The pods this connection has met, as they were seen last, by uid. */
  readonly pods: Map<string, V1Pod>;
}

export interface KubernetesBackendDependencies {
  readonly clusters: KubernetesClusters;
  readonly resources: (connectionId: string) => ConnectionResources;
}

export type Workshop = (provisioning: Provisioning) => Effect.Effect<Bench, Failure>;

export const workshop = ({ clusters, resources }: KubernetesBackendDependencies): Workshop => {
  const met = new Map<string, Map<string, V1Pod>>();
  const podsOf = ({ connectionId, scope }: ConnectionResources) =>
    Effect.suspend(() => {
      const known = met.get(connectionId);
      if (known !== undefined) return Effect.succeed(known);
      const pods = new Map<string, V1Pod>();
      met.set(connectionId, pods);
      return Effect.as(
        Scope.addFinalizer(
          scope,
          Effect.sync(() => met.delete(connectionId)),
        ),
        pods,
      );
    });
  return ({ connectionId, identity, settings: { kubernetes } }) =>
    Effect.gen(function* () {
      const connection = resources(connectionId);
      const known = yield* clusters.get(kubernetes);
      const pods = yield* podsOf(connection);
      return { ...known, clusters, kubernetes, identity, connection, pods };
    });
};
