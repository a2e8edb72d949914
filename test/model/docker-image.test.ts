/** Walks machines/docker-image.ts: logins whose container's image is here, pulled or refused, by a real Engine and registry. */
import { afterAll, beforeAll } from "vitest";
import type { DockerPlan } from "../../machines/docker-facts.ts";
import { dockerImageMachine } from "../../machines/docker-image.ts";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { startRegistry, type TestRegistry } from "../support/docker-registry.ts";
import {
  asIs,
  before,
  breaks,
  type DockerWorld,
  dockerWorld,
  sees,
  seesImageLookup,
} from "../support/model/docker-world.ts";
import { seesProgram, seesRefusal } from "../support/model/login.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { askingPortal, openPortal, type Portal } from "../support/model/portal.ts";
import { type Beginning, type Cause, done, fails, walk } from "../support/model/walk.ts";
import { freePort } from "../support/ports.ts";
import { type Directory, directory } from "../support/resources.ts";

let home: Directory;
let portal: Portal;
let engine: TestEngine;
let registry: TestRegistry;
let daemon: ObservedDaemon;
/** Where nothing listens. */
let nowhere: string;

beforeAll(async () => {
  home = await directory();
  portal = await openPortal();
  engine = await startEngine();
  await engine.image("busybox:1");
  registry = await startRegistry();
  nowhere = `127.0.0.1:${await freePort()}`;
  daemon = await startObserved({ config: { ...askingPortal(portal), backend: "docker" } });
});
afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  await engine?.[Symbol.asyncDispose]();
  await portal?.[Symbol.asyncDispose]();
  await home?.[Symbol.asyncDispose]();
});

type ImageCause = Cause<DockerWorld>;

const event = (state: string, output?: unknown) => done(dockerImageMachine, `dockerImage.${state}`, output);
const failure = (state: string) => fails(dockerImageMachine, `dockerImage.${state}`);

const IMAGE = { id: "sha256:1", entryPoint: [], command: [] };
const TOOLING = { agent: false, shell: true };

const policy = (pullPolicy: DockerPlan["pullPolicy"]): Beginning<DockerWorld> => ({
  input: { connectionId: "", identity: {}, settings: {}, plan: { pullPolicy } },
  arrange: (world) => {
    world.execution.imagePullPolicy = pullPolicy;
  },
});

/** The image is there when it is looked up in this state. */
const imageThere = (state: string): ImageCause => ({
  event: event(state, IMAGE),
  arrange: (world) => {
    world.hasImage = true;
    before(world, "image is looked up", asIs);
  },
});
const imageAbsent = (state: string): ImageCause => ({
  event: event(state, undefined),
  arrange: (world) => before(world, "image is looked up", asIs),
});
const lookupBreaks = (state: string): ImageCause => ({
  event: failure(state),
  arrange: (world) => before(world, "image is looked up", breaks),
});

/** The registry gets the image under a name of this world's. */
const inRegistry = async (world: DockerWorld): Promise<void> => {
  world.image = `${registry.address}/${world.name}:1`;
  await engine.docker.getImage("busybox:1").tag({ repo: `${registry.address}/${world.name}`, tag: "1" });
  await registry.push(engine, world.image);
  await engine.docker.getImage(world.image).remove({ force: true });
};
const registryGone = (world: DockerWorld): void => {
  world.image = `${nowhere}/${world.name}:1`;
};

const seesPull = sees("POST", /\/images\/create\?/);

walk<DockerWorld>("docker-image", {
  beginnings: {
    "it must be here": policy("Never"),
    "it may be pulled": policy("IfNotPresent"),
    "it is always pulled": policy("Always"),
  },
  causes: {
    "the image that must be here is": imageThere("requiringLocal"),
    "the image that must be here is not": imageAbsent("requiringLocal"),
    "the image that must be here cannot be looked up": lookupBreaks("requiringLocal"),
    "the image is here": imageThere("preferringLocal"),
    "the image is not here": imageAbsent("preferringLocal"),
    "the image cannot be looked up": lookupBreaks("preferringLocal"),
    "the registry has the missing image": { event: event("pullingMissing"), arrange: inRegistry },
    "the missing image's registry does not answer": {
      event: failure("pullingMissing"),
      arrange: registryGone,
    },
    "the registry has the image": { event: event("pullingAlways"), arrange: inRegistry },
    "the image's registry does not answer": { event: failure("pullingAlways"), arrange: registryGone },
    "an older image is here": imageThere("explainingFailedPull"),
    "no older image is here": imageAbsent("explainingFailedPull"),
    "an older image cannot be looked up": lookupBreaks("explainingFailedPull"),
    "the pulled image is here": {
      event: event("identifying", IMAGE),
      arrange: (world) => before(world, "image is looked up", asIs),
    },
    "somebody removes the pulled image at once": {
      event: event("identifying", undefined),
      arrange: (world) =>
        before(world, "image is looked up", async () => {
          await engine.docker.getImage(world.image).remove({ force: true });
          return undefined;
        }),
    },
    "the pulled image cannot be looked up": lookupBreaks("identifying"),
    "the image is looked into": { event: event("inspecting", TOOLING) },
    "the Engine knows no runtime for the image": {
      event: failure("inspecting"),
      arrange: (world) => {
        world.execution.host = { runtime: "no-such-runtime" };
      },
    },
  },
  world: () => dockerWorld(portal, engine, home.path),
  daemon: async (world) => {
    await world.prepare();
    return daemon;
  },
  begin: (world, observed) => world.logIn(observed),
  looks: {
    "dockerImage.requiringLocal": seesImageLookup,
    "dockerImage.preferringLocal": seesImageLookup,
    "dockerImage.pullingMissing": seesPull,
    "dockerImage.pullingAlways": seesPull,
    "dockerImage.explainingFailedPull": seesImageLookup,
    "dockerImage.identifying": seesImageLookup,
    "dockerImage.inspecting": sees(
      "POST",
      /\/containers\/create/,
      ({ berth_mode }) => berth_mode === "inspection",
    ),
    "dockerImage.present": seesProgram,
    "dockerImage.refused": seesRefusal(
      ["DOCKER_IMAGE_NOT_PRESENT", "is not available here"],
      ["DOCKER_IMAGE_LISTING_FAILED", "The image of your environment could not be looked up"],
      ["DOCKER_IMAGE_PULL_FAILED", "could not be fetched"],
      ["DOCKER_CONTAINER_CREATE_FAILED", "could not be created"],
    ),
  },
});
