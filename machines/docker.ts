/**
 * How a connection gets its container: is the Engine there, is the image, may it be pulled; find the container or
 * create it, start it, put the login's files into it. Every reason to refuse has its state.
 */
import { assign, setup } from "xstate";
import {
  type Environment,
  type Provisioning,
  type ProvisioningOutcome,
  type Refusal,
  refusalOf,
} from "./facts.ts";
import { required } from "./required.ts";

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

/** What a step on an image gets. */
export interface ImageRequest extends Provisioning {
  readonly image: LocalImage;
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

const planOf = ({ plan }: DockerContext): DockerPlan => {
  if (plan === undefined) throw new Error("the Engine has not been contacted yet");
  return plan;
};

const imageRequest = (context: DockerContext): ImageRequest => {
  if (context.image === undefined) throw new Error("no image has been found yet");
  return { ...context, image: context.image };
};

const containerRequest = (context: DockerContext): ContainerRequest => {
  if (context.container === undefined) throw new Error("there is no container yet");
  return { ...context, container: context.container };
};

const toolingOf = ({ tooling }: DockerContext): Tooling => {
  if (tooling === undefined) throw new Error("neither image nor container has been looked into yet");
  return tooling;
};

const openingRequest = (context: DockerContext): OpeningRequest => ({
  ...context,
  place:
    planOf(context).mode === "session"
      ? { kind: "image", image: imageRequest(context).image }
      : { kind: "container", container: containerRequest(context).container },
  tooling: toolingOf(context),
});

const imageAbsent = (context: DockerContext): Refusal => ({
  code: "DOCKER_IMAGE_NOT_PRESENT",
  level: "error",
  userMessage: "The image of your environment is not available here. Please ask your administrator.",
  message: "The image is not present and the pull policy Never forbids pulling it",
  details: { image: planOf(context).image },
});

const containerAbsent = (context: DockerContext): Refusal => ({
  code: "DOCKER_CONTAINER_NOT_FOUND",
  level: "notice",
  userMessage: "Your environment does not exist yet. Please ask your administrator to create it.",
  message: "The persistent container does not exist and createMissingContainers is off",
  details: { container: planOf(context).containerName },
});

/** The reason of a failed pull, for an image that is there and must not be used because it may be outdated. */
const outdatedImage = (context: DockerContext): Refusal | undefined =>
  context.refusal && {
    ...context.refusal,
    userMessage: `${context.refusal.userMessage} There is an older copy of it here, but it may not be used.`,
    message: `${context.refusal.message}; a local copy exists, and the pull policy Always forbids using it`,
  };

/** A pull that succeeded and left nothing behind: a registry's or an Engine's bug, or somebody removed it at once. */
const imageVanished = (context: DockerContext): Refusal => ({
  code: "DOCKER_IMAGE_PULL_FAILED",
  level: "error",
  userMessage: "The image of your environment could not be fetched. Please try again later.",
  message: "The image was pulled and is not there",
  details: { image: planOf(context).image },
});

const createdBy = (outcome: CreationOutcome) =>
  outcome.kind === "created" ? { container: outcome.container, isNew: true } : {};

/** How every step fails: the connection is refused with the step's own reason. */
const refused = {
  target: "#docker.refused",
  actions: { type: "keepReason", params: ({ event }: { event: { error: unknown } }) => event },
} as const;

export const dockerMachine = setup({
  types: {
    input: {} as Provisioning,
    context: {} as DockerContext,
    output: {} as ProvisioningOutcome,
  },
  actors: {
    /** Negotiates the API version with the Engine and reads what this connection asks for. */
    contactEngine: required<DockerPlan, Provisioning>("contactEngine"),
    findImage: required<LocalImage | undefined, Provisioning>("findImage"),
    pullImage: required<void, Provisioning>("pullImage"),
    /** What a container of this image will have. */
    inspectImage: required<Tooling, ImageRequest>("inspectImage"),
    findContainer: required<ContainerFacts | undefined, Provisioning>("findContainer"),
    /** Waits until a container that is restarting or being removed has come to rest. */
    awaitContainer: required<void, ContainerRequest>("awaitContainer"),
    /** Marks a persistent container as in use; undefined when it was gone before that. */
    claimContainer: required<ContainerFacts | undefined, ContainerRequest>("claimContainer"),
    createContainer: required<CreationOutcome, Provisioning & { readonly tooling: Tooling }>(
      "createContainer",
    ),
    startContainer: required<void, ContainerRequest>("startContainer"),
    resumeContainer: required<void, ContainerRequest>("resumeContainer"),
    discardContainer: required<void, ContainerRequest>("discardContainer"),
    inspectContainer: required<Tooling, ContainerRequest>("inspectContainer"),
    writeFiles: required<void, ContainerRequest & { readonly tooling: Tooling }>("writeFiles"),
    openEnvironment: required<Environment, OpeningRequest>("openEnvironment"),
  },
  actions: {
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
  },
  guards: {
    pulls: ({ context }, policy: DockerPlan["pullPolicy"]) => planOf(context).pullPolicy === policy,
    isMode: ({ context }, mode: DockerPlan["mode"]) => planOf(context).mode === mode,
    mayCreate: ({ context }) => planOf(context).createMissing,
    exists: (_, found: object | undefined) => found !== undefined,
    isToolingKnown: ({ context }) => context.tooling !== undefined,
    isContainer: ({ context }, state: ContainerFacts["state"]) => context.container?.state === state,
    isNew: ({ context }) => context.isNew,
    isNameTaken: (_, { kind }: CreationOutcome) => kind === "nameTaken",
  },
}).createMachine({
  id: "docker",
  context: ({ input }) => ({
    ...input,
    plan: undefined,
    image: undefined,
    tooling: undefined,
    container: undefined,
    isNew: false,
    environment: undefined,
    refusal: undefined,
  }),
  output: ({ context: { environment, refusal } }) => {
    if (refusal !== undefined) return { kind: "refused", refusal };
    if (environment === undefined) throw new Error("provisioning ended with nothing");
    return { kind: "ready", environment };
  },
  initial: "contacting",
  states: {
    contacting: {
      invoke: {
        src: "contactEngine",
        input: ({ context }) => context,
        onDone: { target: "choosingMode", actions: assign(({ event }) => ({ plan: event.output })) },
        onError: refused,
      },
    },
    choosingMode: {
      always: [
        { guard: { type: "isMode", params: "persistent" }, target: "container.lookingUp" },
        { target: "image" },
      ],
    },

    /** One state for each decision of the pull policy. */
    image: {
      initial: "choosingPolicy",
      onDone: [
        { guard: { type: "isMode", params: "session" }, target: "opening" },
        { target: "container.creating" },
      ],
      states: {
        choosingPolicy: {
          always: [
            { guard: { type: "pulls", params: "Never" }, target: "requiringLocal" },
            { guard: { type: "pulls", params: "IfNotPresent" }, target: "preferringLocal" },
            { target: "pullingAlways" },
          ],
        },
        /** Never: what is not here can't be used. */
        requiringLocal: {
          invoke: {
            src: "findImage",
            input: ({ context }) => context,
            onDone: [
              {
                guard: { type: "exists", params: ({ event }) => event.output },
                target: "inspecting",
                actions: assign(({ event }) => ({ image: event.output })),
              },
              {
                target: "#docker.refused",
                actions: assign(({ context }) => ({ refusal: imageAbsent(context) })),
              },
            ],
            onError: refused,
          },
        },
        /** IfNotPresent: what is here is used whatever its tag, and no registry is asked. */
        preferringLocal: {
          invoke: {
            src: "findImage",
            input: ({ context }) => context,
            onDone: [
              {
                guard: { type: "exists", params: ({ event }) => event.output },
                target: "inspecting",
                actions: assign(({ event }) => ({ image: event.output })),
              },
              { target: "pullingMissing" },
            ],
            onError: refused,
          },
        },
        pullingMissing: {
          invoke: {
            src: "pullImage",
            input: ({ context }) => context,
            onDone: { target: "identifying" },
            onError: refused,
          },
        },
        /** Always: the registry has the last word. */
        pullingAlways: {
          invoke: {
            src: "pullImage",
            input: ({ context }) => context,
            onDone: { target: "identifying" },
            onError: {
              target: "explainingFailedPull",
              actions: { type: "keepReason", params: ({ event }) => event },
            },
          },
        },
        /** Always, and the pull failed: a refusal either way, but the operator wants to know what is here. */
        explainingFailedPull: {
          invoke: {
            src: "findImage",
            input: ({ context }) => context,
            onDone: [
              {
                guard: { type: "exists", params: ({ event }) => event.output },
                target: "#docker.refused",
                actions: assign(({ context }) => ({ refusal: outdatedImage(context) })),
              },
              { target: "#docker.refused" },
            ],
            onError: { target: "#docker.refused" },
          },
        },
        /** A pull succeeded: which image was that? */
        identifying: {
          invoke: {
            src: "findImage",
            input: ({ context }) => context,
            onDone: [
              {
                guard: { type: "exists", params: ({ event }) => event.output },
                target: "inspecting",
                actions: assign(({ event }) => ({ image: event.output })),
              },
              {
                target: "#docker.refused",
                actions: assign(({ context }) => ({ refusal: imageVanished(context) })),
              },
            ],
            onError: refused,
          },
        },
        /** How programs are started in it depends on what it holds. */
        inspecting: {
          invoke: {
            src: "inspectImage",
            input: ({ context }) => imageRequest(context),
            onDone: { target: "present", actions: assign(({ event }) => ({ tooling: event.output })) },
            onError: refused,
          },
        },
        present: { type: "final" },
      },
    },

    container: {
      initial: "lookingUp",
      onDone: { target: "writingFiles" },
      states: {
        lookingUp: {
          invoke: {
            src: "findContainer",
            input: ({ context }) => context,
            onDone: [
              {
                guard: { type: "exists", params: ({ event }) => event.output },
                target: "found",
                actions: assign(({ event }) => ({
                  container: event.output,
                  isNew: false,
                  tooling: undefined,
                })),
              },
              { guard: "mayCreate", target: "#docker.image" },
              {
                target: "#docker.refused",
                actions: assign(({ context }) => ({ refusal: containerAbsent(context) })),
              },
            ],
            onError: refused,
          },
        },
        found: {
          always: [
            { guard: { type: "isContainer", params: "changing" }, target: "settling" },
            { target: "claiming" },
          ],
        },
        settling: {
          invoke: {
            src: "awaitContainer",
            input: ({ context }) => containerRequest(context),
            onDone: { target: "lookingUp" },
            onError: refused,
          },
        },
        /** From here on nobody's idle timeout removes it. */
        claiming: {
          invoke: {
            src: "claimContainer",
            input: ({ context }) => containerRequest(context),
            onDone: [
              {
                guard: { type: "exists", params: ({ event }) => event.output },
                target: "claimed",
                actions: assign(({ event }) => ({ container: event.output })),
              },
              { target: "lookingUp" },
            ],
            onError: refused,
          },
        },
        claimed: {
          always: [
            { guard: { type: "isContainer", params: "running" }, target: "inspecting" },
            { guard: { type: "isContainer", params: "paused" }, target: "resuming" },
            { guard: { type: "isContainer", params: "stopped" }, target: "starting" },
            { target: "settling" },
          ],
        },
        creating: {
          invoke: {
            src: "createContainer",
            input: ({ context }) => ({ ...context, tooling: toolingOf(context) }),
            onDone: [
              { guard: { type: "isNameTaken", params: ({ event }) => event.output }, target: "lookingUp" },
              {
                guard: { type: "isMode", params: "persistent" },
                target: "claiming",
                actions: assign(({ event }) => createdBy(event.output)),
              },
              { target: "starting", actions: assign(({ event }) => createdBy(event.output)) },
            ],
            onError: refused,
          },
        },
        starting: {
          invoke: {
            src: "startContainer",
            input: ({ context }) => containerRequest(context),
            onDone: [{ guard: "isToolingKnown", target: "running" }, { target: "inspecting" }],
            onError: [
              {
                guard: "isNew",
                target: "discarding",
                actions: { type: "keepReason", params: ({ event }) => event },
              },
              refused,
            ],
          },
        },
        /** What never ran must not be found by the next login: it would fail for ever. */
        discarding: {
          invoke: {
            src: "discardContainer",
            input: ({ context }) => containerRequest(context),
            onDone: { target: "#docker.refused" },
            onError: { target: "#docker.refused" },
          },
        },
        resuming: {
          invoke: {
            src: "resumeContainer",
            input: ({ context }) => containerRequest(context),
            onDone: { target: "inspecting" },
            onError: refused,
          },
        },
        /** A container that was there already may hold something else than its image does. */
        inspecting: {
          invoke: {
            src: "inspectContainer",
            input: ({ context }) => containerRequest(context),
            onDone: { target: "running", actions: assign(({ event }) => ({ tooling: event.output })) },
            onError: refused,
          },
        },
        running: { type: "final" },
      },
    },

    writingFiles: {
      invoke: {
        src: "writeFiles",
        input: ({ context }) => ({ ...containerRequest(context), tooling: toolingOf(context) }),
        onDone: { target: "opening" },
        onError: refused,
      },
    },
    opening: {
      invoke: {
        src: "openEnvironment",
        input: ({ context }) => openingRequest(context),
        onDone: { target: "ready", actions: assign(({ event }) => ({ environment: event.output })) },
        onError: refused,
      },
    },
    ready: { type: "final" },
    refused: { type: "final" },
  },
});
