/** The step of `dockerMachine` on the Engine itself, and those of `dockerImageMachine`. */
import { createHash } from "node:crypto";
import { Effect } from "effect";
import type { DockerPlan, LocalImage, Tooling } from "../../../machines/docker-facts.ts";
import type { ImageRequest } from "../../../machines/docker-image.ts";
import type { Provisioning } from "../../../machines/facts.ts";
import type { DockerExecution } from "../../config/sections/docker.ts";
import type { Failure } from "../../failure.ts";
import type { Bench, Workshop } from "./bench.ts";
import { lookForTooling } from "./containers.ts";
import { idlingContainer, platformOf } from "./creation.ts";
import {
  ConfigurationUnusable,
  ContainerCreateFailed,
  explained,
  ImageLookupFailed,
  ImagePullFailed,
} from "./failures.ts";
import { parseImageReference } from "./image-reference.ts";
import { findImage as find, type ImageInspection, pullImage as pull } from "./images.ts";
import { CONNECTION_ID, connectionLabels } from "./labels.ts";
import { scopedContainer } from "./lifetime.ts";
import { registryCredentials } from "./plan.ts";

const AGENT_DISABLED = {
  code: "DOCKER_GUEST_AGENT_DISABLED",
  message: "The guest agent is disabled: programs are started and signalled through the image's shell",
};

/** The first API that creates containers for a platform. */
const PLATFORM_API = [1, 41] as const;

export const imageSteps = (benchFor: Workshop) => {
  const contactEngine = (provisioning: Provisioning): Effect.Effect<DockerPlan, Failure> =>
    Effect.gen(function* () {
      const { engine, engines, known, timeouts, plan, execution, logger } = yield* benchFor(provisioning);
      yield* engines.contact(known, timeouts.http);
      if (execution.disableAgent) engines.warnOnce(logger, AGENT_DISABLED);
      if (platformOf(execution.platform) !== "" && !engine.speaks(PLATFORM_API)) {
        return yield* Effect.fail(
          new ConfigurationUnusable({ message: "docker.execution.platform needs API 1.41 of the Engine" }),
        );
      }
      return plan;
    });

  /** An image that is there for another platform than the configured one is not the configured one. */
  const findImage = (provisioning: Provisioning): Effect.Effect<LocalImage | undefined, Failure> =>
    Effect.gen(function* () {
      const { engine, timeouts, plan, execution, logger } = yield* benchFor(provisioning);
      const { image } = plan;
      logger.debug("DOCKER_IMAGE_LISTING", "Looking for the image", { image });
      const found = yield* Effect.mapError(
        find(engine, image, timeouts.http),
        explained(ImageLookupFailed, "The image could not be looked up", { image }),
      );
      return found !== undefined && isFor(found, execution.platform) ? localImage(found) : undefined;
    });

  const pullImage = (provisioning: Provisioning): Effect.Effect<void, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const { engine, known, plan, execution, connection, timeouts, logger } = bench;
      const reference = parseImageReference(plan.image);
      if (reference === undefined || reference === "id") {
        return yield* Effect.fail(
          new ImagePullFailed({
            message: "The image is named by its id, which can't be pulled",
            details: { image: plan.image },
          }),
        );
      }
      const registryAuth = registryCredentials(execution.auth);
      const platform = platformOf(execution.platform);
      logger.debug("DOCKER_IMAGE_PULL", "Pulling the image", { image: plan.image });
      connection.notify("Fetching your environment, this may take a while");
      const failed = explained(ImagePullFailed, "The image could not be pulled", { image: plan.image });
      yield* known.pulls.join(
        fingerprint([reference, platform, registryAuth]),
        (onProgress) =>
          Effect.mapError(
            pull(
              engine,
              { image: reference, platform, registryAuth, patience: timeouts.containerStart },
              onProgress,
            ),
            (error) =>
              error._tag === "EngineError"
                ? failed(error)
                : new ImagePullFailed({
                    message: `The image could not be pulled: ${error.message}`,
                    details: { image: plan.image },
                  }),
          ),
        (line) => connection.notify(line),
      );
    });

  /** Looks into a container that is never started; what an image was found to hold is kept. */
  const inspectImage = ({ image, ...provisioning }: ImageRequest): Effect.Effect<Tooling, Failure> =>
    Effect.gen(function* () {
      const bench = yield* benchFor(provisioning);
      const { execution, known, logger, plan } = bench;
      const { Binds, Mounts, VolumesFrom } = execution.host;
      const key = fingerprint([image.id, execution.agentPath, Binds, Mounts, VolumesFrom]);
      const kept = known.tooling.get(key);
      if (kept !== undefined) return kept;
      const tooling = yield* Effect.scoped(lookInto(bench, image));
      const isMissed = plan.mode !== "session" && !execution.disableAgent;
      if (isMissed && !tooling.agent && !known.tooling.has(key)) {
        logger.notice(
          "DOCKER_AGENT_READ_FAILED",
          tooling.shell
            ? "The image has no guest agent: programs are started and signalled through its shell"
            : "The image has neither a guest agent nor /bin/sh: programs can't be signalled",
          { image: plan.image, agentPath: execution.agentPath },
        );
      }
      known.tooling.set(key, tooling);
      return tooling;
    });

  return { contactEngine, findImage, pullImage, inspectImage };
};

const localImage = ({ Id: id, Config }: ImageInspection): LocalImage => ({
  id,
  entryPoint: Config?.Entrypoint ?? [],
  command: Config?.Cmd ?? [],
});

const isFor = (
  { Os, Architecture, Variant = "" }: ImageInspection,
  { os, architecture, variant }: DockerExecution["platform"],
): boolean =>
  [
    [os, Os],
    [architecture, Architecture],
    [variant, Variant],
  ].every(([wanted, actual]) => wanted === undefined || wanted === actual);

const lookInto = (bench: Bench, image: LocalImage) => {
  const { engine, engines, execution, identity, timeouts } = bench;
  const labels = connectionLabels(engines.instance, "inspection", identity);
  return Effect.flatMap(
    scopedContainer(bench, idlingContainer({ execution, name: "", labels }, ["true"], {}), {
      [CONNECTION_ID]: identity.connectionId,
    }),
    (container) =>
      Effect.mapError(
        lookForTooling(engine, container, execution.agentPath, timeouts.http),
        explained(ContainerCreateFailed, "The image could not be looked into", { image: image.id }),
      ),
  );
};

const fingerprint = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex");
