/** What a connection's configuration asks of an Engine, once its placeholders are filled in and its parts agree. */
import { Effect, Redacted } from "effect";
import type { DockerPlan } from "../../../machines/docker-facts.ts";
import type { Identity } from "../../../machines/facts.ts";
import type { DockerExecution, RegistryAuth } from "../../config/sections/docker.ts";
import { fillName, isPerUser, type NameRules } from "../environment-name.ts";
import { ConfigurationUnusable } from "./failures.ts";
import { parseImageReference } from "./image-reference.ts";

/** The Engine's rule for names, with the length of a host name. */
const CONTAINER_NAME: NameRules = {
  maxLength: 63,
  adapt: (text) => text.replace(/[^a-zA-Z0-9_.-]/g, "-").replace(/^[^a-zA-Z0-9]+|[^a-zA-Z0-9]+$/g, ""),
};

const VALID_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

export const planOf = (
  execution: DockerExecution,
  identity: Identity,
): Effect.Effect<DockerPlan, ConfigurationUnusable> =>
  Effect.gen(function* () {
    const { mode, imagePullPolicy: pullPolicy, createMissingContainers: createMissing } = execution;
    const image = execution.container.Image ?? "";
    const reference = parseImageReference(image);
    if (reference === undefined) {
      return yield* unusable(
        image === ""
          ? "docker.execution.container.image is missing"
          : `${JSON.stringify(image)} is no name of an image`,
      );
    }
    if (reference === "id" && pullPolicy === "Always") {
      return yield* unusable("An image that is named by its id can't be pulled");
    }
    const containerName = yield* nameFor(execution, identity);
    return { mode, pullPolicy, image, containerName, createMissing };
  });

const nameFor = (
  { containerName: template, mode }: DockerExecution,
  identity: Identity,
): Effect.Effect<string, ConfigurationUnusable> => {
  if (template === "") {
    return mode === "persistent"
      ? unusable("docker.execution.mode persistent needs a containerName")
      : Effect.succeed("");
  }
  const filled = fillName(template, identity, CONTAINER_NAME);
  if (filled.kind !== "name") {
    const why = filled.kind === "empty" ? "empty for this user" : "sensitive";
    return unusable(`docker.execution.containerName holds ${filled.placeholder}, which is ${why}`);
  }
  return VALID_NAME.test(filled.name)
    ? Effect.succeed(filled.name)
    : unusable(`${JSON.stringify(filled.name)} is no name for a container`);
};

const unusable = (message: string): Effect.Effect<never, ConfigurationUnusable> =>
  Effect.fail(new ConfigurationUnusable({ message }));

/** Docker Engine API, AuthConfig; undefined when no credentials are configured. */
export const registryCredentials = (auth: RegistryAuth): object | undefined => {
  const plain = Object.entries(auth).map(([key, value]) => [
    key,
    Redacted.isRedacted(value) ? Redacted.value(value) : value,
  ]);
  return plain.length === 0 ? undefined : Object.fromEntries(plain);
};

/**
 * What an operator should know about a persistent container that the file names: whoever logs into it shares it with
 * everybody; undefined when there is no such danger.
 */
export const sharedContainerWarning = ({
  mode,
  containerName,
}: Pick<DockerExecution, "mode" | "containerName">): string | undefined =>
  mode !== "persistent" || containerName === "" || isPerUser(containerName)
    ? undefined
    : "users may share one container, and with it every credential that one of them brings: let a configuration server name it, or put {authenticatedUsername} into docker.execution.containerName";
