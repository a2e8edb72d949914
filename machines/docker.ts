/**
 * How a connection gets its container: is the Engine there, and the image (machines/docker-image.ts); find the container
 * or create it, start it, put the login's files into it.
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
  imageWanted,
  type OpeningRequest,
  openingRequest,
  planOf,
  type Tooling,
  toolingOf,
} from "./docker-facts.ts";
import { dockerImageMachine, type ImageOutcome } from "./docker-image.ts";
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
    dockerImage: dockerImageMachine,
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
    keepImage: assign((_, outcome: ImageOutcome) =>
      outcome.kind === "present"
        ? { image: outcome.image, tooling: outcome.tooling }
        : { refusal: outcome.refusal },
    ),
  },
  guards: {
    isMode: ({ context }, mode: DockerPlan["mode"]) => planOf(context).mode === mode,
    mayCreate: ({ context }) => planOf(context).createMissing,
    exists: (_, found: object | undefined) => found !== undefined,
    wasRefused: (_, { kind }: ImageOutcome) => kind === "refused",
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
        { target: "preparingImage" },
      ],
    },

    preparingImage: {
      invoke: {
        src: "dockerImage",
        input: ({ context }) => imageWanted(context),
        onDone: [
          {
            guard: { type: "wasRefused", params: ({ event }) => event.output },
            target: "refused",
            actions: { type: "keepImage", params: ({ event }) => event.output },
          },
          {
            guard: { type: "isMode", params: "session" },
            target: "opening",
            actions: { type: "keepImage", params: ({ event }) => event.output },
          },
          {
            target: "container.creating",
            actions: { type: "keepImage", params: ({ event }) => event.output },
          },
        ],
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
              { guard: "mayCreate", target: "#docker.preparingImage" },
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
