/** The steps of `dockerMachine` on containers. */
import { Duration, Effect, Schedule, Scope } from "effect";
import type {
  ContainerFacts,
  ContainerRequest,
  CreationOutcome,
  Tooling,
} from "../../../machines/docker-facts.ts";
import type { Provisioning } from "../../../machines/facts.ts";
import type { Failure } from "../../failure.ts";
import type { Bench, Workshop } from "./bench.ts";
import {
  createContainer as create,
  factsOf,
  findContainer as find,
  lookForTooling,
  startContainer as start,
  unpauseContainer,
} from "./containers.ts";
import { type CreationRequest, idlingContainer } from "./creation.ts";
import { loginEnvironment } from "./environment.ts";
import {
  ConfigurationUnusable,
  ContainerCreateFailed,
  ContainerLookupFailed,
  ContainerStartFailed,
  explained,
} from "./failures.ts";
import { CONNECTION_ID, connectionLabels, MODE, persistentLabels } from "./labels.ts";
import { IDLE_BY_SHELL } from "./launch.ts";
import { removeSurely, scopedContainer } from "./lifetime.ts";

/** How often a container is looked at that is between two states. */
const SETTLING_POLL = Schedule.spaced("200 millis");

/** How long a container is left alone that is about to be removed. */
const BEING_REMOVED = Duration.millis(200);

type OnContainer = (request: ContainerRequest) => Effect.Effect<void, Failure>;

export const containerSteps = (benchFor: Workshop) => {
  const findContainer = (provisioning: Provisioning): Effect.Effect<ContainerFacts | undefined, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const found = yield* lookUp(bench, bench.plan.containerName);
      return found && factsOf(found);
    });

  const awaitContainer: OnContainer = ({ container, ...provisioning }) =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      yield* Effect.repeat(lookUp(bench, container.id), {
        schedule: SETTLING_POLL,
        while: (found) => found !== undefined && factsOf(found).state === "changing",
      }).pipe(
        Effect.timeoutOrElse({
          duration: bench.timeouts.containerStart,
          orElse: () =>
            Effect.fail(
              new ContainerStartFailed({
                message: "The container did not come to rest in time",
                details: { container: container.id },
              }),
            ),
        }),
      );
    });

  const claimContainer = ({
    container,
    ...provisioning
  }: ContainerRequest): Effect.Effect<ContainerFacts | undefined, Failure> =>
    Effect.gen(function* () {
      const { known, execution, timeouts, connection } = yield* benchFor(provisioning);
      const idleMillis = Duration.toMillis(execution.idleTimeout);
      const entered = yield* Effect.mapError(
        Scope.provide(known.tenancy.enter(container.id, idleMillis, timeouts.http), connection.scope),
        explained(ContainerLookupFailed, "The container could not be entered", { container: container.id }),
      );
      if (entered === undefined) yield* Effect.sleep(BEING_REMOVED);
      return entered && factsOf(entered);
    });

  const createContainer = ({
    tooling,
    ...provisioning
  }: Provisioning & { readonly tooling: Tooling }): Effect.Effect<CreationOutcome, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const { plan, logger, execution, engines, identity, connection } = bench;
      const idle = yield* idleCommand(bench, tooling);
      logger.debug("DOCKER_CONTAINER_CREATE", "Creating the container", { image: plan.image });
      if (plan.mode === "persistent") {
        const labels = persistentLabels(engines.instance, identity);
        return yield* createPersistent(bench, { execution, name: plan.containerName, labels }, idle);
      }
      const labels = connectionLabels(engines.instance, plan.mode, identity);
      const id = yield* Scope.provide(
        scopedContainer(
          bench,
          idlingContainer(
            { execution, name: plan.containerName, labels },
            idle,
            loginEnvironment(identity, execution),
          ),
          { [CONNECTION_ID]: identity.connectionId, [MODE]: plan.mode },
        ),
        connection.scope,
      );
      return { kind: "created", container: { id, state: "stopped" } };
    });

  const startContainer: OnContainer = ({ container, ...provisioning }) =>
    Effect.gen(function* () {
      const { engine, timeouts, logger } = yield* benchFor(provisioning);
      logger.debug("DOCKER_CONTAINER_START", "Starting the container", { container: container.id });
      yield* Effect.mapError(
        start(engine, container.id, timeouts.containerStart),
        explained(ContainerStartFailed, "The container could not be started", { container: container.id }),
      );
    });

  const resumeContainer: OnContainer = ({ container, ...provisioning }) =>
    Effect.gen(function* () {
      const { engine, timeouts } = yield* benchFor(provisioning);
      yield* Effect.mapError(
        unpauseContainer(engine, container.id, timeouts.containerStart),
        explained(ContainerStartFailed, "The container could not be resumed", { container: container.id }),
      );
    });

  /** Never fails: the Engine was there for the step before, and what it does not do now is done once it answers. */
  const discardContainer = ({ container, ...provisioning }: ContainerRequest): Effect.Effect<void> =>
    Effect.flatMap(Effect.orDie(benchFor(provisioning)), (bench) => removeSurely(bench, container.id));

  const inspectContainer = ({
    container,
    ...provisioning
  }: ContainerRequest): Effect.Effect<Tooling, Failure> =>
    Effect.gen(function* () {
      const { engine, timeouts, execution } = yield* benchFor(provisioning);
      return yield* Effect.mapError(
        lookForTooling(engine, container.id, execution.agentPath, timeouts.http),
        explained(ContainerLookupFailed, "The container could not be looked into", {
          container: container.id,
        }),
      );
    });

  return {
    findContainer,
    awaitContainer,
    claimContainer,
    createContainer,
    startContainer,
    resumeContainer,
    discardContainer,
    inspectContainer,
  };
};

const lookUp = ({ engine, timeouts }: Bench, container: string) =>
  Effect.mapError(
    find(engine, container, timeouts.http),
    explained(ContainerLookupFailed, "The container could not be looked up", { container }),
  );

/** The configured one, unless it is an agent's that the image does not have. */
const idleCommand = (
  { execution: { idleCommand: configured, agentPath }, plan }: Bench,
  tooling: Tooling,
): Effect.Effect<readonly string[], ConfigurationUnusable> => {
  if (tooling.agent || configured[0] !== agentPath) return Effect.succeed(configured);
  return tooling.shell
    ? Effect.succeed(IDLE_BY_SHELL)
    : Effect.fail(
        new ConfigurationUnusable({
          message: "The image has neither the guest agent that idleCommand names nor /bin/sh to idle with",
          details: { image: plan.image, agentPath },
        }),
      );
};

/** A container of the configured name that came to be in the meantime is as good. */
const createPersistent = (
  { engine, timeouts }: Bench,
  request: CreationRequest,
  idle: readonly string[],
): Effect.Effect<CreationOutcome, Failure> =>
  create(engine, idlingContainer(request, idle, {}), timeouts.containerStart).pipe(
    Effect.map((id): CreationOutcome => ({ kind: "created", container: { id, state: "stopped" } })),
    Effect.catchIf(
      ({ status }) => status === 409,
      () => Effect.succeed<CreationOutcome>({ kind: "nameTaken" }),
    ),
    Effect.mapError(
      explained(ContainerCreateFailed, "The container could not be created", { container: request.name }),
    ),
  );
