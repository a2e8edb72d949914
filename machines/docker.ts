/**
 * How a connection gets its container: is the Engine there, is the image, may it be pulled; find the container or
 * create it, start it, put the login's files into it. Every reason to refuse has its state.
 */
import { assign, setup } from "xstate";
import {
  type ContainerFacts,
  type ContainerRequest,
  type CreationOutcome,
  containerAbsent,
  containerRequest,
  createdBy,
  type DockerContext,
  type DockerPlan,
  type ImageRequest,
  imageAbsent,
  imageRequest,
  imageVanished,
  type LocalImage,
  type OpeningRequest,
  openingRequest,
  outdatedImage,
  planOf,
  type Tooling,
  toolingOf,
} from "./docker-facts.ts";
import { type Environment, type Provisioning, type ProvisioningOutcome, refusalOf } from "./facts.ts";
import { required } from "./required.ts";

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
