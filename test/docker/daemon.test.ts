/** The whole daemon with the Docker backend: killed with people in it, and its Engine killed under it. */
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytes, digestOf } from "../support/bytes.ts";
import { type Configuration, type Daemon, startDaemon } from "../support/daemon.ts";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { generateKey, type Key } from "../support/keys.ts";
import { type Directory, directory, eventually, peakRssBytes } from "../support/resources.ts";
import { SshClient } from "../support/ssh.ts";
import { stallingRegistry } from "../support/stalling-registry.ts";
import { usersAuth } from "../support/users.ts";

/** How much later than it should something may happen on a busy machine. */
const NOISE_SECONDS = 10;

let engine: TestEngine;
let keys: Directory;
let key: Key;
beforeAll(async () => {
  engine = await startEngine();
  await engine.image("busybox:1");
  keys = await directory();
  key = await generateKey(keys.path, "user");
});
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await keys?.[Symbol.asyncDispose]();
});

const config = async (execution: object = {}, { host } = engine): Promise<Configuration> => ({
  auth: await usersAuth({ name: "demo", keys: [key.publicKey] }),
  backend: "docker",
  docker: {
    connection: { host },
    execution: { container: { image: "busybox:1" }, shellCommand: ["/bin/sh"], ...execution },
  },
});

const clientOf = (daemon: Daemon): Promise<SshClient> =>
  SshClient.to(daemon.target({ identityFile: key.file }));

const names = async (of = engine): Promise<readonly string[]> =>
  (await of.containers()).map(({ Names }) => Names[0] ?? "");

describe("a daemon that is killed with 20 connections open", () => {
  it("leaves nothing that the next one does not remove, and the next one nothing that is not its own", async () => {
    const elses = await engine.docker.createContainer({
      name: "somebody-elses",
      Image: "busybox:1",
      Cmd: ["/bin/sh", "-c", "sleep 100000"],
    });
    await elses.start();
    const first = await startDaemon({ config: await config() });
    await using client = await clientOf(first);
    const terminals = Array.from({ length: 20 }, () => client.terminal("echo in; sleep 1000"));
    for (const terminal of terminals) await terminal.waitFor("in");
    expect(await names()).toHaveLength(21);
    await first.kill9();
    for (const terminal of terminals) await terminal[Symbol.asyncDispose]();
    expect(await names()).toHaveLength(21);
    await using second = await startDaemon({ config: await config(), again: first });
    await eventually(async () => (await names()).length === 1, "only somebody else's container is left");
    expect(await names()).toEqual(["/somebody-elses"]);
    expect((await elses.inspect()).State.Running).toBe(true);
    await elses.remove({ force: true });
    await using again = await clientOf(second);
    expect((await again.run("echo back")).stdout).toBe("back\n");
  });
});

describe("an Engine that is killed under a session", () => {
  it("is a sentence for the user, and the daemon serves the next login once it is back", async () => {
    await using own = await startEngine();
    await own.image("busybox:1");
    await using daemon = await startDaemon({ config: await config({}, own) });
    await using client = await clientOf(daemon);
    await using terminal = client.terminal("echo in; sleep 1000");
    await terminal.waitFor("in");
    await own.kill();
    await terminal.waitFor("was lost");
    expect(await terminal.ending).toMatchObject({ code: 255 });
    const refused = await client.run("true");
    expect(refused).toMatchObject({ code: 255, stderr: expect.stringContaining("does not answer") });
    await own.start();
    expect(await client.run("echo back")).toMatchObject({ code: 0, stdout: "back\n", stderr: "" });
    await eventually(async () => (await names(own)).length === 0, "the containers are gone");
  });
});

describe("an Engine that is killed under a pull", () => {
  it("is a sentence for whoever waits, and the daemon serves the next login once it is back", async () => {
    await using own = await startEngine();
    await own.image("busybox:1");
    await using stalling = await stallingRegistry(own);
    const execution = { container: { image: stalling.image } };
    await using daemon = await startDaemon({ config: await config(execution, own) });
    await using client = await clientOf(daemon);
    await using terminal = client.terminal("echo never");
    const waiting = client.run("echo never");
    await terminal.waitFor("Fetching your environment");
    await stalling.reached;
    await terminal.waitFor(/\d of \d layers/);
    await own.kill();
    await terminal.waitFor(/does not answer|could not be fetched/);
    expect(await terminal.ending).toMatchObject({ code: 255 });
    const { code, stdout, stderr } = await waiting;
    expect({ code, stdout }).toEqual({ code: 255, stdout: "" });
    expect(stderr).toMatch(/does not answer|could not be fetched/);
    expect(stderr).not.toContain("Fetching");
    await own.start();
    await own.docker.getImage("busybox:1").tag({ repo: stalling.image.replace(/:1$/, ""), tag: "1" });
    expect(await client.run("echo back")).toMatchObject({ code: 0, stdout: "back\n" });
  });
});

describe("a gigabyte both ways", { timeout: 400_000 }, () => {
  it("arrives as it was sent and costs less than 200 MB of memory", async () => {
    await using daemon = await startDaemon({ config: await config() });
    await using client = await clientOf(daemon);
    const count = 1_000_000_000;
    const { stream, digest } = bytes(count);
    await using program = client.start("cat");
    const [received] = await Promise.all([digestOf(program.stdout), pipeline(stream, program.stdin)]);
    expect(received).toEqual({ count, digest: digest() });
    expect(await program.ending).toEqual({ code: 0, signal: null });
    expect(peakRssBytes(daemon.pid)).toBeLessThan(200_000_000);
  });
});

describe("a persistent container", () => {
  const persistent = {
    mode: "persistent",
    containername: "lab-{authenticatedUsername}",
    createMissingContainers: true,
    idleTimeout: "5s",
  };

  it("is removed 5 s after the last connection, also when the daemon was restarted in between", async () => {
    const first = await startDaemon({ config: await config(persistent) });
    await using client = await clientOf(first);
    expect(await client.run("echo kept > /root/file")).toMatchObject({ code: 0, stderr: "" });
    const leaving = performance.now();
    expect(await client.run("cat /root/file")).toMatchObject({ code: 0, stdout: "kept\n", stderr: "" });
    await first.log.next("SSH_DISCONNECTED");
    await first.log.next("SSH_DISCONNECTED");
    const left = performance.now();
    await first.stop();
    await using second = await startDaemon({ config: await config(persistent), again: first });
    // When there is a daemon again that looks, and the time is over.
    const due = Math.max(left + 5000, performance.now());
    await second.log.next("DOCKER_CONTAINER_IDLE");
    expect(await names()).toEqual([]);
    expect((performance.now() - leaving) / 1000).toBeGreaterThan(5);
    expect((performance.now() - due) / 1000).toBeLessThan(NOISE_SECONDS);
  });

  it("is nothing that may be missing without createMissingContainers", async () => {
    await using daemon = await startDaemon({
      config: await config({ ...persistent, createMissingContainers: false }),
    });
    await using client = await clientOf(daemon);
    const { code, stderr } = await client.run("true");
    expect(code).toBe(255);
    expect(stderr).toContain("does not exist yet");
    await daemon.log.next("DOCKER_CONTAINER_NOT_FOUND");
  });
});
