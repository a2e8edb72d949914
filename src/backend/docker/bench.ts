/** Everything that a step of one connection works with. */
import { Effect } from "effect";
import type { DockerPlan } from "../../../machines/docker-facts.ts";
import type { Identity, Provisioning } from "../../../machines/facts.ts";
import type { DockerExecution, DockerTimeouts } from "../../config/sections/docker.ts";
import type { Failure } from "../../failure.ts";
import type { ConnectionResources } from "../backend.ts";
import type { Engine } from "./engine.ts";
import type { DockerEngines, KnownEngine } from "./engines.ts";
import type { Lifetime } from "./lifetime.ts";
import { planOf } from "./plan.ts";

export interface Bench extends Lifetime {
  readonly known: KnownEngine;
  readonly engine: Engine;
  readonly engines: DockerEngines;
  readonly execution: DockerExecution;
  readonly timeouts: DockerTimeouts;
  readonly plan: DockerPlan;
  readonly identity: Identity;
  readonly connection: ConnectionResources;
}

export interface DockerBackendDependencies {
  readonly engines: DockerEngines;
  readonly resources: (connectionId: string) => ConnectionResources;
}

export type Workshop = (provisioning: Provisioning) => Effect.Effect<Bench, Failure>;

export const workshop =
  ({ engines, resources }: DockerBackendDependencies): Workshop =>
  ({ connectionId, identity, settings: { docker } }) =>
    Effect.gen(function* () {
      const connection = resources(connectionId);
      const known = yield* engines.get(docker.connection, connection);
      return {
        known,
        engine: known.engine,
        engines,
        execution: docker.execution,
        timeouts: docker.timeouts,
        plan: yield* planOf(docker.execution, identity),
        identity,
        connection,
        logger: connection.logger,
        background: engines.background,
      };
    });
