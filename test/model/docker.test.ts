/**
 * Walks machines/docker.ts: logins whose container is made, found, resumed or refused by a real Engine. What an Engine
 * does only when it is broken, its front does in its place.
 */
import { afterAll, beforeAll } from "vitest";
import { dockerMachine } from "../../machines/docker.ts";
import type { ContainerFacts, DockerContext, DockerPlan } from "../../machines/docker-facts.ts";
import { startEngine, type TestEngine } from "../support/docker.ts";
import {
  asIs,
  before,
  breaks,
  type DockerWorld,
  dockerWorld,
  type Fate,
  sees,
  seesImageLookup,
} from "../support/model/docker-world.ts";
import { seesGranted, seesProgram, seesRefusal } from "../support/model/login.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { askingPortal, openPortal, type Portal } from "../support/model/portal.ts";
import { type Cause, done, fails, REFUSAL, walk } from "../support/model/walk.ts";
import { freePort } from "../support/ports.ts";
import { type Directory, directory } from "../support/resources.ts";

let home: Directory;
let portal: Portal;
let engine: TestEngine;
let daemon: ObservedDaemon;
/** Where nothing listens. */
let nowhere: string;

beforeAll(async () => {
  home = await directory();
  portal = await openPortal();
  engine = await startEngine();
  await engine.image("busybox:1");
  nowhere = `127.0.0.1:${await freePort()}`;
  daemon = await startObserved({ config: { ...askingPortal(portal), backend: "docker" } });
});
afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await engine?.[Symbol.asyncDispose]();
  await portal?.[Symbol.asyncDispose]();
  await home?.[Symbol.asyncDispose]();
});

type DockerCause = Cause<DockerWorld>;

const event = (state: string, output?: unknown) => done(dockerMachine, `docker.${state}`, output);
const failure = (state: string) => fails(dockerMachine, `docker.${state}`);

const IMAGE = { id: "sha256:1", entryPoint: [], command: [] };
const TOOLING = { agent: false, shell: true };
const facts = (state: ContainerFacts["state"]): ContainerFacts => ({ id: "1", state });

const plan = (chosen: Partial<DockerPlan>): DockerCause => {
  const { mode = "connection", createMissing = false } = chosen;
  return {
    event: event("contacting", {
      mode,
      pullPolicy: "IfNotPresent",
      createMissing,
      image: "",
      containerName: "",
    } satisfies DockerPlan),
    arrange: (world) => {
      Object.assign(world.execution, {
        mode,
        createMissingContainers: createMissing,
      });
    },
  };
};

const untag = (world: DockerWorld) => async (): Promise<undefined> => {
  await engine.docker.getImage(world.image).remove({ force: true });
};
const vanish = (world: DockerWorld) => async (): Promise<undefined> => {
  await world.become("absent");
};

const found = (state: Exclude<Fate, "absent">): DockerCause => ({
  event: event("container.lookingUp", facts(state)),
  arrange: (world) => void world.lookups.push(state),
});
const claimed = (state: Exclude<Fate, "absent">): DockerCause => ({
  event: event("container.claiming", facts(state)),
  // What was just created has not run yet.
  when: ({ context }) => state === "stopped" || !(context as DockerContext).isNew,
  arrange: (world) => void world.claims.push(state),
});

const byId = (verb: string) => new RegExp(`/containers/[0-9a-f]{64}/${verb}`);

walk<DockerWorld>("docker", {
  input: { connectionId: "", identity: {}, settings: {} },
  key: ({ plan: chosen, tooling, container, isNew, image }: DockerContext) => [
    chosen,
    tooling !== undefined,
    container?.state,
    isNew,
    image !== undefined,
  ],
  causes: {
    "a container for the connection": plan({}),
    "a container for each session": plan({ mode: "session" }),
    "a persistent container that must be there": plan({ mode: "persistent" }),
    "a persistent container that may be created": plan({ mode: "persistent", createMissing: true }),
    "the Engine does not answer": {
      event: failure("contacting"),
      arrange: (world) => {
        world.host = `tcp://${nowhere}`;
      },
    },

    "the image is here": {
      event: event("preparingImage", { kind: "present", image: IMAGE, tooling: TOOLING }),
      arrange: (world) => {
        world.hasImage = true;
      },
    },
    "the image can't be had": {
      event: event("preparingImage", { kind: "refused", refusal: REFUSAL }),
      arrange: (world) => {
        world.execution.imagePullPolicy = "Never";
      },
    },

    "the container is found running": found("running"),
    "the container is found stopped": found("stopped"),
    "the container is found paused": found("paused"),
    "the container is found being restarted": found("changing"),
    "there is no container": {
      event: event("container.lookingUp", undefined),
      // One image is enough for a path.
      when: ({ context }) => (context as DockerContext).image === undefined,
      arrange: (world) => void world.lookups.push("absent"),
    },
    "the container cannot be looked up": {
      event: failure("container.lookingUp"),
      arrange: (world) => void world.lookups.push("fails"),
    },
    "the container comes to rest": {
      event: event("container.settling"),
      cause: (world) => world.become("stopped"),
    },
    "the Engine breaks while the container is restarted": {
      event: failure("container.settling"),
      cause: (world) => before(world, "container is awaited", breaks),
    },
    "the container is still running": claimed("running"),
    "the container has been stopped": claimed("stopped"),
    "the container has been paused": claimed("paused"),
    "the container is being restarted": claimed("changing"),
    "the container is gone before it is claimed": {
      event: event("container.claiming", undefined),
      arrange: (world) => void world.claims.push("absent"),
    },
    "the container cannot be claimed": {
      event: failure("container.claiming"),
      arrange: (world) => void world.claims.push("fails"),
    },
    "the container is created": {
      event: event("container.creating", { kind: "created", container: facts("stopped") }),
      arrange: (world) => before(world, "container is created", asIs),
    },
    "somebody creates the container first": {
      event: event("container.creating", { kind: "nameTaken" }),
      when: ({ context }) => (context as DockerContext).plan?.mode === "persistent",
      arrange: (world) =>
        before(world, "container is created", async () => {
          await world.become("stopped");
          return undefined;
        }),
    },
    "somebody removes the image before the container is created": {
      event: failure("container.creating"),
      arrange: (world) => before(world, "container is created", untag(world)),
    },
    "the container starts": { event: event("container.starting") },
    "somebody removes the container before it starts": {
      event: failure("container.starting"),
      arrange: (world) => before(world, "container is started", vanish(world)),
    },
    "what never ran is removed": { event: event("container.discarding") },
    "the container is resumed": { event: event("container.resuming") },
    "somebody removes the container before it is resumed": {
      event: failure("container.resuming"),
      arrange: (world) => before(world, "container is resumed", vanish(world)),
    },
    "the container is looked into": { event: event("container.inspecting", TOOLING) },
    "somebody removes the container before it is looked into": {
      event: failure("container.inspecting"),
      arrange: (world) => before(world, "container is inspected", vanish(world)),
    },
    "the login's files are written": { event: event("writingFiles") },
    "a file of the login belongs below a file": {
      event: failure("writingFiles"),
      arrange: (world) => {
        world.files["/etc/passwd/below"] = "";
      },
    },
    "the environment opens": { event: event("opening", {}) },
  },
  world: () => dockerWorld(portal, engine, home.path),
  daemon: async (world) => {
    await world.prepare();
    return daemon;
  },
  begin: (world, observed) => world.logIn(observed),
  looks: {
    "docker.contacting": seesGranted,
    "docker.preparingImage": seesImageLookup,
    "docker.container.lookingUp": sees("GET", /\/containers\/lab-[\w-]+\/json$/),
    "docker.container.settling": sees("GET", byId("json$")),
    "docker.container.claiming": sees("GET", byId("json$")),
    "docker.container.creating": sees(
      "POST",
      /\/containers\/create/,
      ({ berth_mode }) => berth_mode !== "inspection",
    ),
    "docker.container.starting": sees("POST", byId("start$")),
    "docker.container.discarding": sees("DELETE", /\/containers\/[0-9a-f]{64}\?/),
    "docker.container.resuming": sees("POST", byId("unpause$")),
    "docker.container.inspecting": sees("HEAD", byId("archive")),
    "docker.writingFiles": seesGranted,
    "docker.opening": seesGranted,
    "docker.ready": seesProgram,
    "docker.refused": seesRefusal(
      ["DOCKER_ENGINE_UNREACHABLE", "does not answer"],
      ["DOCKER_IMAGE_NOT_PRESENT", "is not available here"],
      ["DOCKER_CONTAINER_LOOKUP_FAILED", "Your environment could not be looked up"],
      ["DOCKER_CONTAINER_NOT_FOUND", "does not exist yet"],
      ["DOCKER_CONTAINER_CREATE_FAILED", "could not be created"],
      ["DOCKER_CONTAINER_START_FAILED", "could not be started"],
      ["DOCKER_FILE_WRITE_FAILED", "could not be prepared"],
    ),
  },
  unreached: {
    "docker.container.running": "the end of a part, left in the same step",
    "docker.opening|xstate.error.actor.0.docker.opening|0":
      "what opens was there for every step before, and nothing is asked of the Engine",
  },
});
