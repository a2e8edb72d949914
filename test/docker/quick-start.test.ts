/** The quick start on a machine with a Docker Engine: containers where there is an image for them, else programs here. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { start, transcriptOf } from "../support/command.ts";
import { ENTRY } from "../support/daemon.ts";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { directory } from "../support/resources.ts";
import { SshClient } from "../support/ssh.ts";

let engine: TestEngine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine?.[Symbol.asyncDispose]());

/** Logs in by what the quick start printed and runs a command; what both said. */
const quickStart = async (dockerHost: string, command: string) => {
  await using home = await directory();
  await using berth = start(process.execPath, [ENTRY], {
    env: { HOME: home.path, XDG_STATE_HOME: home.path, DOCKER_HOST: dockerHost },
  });
  const output = transcriptOf(berth.stdout);
  const [, port] = await output.waitFor(/ssh -p (\d+) demo@127\.0\.0\.1/);
  const [, password] = await output.waitFor(/password of this run is: (\S+)/);
  const [place] = await output.waitFor(/(Every connection|Programs run)[^\n]*\n/);
  await using ssh = await SshClient.to({
    host: "127.0.0.1",
    port: Number(port),
    username: "demo",
    password: `${password}`,
  });
  const { stdout } = await ssh.run(command);
  berth.kill("SIGTERM");
  expect(await berth.ending).toEqual({ code: 0, signal: null });
  return { place, stdout };
};

/** This machine is a Debian, also as programs in a sandbox see it; the container has nothing but busybox. */
const whereAmI = "test -e /usr/bin/dpkg && echo here || echo in a container";

it("without an Engine runs programs on this machine", async () => {
  expect(await quickStart("unix:///nowhere/docker.sock", whereAmI)).toEqual({
    place: "Programs run on this machine: no Docker Engine answers.\n",
    stdout: "here\n",
  });
});

it("with an Engine that can't get the image says so and runs programs on this machine", async () => {
  const { place, stdout } = await quickStart(engine.host, whereAmI);
  expect(place).toMatch(
    /^Programs run on this machine: a Docker Engine answers, but has no containerssh\/.+ \(.+\)/,
  );
  expect(stdout).toBe("here\n");
});

it("with an Engine that has the image gives every connection a container", async () => {
  await engine.image("containerssh/containerssh-guest-image:latest");
  expect(await quickStart(engine.host, whereAmI)).toEqual({
    place: "Every connection gets a container of its own, of containerssh/containerssh-guest-image.\n",
    stdout: "in a container\n",
  });
});
