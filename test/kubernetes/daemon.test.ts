/** What the release promises, asked by real clients of whole daemons: persistent pods, crowds, crashes, slow readers. */
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { parse } from "yaml";
import type { Configuration } from "../support/daemon.ts";
import { BUSYBOX, clusterIn, IDLE, specFor } from "../support/kubernetes.ts";
import { kubernetesConfig, newPerson, type Person, serve } from "../support/kubernetes-daemon.ts";
import { eventually, peakRssBytes } from "../support/resources.ts";

const cluster = clusterIn(inject("cluster"));

let person: Person;
beforeAll(async () => {
  person = await newPerson();
});
afterAll(() => person?.[Symbol.asyncDispose]());

let count = 0;
let namespace = "";
beforeEach(async () => {
  namespace = `daemon-${++count}`;
  await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
});

const config = (pod: Configuration): Promise<Configuration> =>
  kubernetesConfig(person, { kubeconfig: cluster.kubeconfig }, pod);

const podNames = async () => (await cluster.pods(namespace)).map(({ metadata }) => metadata?.name).sort();

/** The release notes' blocks; only the namespace and what depends on the image are other. */
const existing = () =>
  parse(`
mode: persistent
metadata:
  name: my-existing-pod
  namespace: ${namespace}
`);
const missing = () =>
  parse(`
mode: persistent
createMissingPods: true
metadata:
  name: my-pod
  namespace: ${namespace}
spec:
  automountServiceAccountToken: false
  containers:
    - name: shell
      image: ${BUSYBOX}
      imagePullPolicy: Never
`);

describe("mode persistent, as the release notes have it", () => {
  it("puts people into the pod that exists", async () => {
    await cluster.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "my-existing-pod", namespace },
      spec: specFor(BUSYBOX, { command: IDLE }),
    });
    await using one = await serve(person, { config: await config(existing()) });
    const result = await one.client.run("hostname");
    expect(result, result.stderr).toMatchObject({ code: 0, stdout: "my-existing-pod\n" });
    await one.daemon.log.next("KUBERNETES_SHARED_POD");
  });

  it("refuses entry within a second when the pod is missing", async () => {
    await using one = await serve(person, { config: await config(existing()) });
    // The whole login counts. What else the machine does can only make it longer: the fastest of some tells.
    const millis: number[] = [];
    for (let login = 0; login < 3; login++) {
      const begun = performance.now();
      const { code, stderr } = await one.client.run("true");
      millis.push(performance.now() - begun);
      expect(code).toBe(255);
      expect(stderr).toContain(
        "Your environment does not exist yet. Please ask your administrator to create it.",
      );
      await one.daemon.log.next("KUBERNETES_POD_NOT_FOUND");
    }
    expect(Math.min(...millis)).toBeLessThan(1000);
    expect(await podNames()).toEqual([]);
  });

  it("creates the pod that is missing where that is allowed, and leaves it", async () => {
    await using one = await serve(person, { config: await config(missing()) });
    expect(await one.client.run("echo kept > /tmp/file; hostname")).toMatchObject({ stdout: "my-pod\n" });
    expect((await one.client.run("cat /tmp/file")).stdout).toBe("kept\n");
    await one.daemon.stop();
    expect(await podNames()).toEqual(["my-pod"]);
    expect((await cluster.pod("my-pod", namespace))?.metadata?.deletionTimestamp).toBeUndefined();
  });

  it("makes one pod and 20 shells of 20 logins over two daemons", async () => {
    await using one = await serve(person, { config: await config(missing()) });
    await using two = await serve(person, { config: await config(missing()) });
    const shells = Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? one : two).client.terminal());
    await Promise.all(
      shells.map(async (shell, n) => {
        shell.write(`echo shell ${n} i''n $(hostname)\n`);
        await shell.waitFor(`shell ${n} in my-pod`);
      }),
    );
    expect(await podNames()).toEqual(["my-pod"]);
    for (const shell of shells) shell.write("exit 7\n");
    expect(await Promise.all(shells.map(({ ending }) => ending))).toEqual(
      shells.map(() => ({ code: 7, signal: null })),
    );
  });
});

describe("a daemon that is killed with people in its pods", () => {
  it("leaves nothing that the next one does not remove, and the next one nothing that is not its own", async () => {
    await cluster.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "somebody-elses", namespace },
      spec: specFor(BUSYBOX, { command: IDLE }),
    });
    const spec = specFor(BUSYBOX, {}, { terminationGracePeriodSeconds: 1 });
    const connection = { mode: "connection", metadata: { namespace }, spec };
    await using living = await serve(person, { config: await config(connection) });
    await using staying = living.client.terminal("echo in; sleep 1000");
    await staying.waitFor("in");
    const mode = async (pod: Configuration) => serve(person, { config: await config(pod) });
    const dying = [await mode(connection), await mode({ ...connection, mode: "session" })];
    const terminals = dying.flatMap(({ client }) =>
      Array.from({ length: 3 }, () => client.terminal("echo in; sleep 1000")),
    );
    for (const terminal of terminals) await terminal.waitFor("in");
    const before = await podNames();
    expect(before).toHaveLength(8);
    await Promise.all(dying.map(({ daemon }) => daemon.kill9()));
    for (const terminal of terminals) await terminal[Symbol.asyncDispose]();
    expect(await podNames()).toEqual(before);
    await using next = await serve(person, { config: await config(connection) });
    await eventually(async () => (await podNames()).length === 2, "two pods are left");
    expect(await podNames()).toContain("somebody-elses");
    expect((await next.client.run("echo back")).stdout).toBe("back\n");
    staying.kill();
    await eventually(async () => (await podNames()).length === 1, "only somebody else's pod is left");
    for (const { client } of dying) await client[Symbol.asyncDispose]();
  });
});

/** All that a daemon may ever need, itself and what it runs of the client library included. */
const MEMORY_BYTES = 200_000_000;

describe("a client that reads slowly", () => {
  it("makes 1 GB of output wait in its pod and not in the daemon's memory", async () => {
    const file = "dd if=/dev/zero of=/tmp/file bs=1M seek=1024 count=0 2>/dev/null";
    await using one = await serve(person, { config: await config(missing()) });
    expect((await one.client.run("echo ready")).stdout).toBe("ready\n");
    await using program = one.client.start(`${file}; cat /tmp/file`);
    let received = 0;
    for await (const chunk of program.stdout as AsyncIterable<Buffer>) {
      received += chunk.length;
      // 20 MB/s at the most for the first 100 MB, then as fast as it goes.
      if (received < 100_000_000) await new Promise((resolve) => setTimeout(resolve, chunk.length / 20_000));
    }
    expect(received).toBe(2 ** 30);
    expect(await program.ending).toEqual({ code: 0, signal: null });
    expect(peakRssBytes(one.daemon.pid)).toBeLessThan(MEMORY_BYTES);
  });
});
