/** The Docker backend: what `dockerMachine` leaves open, done on a Docker Engine. */
import { Effect } from "effect";
import type { ContainerRequest, OpeningRequest, Tooling } from "../../../machines/docker-facts.ts";
import { dockerImageMachine } from "../../../machines/docker-image.ts";
import type { Environment } from "../../../machines/facts.ts";
import type { Failure } from "../../failure.ts";
import { fromEffect } from "../../from-effect.ts";
import { wipeFiles } from "../../metadata.ts";
import { type DockerBackendDependencies, workshop } from "./bench.ts";
import { containerSteps } from "./container-steps.ts";
import { loginEnvironment } from "./environment.ts";
import { type ExecHost, startByExec } from "./exec-programs.ts";
import { ForwardingUnavailable } from "./failures.ts";
import { writeFiles as write } from "./files.ts";
import { imageSteps } from "./image-steps.ts";
import { launcherOf } from "./launch.ts";
import { type SessionHost, startBySession } from "./session-programs.ts";

export type { DockerBackendDependencies } from "./bench.ts";
export { type DockerEngines, openDocker } from "./engines.ts";

/** What `dockerMachine.provide` takes. */
export const dockerBackend = (dependencies: DockerBackendDependencies) => {
  const benchFor = workshop(dependencies);
  const images = imageSteps(benchFor);
  const containers = containerSteps(benchFor);

  const writeFiles = ({
    container,
    tooling,
    ...provisioning
  }: ContainerRequest & { readonly tooling: Tooling }): Effect.Effect<void, Failure> =>
    Effect.gen(function* () {
      const { engine, timeouts, execution, identity, logger } = yield* benchFor(provisioning);
      const { files } = identity;
      yield* Effect.ensuring(
        write({
          engine,
          container: container.id,
          timeouts,
          files,
          agentPath: execution.agentPath,
          launcher: launcherOf(tooling, execution),
          logger,
        }),
        wipeFiles(files),
      );
    });

  const openEnvironment = ({
    place,
    tooling,
    ...provisioning
  }: OpeningRequest): Effect.Effect<Environment, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const { execution, identity, plan, engines, connection } = bench;
      const { containerName } = plan;
      if (place.kind === "image") {
        const host: SessionHost = {
          ...bench,
          image: place.image,
          tooling,
          containerName,
          instance: engines.instance,
          scope: connection.scope,
        };
        return {
          description: "containers per session",
          start: (request) => startBySession(host, request),
          openTcp,
        };
      }
      const host: ExecHost = {
        ...bench,
        container: place.container.id,
        launcher: launcherOf(tooling, execution),
        shell: tooling.shell,
        environment: loginEnvironment(identity, execution),
        // A container that goes with its connection takes its programs along; one that stays is left tidy.
        lingering: plan.mode === "persistent" ? engines.background : connection.scope,
      };
      return {
        description: `container ${containerName || place.container.id.slice(0, 12)}`,
        start: (request) => startByExec(host, request),
        openTcp,
      };
    });

  return {
    actors: {
      contactEngine: fromEffect(images.contactEngine),
      dockerImage: dockerImageMachine.provide({
        actors: {
          findImage: fromEffect(images.findImage),
          pullImage: fromEffect(images.pullImage),
          inspectImage: fromEffect(images.inspectImage),
        },
      }),
      findContainer: fromEffect(containers.findContainer),
      awaitContainer: fromEffect(containers.awaitContainer),
      claimContainer: fromEffect(containers.claimContainer),
      createContainer: fromEffect(containers.createContainer),
      startContainer: fromEffect(containers.startContainer),
      resumeContainer: fromEffect(containers.resumeContainer),
      discardContainer: fromEffect(containers.discardContainer),
      inspectContainer: fromEffect(containers.inspectContainer),
      writeFiles: fromEffect(writeFiles),
      openEnvironment: fromEffect(openEnvironment),
    },
  };
};

/** Forwarding speaks the guest agent's own protocol, which Berth does not speak yet. */
const openTcp = (): Effect.Effect<never, ForwardingUnavailable> =>
  Effect.fail(new ForwardingUnavailable({ message: "Forwarding into containers is not built yet" }));
