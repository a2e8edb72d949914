/**
 * How a connection gets its container's image: is it here, may it be pulled, what does it hold. Each decision of the pull
 * policy is a state, and what the policy does not allow is refused.
 */
import { assign, setup } from "xstate";
import type { DockerPlan, ImageWanted, LocalImage, Tooling } from "./docker-facts.ts";
import { type Provisioning, type Refusal, refusalOf } from "./facts.ts";
import { required } from "./required.ts";

/** What a step on an image gets. */
export interface ImageRequest extends Provisioning {
  readonly image: LocalImage;
}

/** What the search for an image ends with. */
export type ImageOutcome =
  | { readonly kind: "present"; readonly image: LocalImage; readonly tooling: Tooling }
  | { readonly kind: "refused"; readonly refusal: Refusal };

interface ImageContext extends ImageWanted {
  readonly image: LocalImage | undefined;
  readonly tooling: Tooling | undefined;
  readonly refusal: Refusal | undefined;
}

const imageRequest = (context: ImageContext): ImageRequest => {
  if (context.image === undefined) throw new Error("no image has been found yet");
  return { ...context, image: context.image };
};

const imageAbsent = (context: ImageContext): Refusal => ({
  code: "DOCKER_IMAGE_NOT_PRESENT",
  level: "error",
  userMessage: "The image of your environment is not available here. Please ask your administrator.",
  message: "The image is not present and the pull policy Never forbids pulling it",
  details: { image: context.plan.image },
});

/** The reason of a failed pull, for an image that is there and must not be used because it may be outdated. */
const outdatedImage = (context: ImageContext): Refusal | undefined =>
  context.refusal && {
    ...context.refusal,
    userMessage: `${context.refusal.userMessage} There is an older copy of it here, but it may not be used.`,
    message: `${context.refusal.message}; a local copy exists, and the pull policy Always forbids using it`,
  };

/** A pull that succeeded and left nothing behind: a registry's or an Engine's bug, or somebody removed it at once. */
const imageVanished = (context: ImageContext): Refusal => ({
  code: "DOCKER_IMAGE_PULL_FAILED",
  level: "error",
  userMessage: "The image of your environment could not be fetched. Please try again later.",
  message: "The image was pulled and is not there",
  details: { image: context.plan.image },
});

/** How every step fails: the connection is refused with the step's own reason. */
const refused = {
  target: "refused",
  actions: { type: "keepReason", params: ({ event }: { event: { error: unknown } }) => event },
} as const;

type Found = { readonly event: { readonly output: LocalImage | undefined } };

/** The image is here, whichever way it came. */
const found = {
  guard: { type: "exists", params: ({ event }: Found) => event.output },
  target: "inspecting",
  actions: { type: "keepImage", params: ({ event }: Found) => event.output },
} as const;

export const dockerImageMachine = setup({
  types: {
    input: {} as ImageWanted,
    context: {} as ImageContext,
    output: {} as ImageOutcome,
  },
  actors: {
    findImage: required<LocalImage | undefined, Provisioning>("findImage"),
    pullImage: required<void, Provisioning>("pullImage"),
    /** What a container of this image will have. */
    inspectImage: required<Tooling, ImageRequest>("inspectImage"),
  },
  actions: {
    keepImage: assign((_, image: LocalImage | undefined) => ({ image })),
    keepReason: assign((_, { error }: { error: unknown }) => ({ refusal: refusalOf(error) })),
  },
  guards: {
    pulls: ({ context }, policy: DockerPlan["pullPolicy"]) => context.plan.pullPolicy === policy,
    exists: (_, found: object | undefined) => found !== undefined,
  },
}).createMachine({
  id: "dockerImage",
  context: ({ input }) => ({ ...input, image: undefined, tooling: undefined, refusal: undefined }),
  output: ({ context: { image, tooling, refusal } }) => {
    if (refusal !== undefined) return { kind: "refused", refusal };
    if (image === undefined || tooling === undefined) throw new Error("the image was not looked into");
    return { kind: "present", image, tooling };
  },
  initial: "choosingPolicy",
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
          found,
          {
            target: "refused",
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
        onDone: [found, { target: "pullingMissing" }],
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
            target: "refused",
            actions: assign(({ context }) => ({ refusal: outdatedImage(context) })),
          },
          { target: "refused" },
        ],
        onError: { target: "refused" },
      },
    },
    /** A pull succeeded: which image was that? */
    identifying: {
      invoke: {
        src: "findImage",
        input: ({ context }) => context,
        onDone: [
          found,
          {
            target: "refused",
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
    refused: { type: "final" },
  },
});
