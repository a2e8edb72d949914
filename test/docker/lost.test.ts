/** What happens when the Engine, a daemon or a reader is not there any more: nobody hangs, nothing is left behind. */
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Effect, Redacted } from "effect";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { encodeWhereabouts } from "../../src/backend/docker/instance.ts";
import { start } from "../support/command.ts";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { testDaemon } from "../support/docker-backend.ts";
import { engineFront } from "../support/engine-front.ts";
import { exec, runProgram, startProgram, terminal } from "../support/programs.ts";
import { eventually } from "../support/resources.ts";
import { stallingRegistry } from "../support/stalling-registry.ts";

let engine: TestEngine;
beforeEach(async () => {
  engine = await startEngine();
  await engine.image("busybox:1");
});
afterEach(() => engine?.[Symbol.asyncDispose]());

describe("an Engine that is killed", () => {
  it("ends sessions with a sentence, and serves the next login once it is back", async () => {
    const daemon = await testDaemon(engine.host);
    const connection = await daemon.connect();
    const inTerminal = await startProgram(
      connection.environment,
      { kind: "shell" },
      { terminal: terminal(80, 24) },
    );
    const byExec = await startProgram(connection.environment, exec("sleep 1000"));
    await engine.kill();
    for (const session of [inTerminal, byExec]) {
      session.stdout.resume();
      const error = await Effect.runPromise(Effect.flip(session.exit));
      expect(error.code).toBe("DOCKER_EXIT_CODE_FAILED");
      expect(error.userMessage).toContain("connection to the server that runs your environment was lost");
    }
    const refused = await daemon.connect();
    expect(refused.refusal.code).toBe("DOCKER_ENGINE_UNREACHABLE");
    await connection.close();
    expect(daemon.log.codes()).toContain("DOCKER_CONTAINER_REMOVE_FAILED");
    await engine.start();
    const again = await daemon.connect();
    expect((await runProgram(again.environment, "echo back")).stdout).toBe("back\n");
    await again.close();
    await eventually(
      async () => (await engine.containers()).length === 0,
      "the first container is removed too",
    );
  });

  it("refuses with a sentence who waits for a pull", async () => {
    const stalling = await stallingRegistry(engine);
    onTestFinished(() => stalling[Symbol.asyncDispose]());
    const daemon = await testDaemon(engine.host);
    const login = daemon.connect({ execution: { container: { Image: stalling.image } } });
    await stalling.reached;
    await engine.kill();
    const { refusal } = await login;
    expect(refusal.code).toMatch(/DOCKER_ENGINE_UNREACHABLE|DOCKER_IMAGE_PULL_FAILED/);
    expect(refusal.userMessage).not.toBe("");
  });
});

describe("a client that goes", () => {
  it.each([
    ["its image is looked up", /^GET .*\/images\//],
    ["its image is looked into", /^HEAD .*\/archive/],
    ["its container is created", /^POST .*\/containers\/create\?name=mine/],
    ["its container is started", /^POST .*\/start$/],
    ["its files are written", /^PUT .*\/archive/],
  ])("while %s leaves nothing behind", async (_, moment) => {
    const client = new AbortController();
    await using front = await engineFront(engine, ({ method, path }) => {
      if (moment.test(`${method} ${path}`)) client.abort();
      return undefined;
    });
    const gone = once(client.signal, "abort");
    const daemon = await testDaemon(front.host);
    void daemon.connect({
      execution: { containerName: "mine" },
      identity: { files: { "/tmp/file": { content: Redacted.make(Buffer.from("")), sensitive: false } } },
      signal: client.signal,
    });
    await gone;
    await daemon.close();
    await eventually(async () => (await engine.containers()).length === 0, "the container is gone");
  });
});

it("ends a pull that nobody waits for any more, and not before", async () => {
  let begin: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  let isOver = false;
  const pull = new EventEmitter();
  const host = await httpEngine((request, response) => {
    if (request.url?.includes("/images/create") !== true) return void response.writeHead(404).end("{}");
    response.write('{"status":"Pulling from library/lab","id":"1"}\n');
    response.once("close", () => {
      isOver = true;
      pull.emit("close");
    });
    begin();
  });
  const daemon = await testDaemon(host);
  const clients = [new AbortController(), new AbortController()];
  for (const { signal } of clients) {
    void daemon.connect({ execution: { container: { Image: "lab:1" } }, signal });
  }
  await begun;
  await eventually(
    async () => daemon.log.codes().filter((code) => code === "DOCKER_IMAGE_PULL").length === 2,
    "both wait for the pull",
  );
  const over = once(pull, "close");
  clients[0]?.abort();
  await daemon.connect({ execution: { container: { Image: "" } } });
  expect(isOver).toBe(false);
  clients[1]?.abort();
  await over;
});

it("refuses an Engine that is too old, and names its version", async () => {
  const host = await httpEngine(() => undefined, {
    Version: "1.6.2",
    ApiVersion: "1.18",
    MinAPIVersion: "1.12",
  });
  const daemon = await testDaemon(host);
  const { refusal } = await daemon.connect();
  expect(refusal.code).toBe("DOCKER_ENGINE_TOO_OLD");
  expect(refusal.message).toContain("1.6.2");
});

/** Something that claims to be an Engine; tells its address. */
const httpEngine = async (
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  version: object = { Version: "20.10.0", ApiVersion: "1.41", MinAPIVersion: "1.12" },
): Promise<string> => {
  const server = createServer((request, response) => {
    if (request.url === "/version") response.end(JSON.stringify(version));
    else answer(request, response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

describe("a reader", () => {
  it.each([400_000, 1_350_000, 3_000_000])(
    "that is slow gets every byte of %d, long after the program's end",
    async (size) => {
      const daemon = await testDaemon(engine.host);
      const { environment } = await daemon.connect();
      const running = await startProgram(
        environment,
        exec(`head -c ${size} /dev/zero; echo end >&2; exit 5`),
      );
      if (size < 1_400_000) {
        // What fits into the Engine's buffers has no reader to wait for; the Engine throws it away two seconds later.
        expect(await Effect.runPromise(running.exit)).toEqual({ kind: "status", status: 5 });
        await Effect.runPromise(Effect.sleep("3 seconds"));
      }
      let bytes = 0;
      running.stdout.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      running.stderr?.resume();
      await once(running.stdout, "end");
      expect(bytes).toBe(size);
      expect(await Effect.runPromise(running.exit)).toEqual({ kind: "status", status: 5 });
    },
  );

  it("that stops stops the program, and not the daemon's memory", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect();
    const running = await startProgram(environment, exec("yes | head -c 500000000"));
    const before = process.memoryUsage().rss;
    await Effect.runPromise(Effect.sleep("2 seconds"));
    expect(process.memoryUsage().rss - before).toBeLessThan(50e6);
    running.stdout.destroy();
    await running.close();
  });
});

describe("a sweep", () => {
  const left = async (name: string, labels: Record<string, string>): Promise<void> => {
    const container = await engine.docker.createContainer({
      name,
      Image: "busybox:1",
      Cmd: ["/bin/sh", "-c", "sleep 10000"],
      Labels: labels,
    });
    await container.start();
  };

  const names = async () => (await engine.containers()).map(({ Names }) => Names[0]?.slice(1)).toSorted();

  it("removes what provably belongs to daemons that are gone, and nothing else", async () => {
    const dead = start("/bin/true", []);
    await dead.ending;
    const daemon = await testDaemon(engine.host);
    const here = daemon.shared.instance.whereabouts;
    if (here === undefined) throw new Error("this test needs Linux");
    const from = (change: Partial<typeof here>) => ({
      berth_instance: "another",
      berth_mode: "connection",
      berth_whereabouts: encodeWhereabouts({ ...here, ...change }),
    });
    await left("of-a-dead-process", from({ pid: dead.pid }));
    await left("of-a-process-whose-id-was-used-again", from({ started: "1" }));
    await left("of-this-host-before-it-booted", from({ boot: "another-boot" }));
    await left("of-a-living-process", from({}));
    await left("of-another-host", from({ boot: "another-boot", host: "another" }));
    await left("of-another-pid-namespace", from({ pidNamespace: "pid:[1]", pid: dead.pid }));
    await left("of-nobody-knows-whom", { berth_instance: "another" });
    await left("persistent", { ...from({ pid: dead.pid }), berth_mode: "persistent" });
    await left("somebody-elses", { some: "label" });
    const connection = await daemon.connect();
    await eventually(async () => !(await names()).includes("of-a-dead-process"), "the sweep is done");
    await eventually(async () => daemon.log.codes().includes("DOCKER_CONTAINERS_SWEPT"), "the sweep is done");
    await connection.close();
    expect(await names()).toEqual([
      "of-a-living-process",
      "of-another-host",
      "of-another-pid-namespace",
      "of-nobody-knows-whom",
      "persistent",
      "somebody-elses",
    ]);
  });
});
