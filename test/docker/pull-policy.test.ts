/**
 * Which pull policy asks a registry for what, proved by the registry's own log: 3 policies × {absent, present,
 * present with `:latest`, present without a tag, by digest, registry down}.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { testDaemon } from "../support/docker-backend.ts";
import { startRegistry, type TestRegistry } from "../support/docker-registry.ts";
import { runProgram } from "../support/programs.ts";
import type { Connection } from "../support/provisioning.ts";

type Policy = "Never" | "IfNotPresent" | "Always";
type Situation =
  | "absent"
  | "present"
  | "present with :latest"
  | "present without tag"
  | "present by digest"
  | "absent, by digest"
  | "present, registry down"
  | "absent, registry down";

let engine: TestEngine;
let registry: TestRegistry;
let digest: string;

beforeAll(async () => {
  engine = await startEngine();
  registry = await startRegistry();
  for (const tag of ["1", "latest"]) {
    await engine.image(`${registry.address}/lab:${tag}`, { files: { "/version": "from the registry\n" } });
    const pushed = await registry.push(engine, `${registry.address}/lab:${tag}`);
    if (tag === "1") digest = pushed;
  }
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await engine?.[Symbol.asyncDispose]();
});

/** What each test finds: nothing of the image, or a copy that is older than the registry's. */
beforeEach(async () => {
  for (const { Id } of await engine.docker.listImages())
    await engine.docker.getImage(Id).remove({ force: true });
});

const makeLocal = async (tag: string): Promise<void> => {
  await engine.image(`${registry.address}/lab:${tag}`, { files: { "/version": "made here\n" } });
};

const prepare = async (situation: Situation): Promise<string> => {
  const name = `${registry.address}/lab`;
  switch (situation) {
    case "absent":
    case "absent, registry down":
      return `${name}:1`;
    case "present":
    case "present, registry down":
      await makeLocal("1");
      return `${name}:1`;
    case "present with :latest":
      await makeLocal("latest");
      return `${name}:latest`;
    case "present without tag":
      await makeLocal("latest");
      return name;
    case "present by digest":
      await engine.docker
        .pull(`${name}@${digest}`)
        .then((answer) => new Promise((resolve) => engine.docker.modem.followProgress(answer, resolve)));
      return `${name}@${digest}`;
    case "absent, by digest":
      return `${name}@${digest}`;
  }
};

const login = async (imagePullPolicy: Policy, situation: Situation): Promise<Connection> => {
  const Image = await prepare(situation);
  await registry.requests();
  const isDown = situation.endsWith("registry down");
  if (isDown) await registry.stop();
  try {
    const daemon = await testDaemon(engine.host);
    return await daemon.connect({ execution: { container: { Image }, imagePullPolicy } });
  } finally {
    if (isDown) await registry.start();
  }
};

/** What programs in it find, or the code of the refusal. */
const version = async (connection: Connection): Promise<string> =>
  connection.outcome.kind === "refused"
    ? connection.refusal.code
    : (await runProgram(connection.environment, "cat /version")).stdout.trim();

describe.each([
  ["Never", "absent", "DOCKER_IMAGE_NOT_PRESENT", undefined],
  ["Never", "present", "made here", undefined],
  ["Never", "present with :latest", "made here", undefined],
  ["Never", "present without tag", "made here", undefined],
  ["Never", "present by digest", "from the registry", undefined],
  ["Never", "absent, by digest", "DOCKER_IMAGE_NOT_PRESENT", undefined],
  ["Never", "present, registry down", "made here", undefined],
  ["Never", "absent, registry down", "DOCKER_IMAGE_NOT_PRESENT", undefined],
  ["IfNotPresent", "absent", "from the registry", "1"],
  ["IfNotPresent", "present", "made here", undefined],
  ["IfNotPresent", "present with :latest", "made here", undefined],
  ["IfNotPresent", "present without tag", "made here", undefined],
  ["IfNotPresent", "present by digest", "from the registry", undefined],
  ["IfNotPresent", "absent, by digest", "from the registry", "digest"],
  ["IfNotPresent", "present, registry down", "made here", undefined],
  ["IfNotPresent", "absent, registry down", "DOCKER_IMAGE_PULL_FAILED", undefined],
  ["Always", "absent", "from the registry", "1"],
  ["Always", "present", "from the registry", "1"],
  ["Always", "present with :latest", "from the registry", "latest"],
  ["Always", "present without tag", "from the registry", "latest"],
  ["Always", "present by digest", "from the registry", "digest"],
  ["Always", "absent, by digest", "from the registry", "digest"],
  ["Always", "present, registry down", "DOCKER_IMAGE_PULL_FAILED", undefined],
  ["Always", "absent, registry down", "DOCKER_IMAGE_PULL_FAILED", undefined],
] satisfies ReadonlyArray<[Policy, Situation, string, string | undefined]>)(
  "%s, the image is %s",
  (policy, situation, found, tag) => {
    it(`gives ${found} and asks the registry for ${tag ?? "nothing"}`, async () => {
      const connection = await login(policy, situation);
      expect(await version(connection)).toBe(found);
      const requests = await registry.requests();
      if (tag === undefined) expect(requests).toEqual([]);
      // What a digest names can't have changed: the Engine does not ask for its manifest again.
      else expect(requests).toContain(tag === "digest" ? "GET " : `HEAD lab/manifests/${tag}`);
    });
  },
);

it("says under Always that an older copy is here and may not be used", async () => {
  const { refusal, states } = await login("Always", "present, registry down");
  expect(refusal.userMessage).toContain("older copy");
  expect(refusal.message).toContain("a local copy exists");
  expect(states).toContain("explainingFailedPull");
});

it("shows people at a terminal that their image is on its way", async () => {
  const { notices } = await login("IfNotPresent", "absent");
  expect(notices.join("\n")).toMatch(/Fetching your environment[\s\S]*\d of \d layers/);
});

it("pulls an image once for all connections that need it at the same time", async () => {
  const Image = await prepare("absent");
  await registry.requests();
  const daemon = await testDaemon(engine.host);
  const connections = await Promise.all(
    Array.from({ length: 5 }, () => daemon.connect({ execution: { container: { Image } } })),
  );
  for (const connection of connections) expect(await version(connection)).toBe("from the registry");
  expect((await registry.requests()).filter((request) => request.startsWith("HEAD"))).toHaveLength(1);
});

describe("a registry that wants credentials", () => {
  const account = {
    username: "puller",
    password: "a-pass:word",
    hash: "$2b$05$9j.lFNvtATMmP6xjU9GTKeNif5wpM2U6rSjWnK4E9DRK.0g0Co0Be",
  };
  let guarded: TestRegistry;
  let image: string;
  beforeAll(async () => {
    guarded = await startRegistry(account);
    image = `${guarded.address}/lab:1`;
  });
  afterAll(() => guarded?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    await engine.image(image, { files: { "/version": "from the guarded registry\n" } });
    await guarded.push(engine, image);
    await engine.docker.getImage(image).remove({ force: true });
  });

  const connect = async (auth: object): Promise<Connection> =>
    (await testDaemon(engine.host)).connect({ execution: { container: { Image: image }, auth } });

  it("gets the configured ones, of which nothing is logged", async () => {
    const { username, password } = account;
    const connection = await connect({ username, password });
    expect(await version(connection)).toBe("from the guarded registry");
    const encoded = Buffer.from(`${username}:${password}`).toString("base64");
    for (const secret of [password, encoded]) expect(connection.log.text()).not.toContain(secret);
  });

  it.each([
    ["wrong", { username: "puller", password: "another" }],
    ["no", {}],
  ])("refuses who has %s ones, and the log says so", async (_, auth) => {
    const { refusal } = await connect(auth);
    expect(refusal.code).toBe("DOCKER_IMAGE_PULL_FAILED");
    expect(refusal.message).toMatch(/unauthorized|credentials|denied/);
    expect(refusal.userMessage).not.toContain(guarded.address);
  });
});
