/**
 * Containers that belong to a scope: created within it, removed with it. What the Engine can't do at that moment is
 * done as soon as it can, and what this daemon does not live to see, the next one does (sweep.ts).
 */
import { type Duration, Effect, Schedule, type Scope } from "effect";
import type { DockerTimeouts } from "../../config/sections/docker.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import { type Creation, createContainer, listContainers, removeContainer } from "./containers.ts";
import type { Engine } from "./engine.ts";
import { ContainerCreateFailed, type EngineError, explained } from "./failures.ts";

/** How often a removal is tried again that the Engine did not answer. */
const REMOVAL_RETRY = Schedule.spaced("2 seconds");
/** A request whose answer was lost may still be carried out: what came of it is looked for this often. */
const LOST_CREATION_LOOKS = Schedule.upTo(Schedule.spaced("10 seconds"), { times: 3 });

export interface Lifetime {
  readonly engine: Engine;
  readonly timeouts: DockerTimeouts;
  readonly logger: Logger;
  /** The daemon's: for what has to be tried again when the connection is long gone. */
  readonly background: Scope.Scope;
}

/** Creates a container; closing the scope removes it. `labels` are those that nothing else has. */
export const scopedContainer = (
  lifetime: Lifetime,
  creation: Creation,
  labels: Readonly<Record<string, string>>,
): Effect.Effect<string, Failure, Scope.Scope> =>
  Effect.acquireRelease(
    createContainer(lifetime.engine, creation, lifetime.timeouts.containerStart).pipe(
      Effect.tapError((error) =>
        error.kind === "answered" ? Effect.void : removeLostCreation(lifetime, labels),
      ),
      Effect.mapError(explained(ContainerCreateFailed, "The container could not be created")),
    ),
    (container) => removeSurely(lifetime, container),
  );

/** Removes a container now, or in the background as soon as the Engine answers. */
export const removeSurely = (lifetime: Lifetime, container: string): Effect.Effect<void> => {
  const { logger, background, timeouts } = lifetime;
  const remove = removing(lifetime, container, timeouts.containerStop);
  return Effect.catch(remove, (error) => {
    logger.warning(
      "DOCKER_CONTAINER_REMOVE_FAILED",
      `The container could not be removed and will be as soon as the Engine answers: ${error.message}`,
      { container },
    );
    return Effect.asVoid(Effect.forkIn(Effect.retry(remove, REMOVAL_RETRY), background));
  });
};

const removing = (
  { engine, logger }: Lifetime,
  container: string,
  timeout: Duration.Duration,
): Effect.Effect<void, EngineError> =>
  Effect.gen(function* () {
    logger.debug("DOCKER_CONTAINER_REMOVE", "Removing the container", { container });
    yield* removeContainer(engine, container, timeout);
    logger.debug("DOCKER_CONTAINER_REMOVE_SUCCESSFUL", "The container is removed", { container });
  });

const removeLostCreation = (
  lifetime: Lifetime,
  labels: Readonly<Record<string, string>>,
): Effect.Effect<void> => {
  const { engine, timeouts, background } = lifetime;
  const look = Effect.gen(function* () {
    const found = yield* Effect.retry(listContainers(engine, labels, timeouts.http), REMOVAL_RETRY);
    for (const { Id } of found) yield* removeSurely(lifetime, Id);
  });
  return Effect.asVoid(Effect.forkIn(Effect.repeat(look, LOST_CREATION_LOOKS), background));
};
