/** What nobody uses any more on a real Engine: containers that stay, their markers, and the Engine itself. */
import { Duration } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { testDaemon } from "../support/docker-backend.ts";
import { runProgram } from "../support/programs.ts";
import { eventually } from "../support/resources.ts";

let engine: TestEngine;
beforeAll(async () => {
  engine = await startEngine();
  await engine.image("busybox:1");
});
afterAll(() => engine?.[Symbol.asyncDispose]());

const names = async (): Promise<readonly string[]> =>
  (await engine.containers()).flatMap(({ Names }) => Names.map((name) => name.slice(1)));

const volumes = async (): Promise<readonly string[]> =>
  ((await engine.docker.listVolumes()).Volumes ?? []).map(({ Name }) => Name);

describe("idleTimeout", () => {
  const execution = (name: string, idleTimeout: string) => ({
    mode: "persistent",
    containerName: name,
    createMissingContainers: true,
    idleTimeout,
  });
  const exists = async (name: string) => (await names()).includes(name);
  const gone = (name: string) => eventually(async () => !(await exists(name)), `${name} is gone`);
  /** How much later than it should something may happen on a busy machine. */
  const NOISE_MILLIS = 10_000;

  it("removes a container that long after the last connection has left it, and its markers", async () => {
    const daemon = await testDaemon(engine.host);
    const first = await daemon.connect({ execution: execution("idle-a", "2s") });
    const second = await daemon.connect({ execution: execution("idle-a", "2s") });
    const [id] = (await engine.containers())
      .filter(({ Names }) => Names.includes("/idle-a"))
      .map(({ Id }) => Id);
    await first.close();
    expect((await runProgram(second.environment, "sleep 3; echo here")).stdout).toBe("here\n");
    const leaving = performance.now();
    await second.close();
    const due = performance.now() + 2000;
    await gone("idle-a");
    expect(performance.now() - leaving).toBeGreaterThan(2000);
    expect(performance.now() - due).toBeLessThan(NOISE_MILLIS);
    await eventually(
      async () => (await volumes()).every((name) => !name.includes(id?.slice(0, 12) ?? "?")),
      "the markers are gone",
    );
  });

  it("counts on when the daemon ends in between, and leaves what is used by another daemon alone", async () => {
    const before = await testDaemon(engine.host);
    const connection = await before.connect({ execution: execution("idle-b", "3s") });
    const used = await before.connect({ execution: execution("idle-c", "1s") });
    const other = await testDaemon(engine.host);
    const still = await other.connect({ execution: execution("idle-c", "1s") });
    const leaving = performance.now();
    await connection.close();
    await used.close();
    await before.close();
    const after = await testDaemon(engine.host);
    await after.connect({ execution: execution("idle-d", "0s") });
    // When somebody looks who knows of it, and the time is over.
    const due = Math.max(leaving + 3000, performance.now());
    await gone("idle-b");
    expect(performance.now() - leaving).toBeGreaterThan(3000);
    expect(performance.now() - due).toBeLessThan(NOISE_MILLIS);
    expect((await runProgram(still.environment, "echo here")).stdout).toBe("here\n");
    await still.close();
    await gone("idle-c");
  });

  it("never removes a container that Berth did not create", async () => {
    const container = await engine.docker.createContainer({
      name: "somebodys",
      Image: "busybox:1",
      Cmd: ["/bin/sh", "-c", "sleep 10000"],
    });
    await container.start();
    const daemon = await testDaemon(engine.host);
    const { environment, close } = await daemon.connect({ execution: execution("somebodys", "1s") });
    expect((await runProgram(environment, "echo in")).stdout).toBe("in\n");
    await close();
    const own = await daemon.connect({ execution: execution("idle-e", "2s") });
    await own.close();
    await gone("idle-e");
    expect(await exists("somebodys")).toBe(true);
    await container.remove({ force: true });
  });
});

describe("an Engine", () => {
  it("is forgotten when nobody uses it and no container of Berth's may become idle there", async () => {
    const daemon = await testDaemon(engine.host, Duration.millis(100));
    const forgotten = () => eventually(async () => daemon.shared.kept === 0, "the Engine is forgotten");
    const staying = await daemon.connect();
    const going = await daemon.connect();
    await going.close();
    expect(daemon.shared.kept).toBe(1);
    expect((await runProgram(staying.environment, "sleep 1; echo in")).stdout).toBe("in\n");
    expect(daemon.shared.kept).toBe(1);
    await staying.close();
    await forgotten();
    const comeAndGo = async (containerName: string, idleTimeout: string): Promise<void> => {
      const execution = { mode: "persistent", containerName, createMissingContainers: true, idleTimeout };
      await (await daemon.connect({ execution })).close();
      expect(daemon.shared.kept).toBe(1);
    };
    await comeAndGo("idle-f", "2s");
    await forgotten();
    expect(await names()).not.toContain("idle-f");
    await comeAndGo("idle-g", "1h");
    await engine.docker.getContainer("idle-g").remove({ force: true });
    await forgotten();
  });
});
