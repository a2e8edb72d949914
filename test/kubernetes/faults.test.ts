/** A cluster that breaks under people's programs: they learn what has happened, and the same daemon goes on after. */
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import { clusterIn, specFor } from "../support/kubernetes.ts";
import {
  kubernetesConfig,
  newPerson,
  type Person,
  type Serving,
  serve,
} from "../support/kubernetes-daemon.ts";
import { eventually } from "../support/resources.ts";
import type { SshClient, TerminalSession } from "../support/ssh.ts";

const cluster = clusterIn(inject("cluster"));
const namespace = "faults";
const BUSYBOX = "test.local/busybox:1";

let person: Person;
beforeAll(async () => {
  person = await newPerson();
  await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
});
afterAll(() => person?.[Symbol.asyncDispose]());

const serving = async (pod: object = {}): Promise<Serving> =>
  serve(person, {
    config: await kubernetesConfig(
      person,
      { kubeconfig: cluster.kubeconfig },
      { metadata: { namespace }, ...pod },
    ),
  });

const pods = async () =>
  (await cluster.pods(namespace)).filter(({ metadata }) => metadata?.deletionTimestamp === undefined);

/** A program that runs until something ends it. */
const busy = async (client: SshClient): Promise<TerminalSession> => {
  const terminal = client.terminal("echo started; while :; do sleep 1; done");
  await terminal.waitFor("started");
  return terminal;
};

/** How long a user may wait for the truth. */
const LIMIT_SECONDS = 10;

/**
 * The sentence and an exit status come within the limit after the fault has begun: its command, or the signal. An API
 * server that is told to end keeps its connections until it is killed 5 s later.
 */
const learns = async (terminal: TerminalSession, sentence: string, fault: () => Promise<unknown>) => {
  const begun = performance.now();
  const broken = fault();
  await terminal.waitFor(sentence);
  expect(await terminal.ending).toEqual({ code: 255, signal: null });
  const seconds = (performance.now() - begun) / 1000;
  await broken;
  expect(seconds).toBeLessThan(LIMIT_SECONDS);
};

const comesBack = (client: SshClient) =>
  eventually(async () => (await client.run("echo again")).stdout === "again\n", "programs run again");

describe("somebody whose program runs", () => {
  it("is told that the pod was deleted, also when it takes its time to go", async () => {
    await using one = await serving({ idleCommand: ["/bin/sleep", "100000"] });
    await using terminal = await busy(one.client);
    const name = (await pods())[0]?.metadata?.name ?? "";
    await learns(terminal, "Your environment was shut down by the cluster. Please connect again.", () =>
      cluster.kubectl("delete", "pod", name, "-n", namespace, "--wait=false"),
    );
    expect(terminal.output.text).toContain("Your environment is being shut down by the cluster.");
    await one.daemon.log.next("KUBERNETES_POD_DELETED");
    await comesBack(one.client);
  });

  it("is told that the container ran out of memory, and finds it running again", async () => {
    // The shell that idles uses up the memory when it is told to, so the kernel ends the container's first process.
    const idleCommand = [
      "/bin/sh",
      "-c",
      'while [ ! -e /tmp/eat ]; do sleep 0.2; done; x=$(head -c 1000000 /dev/zero | tr "\\0" x); while :; do x=$x$x; done',
    ];
    const spec = specFor(BUSYBOX, { resources: { limits: { memory: "40Mi" } } });
    await using one = await serving({ idleCommand, spec });
    await using client = await one.client.multiplexed();
    await using terminal = await busy(client);
    await learns(terminal, "Your environment ran out of memory and was stopped", () =>
      client.run("echo > /tmp/eat"),
    );
    await one.daemon.log.next("KUBERNETES_CONTAINER_OOM");
    await comesBack(client);
  });

  it("is told that the kubelet is gone, and finds it again", async () => {
    await using one = await serving();
    await using client = await one.client.multiplexed();
    await using terminal = await busy(client);
    onTestFinished(cluster.up);
    await learns(terminal, "The connection to your program was lost. Please connect again.", () =>
      cluster.down("kubelet"),
    );
    expect(await client.run("true")).toMatchObject({
      code: 255,
      stderr: expect.stringMatching(/Your program could not be started|can't be reached/),
    });
    await cluster.up();
    await comesBack(client);
    await comesBack(one.client);
  });

  it("is told that the API server is gone, and finds it again", async () => {
    await using one = await serving();
    await using client = await one.client.multiplexed();
    await using terminal = await busy(client);
    onTestFinished(cluster.up);
    await learns(terminal, "The connection to your program was lost. Please connect again.", () =>
      cluster.down("apiserver"),
    );
    expect(await client.run("true")).toMatchObject({
      code: 255,
      stderr: expect.stringContaining("Your environment can't be reached at the moment."),
    });
    await cluster.up();
    await comesBack(client);
    await comesBack(one.client);
  });
});
