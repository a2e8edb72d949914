import type { Environment, Provisioning, Refusal } from "./facts.ts";

/** What the configuration of this connection asks for. */
export interface DockerPlan {
  /** One container for each connection, for each session, or one that is found by its name and stays. */
  readonly mode: "connection" | "session" | "persistent";
  readonly pullPolicy: "Always" | "IfNotPresent" | "Never";
  readonly image: string;
  /** The container's name in persistent mode, and wherever one is configured. */
  readonly containerName: string;
  readonly createMissing: boolean;
}

/** An image that the Engine has. */
export interface LocalImage {
  readonly id: string;
  /** Its own words to start a container with: the entry point, then a command that can be replaced. */
  readonly entryPoint: readonly string[];
  readonly command: readonly string[];
}

/** What an image or a container offers to start and signal programs with. */
export interface Tooling {
  /** The guest agent. */
  readonly agent: boolean;
  /** `/bin/sh`. */
  readonly shell: boolean;
}

export interface ContainerFacts {
  readonly id: string;
  /** `changing` is on its way from one state to another: restarting or being removed. */
  readonly state: "running" | "stopped" | "paused" | "changing";
}

/** `nameTaken`: somebody else created a container of this name first. */
export type CreationOutcome =
  | { readonly kind: "created"; readonly container: ContainerFacts }
  | { readonly kind: "nameTaken" };

export interface DockerContext extends Provisioning {
  readonly plan: DockerPlan | undefined;
  readonly image: LocalImage | undefined;
  readonly tooling: Tooling | undefined;
  readonly container: ContainerFacts | undefined;
  /** Whether the container came to be by this very connection. */
  readonly isNew: boolean;
  readonly environment: Environment | undefined;
  readonly refusal: Refusal | undefined;
}

/** What the machine of images starts from. */
export interface ImageWanted extends Provisioning {
  readonly plan: DockerPlan;
}

/** What a step on a container gets. */
export interface ContainerRequest extends Provisioning {
  readonly container: ContainerFacts;
}

/** What programs are started in: a container, or in session mode a new one of this image for each. */
export type Place =
  | { readonly kind: "container"; readonly container: ContainerFacts }
  | { readonly kind: "image"; readonly image: LocalImage };

export interface OpeningRequest extends Provisioning {
  readonly place: Place;
  readonly tooling: Tooling;
}

export const planOf = ({ plan }: DockerContext): DockerPlan => {
  if (plan === undefined) throw new Error("the Engine has not been contacted yet");
  return plan;
};

export const imageWanted = (context: DockerContext): ImageWanted => {
  const { connectionId, identity, settings } = context;
  return { connectionId, identity, settings, plan: planOf(context) };
};

export const containerRequest = (context: DockerContext): ContainerRequest => {
  if (context.container === undefined) throw new Error("there is no container yet");
  return { ...context, container: context.container };
};

export const toolingOf = ({ tooling }: DockerContext): Tooling => {
  if (tooling === undefined) throw new Error("neither image nor container has been looked into yet");
  return tooling;
};

const imageOf = ({ image }: DockerContext): LocalImage => {
  if (image === undefined) throw new Error("no image has been prepared yet");
  return image;
};

export const openingRequest = (context: DockerContext): OpeningRequest => ({
  ...context,
  place:
    planOf(context).mode === "session"
      ? { kind: "image", image: imageOf(context) }
      : { kind: "container", container: containerRequest(context).container },
  tooling: toolingOf(context),
});

export const containerAbsent = (context: DockerContext): Refusal => ({
  code: "DOCKER_CONTAINER_NOT_FOUND",
  level: "notice",
  userMessage: "Your environment does not exist yet. Please ask your administrator to create it.",
  message: "The persistent container does not exist and createMissingContainers is off",
  details: { container: planOf(context).containerName },
});

export const createdBy = (outcome: CreationOutcome) =>
  outcome.kind === "created" ? { container: outcome.container, isNew: true } : {};
