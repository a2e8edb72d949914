/** What a container is created from: the configured options of the Engine, and what Berth adds to them. */
import type { DockerExecution } from "../../config/sections/docker.ts";
import type { Creation } from "./containers.ts";
import { mergedEnvironment } from "./environment.ts";
import type { ConsoleSize } from "./first-size.ts";

type Variables = Readonly<Record<string, string>>;

/** What every container is created with, whatever its mode. */
export interface CreationRequest {
  readonly execution: DockerExecution;
  readonly name: string;
  readonly labels: Variables;
}

/** A container that idles until its connection ends, or for ever. */
export const idlingContainer = (
  request: CreationRequest,
  idleCommand: readonly string[],
  environment: Variables,
): Creation =>
  creation(request, {
    Env: mergedEnvironment(request.execution.container.Env ?? [], environment),
    Cmd: idleCommand,
  });

/** The words that a container starts; what is missing is left to the configuration and the image. */
export interface OwnCommand {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
}

export interface OwnProgram {
  readonly command: OwnCommand;
  readonly environment: Variables;
  readonly terminal: boolean;
  /** For an Engine that takes it at the start. */
  readonly consoleSize: ConsoleSize | undefined;
  /**
   * The Engine's own init is the first process, unless the configuration says otherwise: signals, Ctrl-C among them,
   * do nothing to a first process that is not made for it.
   */
  readonly init: boolean;
}

/** A container whose own program is a session's. */
export const programContainer = (request: CreationRequest, program: OwnProgram): Creation => {
  const { command, environment, terminal, consoleSize, init } = program;
  const { container, host } = request.execution;
  return creation(
    request,
    {
      Env: mergedEnvironment(container.Env ?? [], environment),
      ...command,
      Tty: terminal,
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      OpenStdin: true,
      StdinOnce: true,
    },
    // The exit code is read before the container is removed, which is Berth's to do.
    { AutoRemove: false, Init: host.Init ?? init, ...(consoleSize && { ConsoleSize: consoleSize }) },
  );
};

const creation = (
  { execution, name, labels }: CreationRequest,
  ownContainer: object,
  ownHost: object = {},
): Creation => {
  const { container, network, platform } = execution;
  return {
    name,
    platform: platformOf(platform),
    body: {
      ...container,
      ...ownContainer,
      Labels: { ...container.Labels, ...labels },
      HostConfig: { ...hostOf(execution), ...ownHost },
      NetworkingConfig: network,
    },
  };
};

/** The API has the resources beside the other options; the reference's YAML has them one level deeper. */
export const hostOf = ({ host: { Resources, ...host } }: DockerExecution) => ({ ...Resources, ...host });

/** `linux/arm64/v8`; empty when none is asked for. */
export const platformOf = ({ os, architecture, variant }: DockerExecution["platform"]): string =>
  [os ?? (architecture === undefined ? undefined : "linux"), architecture, variant]
    .filter((part) => part !== undefined)
    .join("/");
