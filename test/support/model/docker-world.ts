/**
 * One login with the Docker backend, as a world for walks: an Engine whose requests can be seen, and one place for what
 * is to have become of images and containers by the time the Engine is asked for them.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type Dockerode from "dockerode";
import type { TestEngine } from "../docker.ts";
import { type EngineAnswer, type EngineFront, type EngineRequest, engineFront } from "../engine-front.ts";
import { eventually } from "../resources.ts";
import { type LoginWorld, loginWorld } from "./login.ts";
import type { Portal } from "./portal.ts";
import type { Look } from "./walk.ts";

/** What a container of somebody's can have become; `changing` is one that the Engine restarts again and again. */
export type Fate = "absent" | "running" | "stopped" | "paused" | "changing";

/** What the next request of a kind comes upon; `fails`: the Engine has an error of its own. */
export type Fates = Array<Fate | "fails">;

/** The requests of a login that something can be done before. */
export type Moment =
  | "image is looked up"
  | "image is inspected"
  | "container is looked up"
  | "container is claimed"
  | "container is awaited"
  | "container is created"
  | "container is started"
  | "container is resumed"
  | "container is inspected";

export interface DockerWorld extends LoginWorld {
  readonly name: string;
  image: string;
  /** Whether the Engine has the image when the daemon is asked. */
  hasImage: boolean;
  readonly execution: Record<string, unknown>;
  host: string;
  readonly front: EngineFront;
  readonly lookups: Fates;
  readonly claims: Fates;
  /** What to do at a moment, for as many times as there is something. */
  readonly before: Map<Moment, Array<() => Promise<EngineAnswer | undefined>>>;
  readonly become: (fate: Fate) => Promise<void>;
  /** Everything is arranged: the images are put in place. */
  readonly prepare: () => Promise<void>;
}

const BROKEN: EngineAnswer = { status: 500, body: { message: "no space left on device" } };

export const breaks = async (): Promise<EngineAnswer> => BROKEN;

/** Does something before the next request of a kind for which nothing is planned yet. */
export const before = (
  world: DockerWorld,
  moment: Moment,
  act: () => Promise<EngineAnswer | undefined>,
): void => {
  world.before.set(moment, [...(world.before.get(moment) ?? []), act]);
};

/** What is planned before a request that nothing happens before. */
export const asIs = async (): Promise<undefined> => undefined;

/** The Engine was asked this, about a container with such labels where one is created. */
export const sees =
  (
    method: string,
    path: RegExp,
    labelled: (labels: Readonly<Record<string, string>>) => boolean = () => true,
  ): Look<DockerWorld> =>
  async ({ front }) => {
    const isSo = (request: EngineRequest): boolean =>
      request.method === method &&
      path.test(request.path) &&
      labelled((request.body?.Labels ?? {}) as Readonly<Record<string, string>>);
    await eventually(async () => front.requests.some(isSo), `the Engine was asked ${method} ${path}`);
  };

export const seesImageLookup = sees("GET", /\/images\/.+\/json$/);

/** A container that runs while its switch is there, and is restarted for ever while it is not. */
const RESTARTING = "while [ -e /switches/on ]; do sleep 0.1; done; exit 1";
/** From then on the Engine pauses for seconds before it restarts a container again. */
const MANY_RESTARTS = 5;

export const dockerWorld = async (
  portal: Portal,
  engine: TestEngine,
  directory: string,
): Promise<DockerWorld> => {
  const login = loginWorld(portal);
  const name = `lab-${login.username}`;
  const switches = join(directory, name);
  await mkdir(switches);
  const container = () => engine.docker.getContainer(name);
  const inspect = (): Promise<Dockerode.ContainerInspectInfo | undefined> =>
    container()
      .inspect()
      .catch((error: { statusCode?: number }) => {
        if (error.statusCode === 404) return undefined;
        throw error;
      });

  const become = async (fate: Fate): Promise<void> => {
    const found = await inspect();
    if (fate === "absent") {
      if (found !== undefined) await container().remove({ force: true }).catch(isSo);
      await eventually(async () => (await inspect()) === undefined, "the container is gone");
      return;
    }
    if (found === undefined) {
      await engine.docker.createContainer({
        name,
        Image: "busybox:1",
        Cmd: ["/bin/sh", "-c", RESTARTING],
        HostConfig: { Binds: [`${switches}:/switches`], RestartPolicy: { Name: "always" } },
      });
    }
    if (found?.State.Paused === true) await container().unpause();
    if (fate !== "changing") await writeFile(join(switches, "on"), "");
    if (fate === "stopped") {
      await container().stop({ t: 0 }).catch(isSo);
      return;
    }
    if (fate === "changing") {
      await rm(join(switches, "on"), { force: true });
      await container().start().catch(isSo);
      await eventually(async () => {
        const now = await inspect();
        return now?.State.Restarting === true && now.RestartCount >= MANY_RESTARTS;
      }, "the Engine restarts the container again and again");
      return;
    }
    await container().start().catch(isSo);
    await eventually(async () => {
      const now = await inspect();
      return now?.State.Running === true && !now.State.Restarting;
    }, "the container runs");
    if (fate === "paused") await container().pause();
  };

  const lookups: Fates = [];
  const claims: Fates = [];
  const before: DockerWorld["before"] = new Map();
  let isFound = false;
  let isClaimed = false;
  const settle = async (fate: Fate | "fails" | undefined): Promise<EngineAnswer | undefined> => {
    if (fate === "fails") return BROKEN;
    if (fate !== undefined) await become(fate);
    return undefined;
  };
  const front = await engineFront(engine, async (request) => {
    const moment = momentOf(request, name, isFound);
    // An image is looked into by a container of its own before.
    if (moment === undefined || (moment === "container is inspected" && !isClaimed)) return undefined;
    const answer = await before.get(moment)?.shift()?.();
    if (answer !== undefined) return answer;
    if (moment === "container is looked up") {
      const fate = lookups.shift();
      isFound = fate === "running" || fate === "stopped" || fate === "paused";
      return settle(fate);
    }
    if (moment === "container is created") isFound = true;
    if (moment !== "container is claimed") return undefined;
    isFound = false;
    isClaimed = true;
    return settle(claims.shift());
  });

  const loggedOut = login[Symbol.asyncDispose];
  const world: DockerWorld = Object.assign(login, {
    name,
    image: `${name}:1`,
    hasImage: false,
    execution: { containername: name, shellCommand: ["/bin/sh"] },
    host: front.host,
    front,
    lookups,
    claims,
    before,
    become,
    prepare: async () => {
      const { image, hasImage, host, execution } = world;
      if (hasImage) {
        const end = image.lastIndexOf(":");
        await engine.docker
          .getImage("busybox:1")
          .tag({ repo: image.slice(0, end), tag: image.slice(end + 1) });
      }
      world.overlay.docker = { connection: { host }, execution: { ...execution, container: { image } } };
    },
    [Symbol.asyncDispose]: async () => {
      await loggedOut();
      await become("absent");
      await front[Symbol.asyncDispose]();
    },
  });
  return world;
};

/** The container is as it should become already, or somebody is just seeing to it. */
const isSo = (error: { statusCode?: number }): void => {
  if (![304, 404, 409].includes(error.statusCode ?? 0)) throw error;
};

/** `isFound`: the container was looked up or created, and not claimed yet. */
const momentOf = (
  { method, path, body }: EngineRequest,
  name: string,
  isFound: boolean,
): Moment | undefined => {
  const target = path.replace(/^\/v[\d.]+/, "");
  if (method === "GET" && /^\/images\/.+\/json$/.test(target)) return "image is looked up";
  if (target === `/containers/${name}/json`) return "container is looked up";
  if (/^\/containers\/[0-9a-f]{64}\/json$/.test(target))
    return isFound ? "container is claimed" : "container is awaited";
  if (target.startsWith("/containers/create")) {
    const { berth_mode: mode } = (body?.Labels ?? {}) as Readonly<Record<string, string>>;
    return mode === "inspection" ? "image is inspected" : "container is created";
  }
  if (/^\/containers\/[0-9a-f]{64}\/start$/.test(target)) return "container is started";
  if (/^\/containers\/[0-9a-f]{64}\/unpause$/.test(target)) return "container is resumed";
  if (method === "HEAD" && target.includes("/archive")) return "container is inspected";
  return undefined;
};
