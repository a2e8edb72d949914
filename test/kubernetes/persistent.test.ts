/** Persistent pods on a real cluster: found, created, waited for, replaced, refused, shared, left, deleted when idle. */
import { Effect, Exit } from "effect";
import { beforeAll, beforeEach, describe, expect, inject, it, onTestFinished } from "vitest";
import { clusterIn, IDLE, specFor } from "../support/kubernetes.ts";
import { sectionOf, testDaemon } from "../support/kubernetes-backend.ts";
import { exec, open, runProgram, secret, startProgram } from "../support/programs.ts";
import { eventually } from "../support/resources.ts";
import { failureOf, scoped } from "../support/scoped.ts";

const cluster = clusterIn(inject("cluster"));
const { kubeconfig } = cluster;
const namespace = "persistent";
const BUSYBOX = "test.local/busybox:1";

beforeAll(() => cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } }));

let count = 0;
let name = "";
beforeEach(() => {
  const own = `pod-${++count}`;
  name = own;
  onTestFinished(async () => {
    await cluster.kubectl("delete", "pod", "-n", namespace, "--all", "--force", "--grace-period=0");
  });
});

/** The release's two blocks. */
const existing = () => ({ mode: "persistent", metadata: { name, namespace } });
const missing = () => ({ ...existing(), createMissingPods: true, spec: specFor(BUSYBOX) });

/** A pod that somebody else made. */
const foreign = (command: readonly string[] = IDLE, spec: object = {}) =>
  cluster.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace },
    spec: { ...specFor(BUSYBOX, { command }), ...spec },
  });

const phase = (wanted: string) =>
  eventually(async () => (await cluster.pod(name, namespace))?.status?.phase === wanted, `pod is ${wanted}`);

const annotations = async (): Promise<Record<string, string>> =>
  (await cluster.pod(name, namespace))?.metadata?.annotations ?? {};

const marks = async () => Object.keys(await annotations()).filter((key) => key.startsWith("berth-in-use-"));

describe("a pod that exists", () => {
  it("is used, stays, and is not touched when Berth did not make it", async () => {
    await foreign();
    await phase("Running");
    const before = await cluster.pod(name, namespace);
    const daemon = await testDaemon({ kubeconfig });
    const connection = await daemon.connect({
      pod: { ...existing(), idleTimeout: "1s", recreateOutdated: "whenUnused" },
      identity: { environment: { A: secret("s3cret") } },
    });
    expect((await runProgram(connection.environment, "hostname; echo $A")).stdout).toBe(`${name}\ns3cret\n`);
    await connection.close();
    await daemon.close();
    const after = await cluster.pod(name, namespace);
    expect(after?.metadata?.uid).toBe(before?.metadata?.uid);
    expect(after?.metadata?.resourceVersion).toBe(before?.metadata?.resourceVersion);
  });

  it("is waited for while it starts", async () => {
    await foreign(IDLE, {
      initContainers: [
        { name: "slow", image: BUSYBOX, imagePullPolicy: "Never", command: ["/bin/sleep", "4"] },
      ],
    });
    const { environment, states } = await (await testDaemon({ kubeconfig })).connect({ pod: existing() });
    expect(states).toContain("pod.starting");
    expect((await runProgram(environment, "echo in")).stdout).toBe("in\n");
  });

  it.each([
    ["Failed", "failed", "exit 1"],
    ["Succeeded", "succeeded", "exit 0"],
  ])("is refused by its phase when it has %s", async (status, word, script) => {
    await foreign(["/bin/sh", "-c", script], { restartPolicy: "Never" });
    await phase(status);
    const daemon = await testDaemon({ kubeconfig });
    const { refusal } = await daemon.connect({ pod: existing() });
    expect(refusal).toMatchObject({ code: "KUBERNETES_POD_NOT_RUNNING", details: { phase: word } });
    expect(refusal.userMessage).toContain(word);
    // Not Berth's to delete, where it may create pods, too.
    const creating = await daemon.connect({ pod: missing() });
    expect(creating.refusal).toMatchObject({ code: "KUBERNETES_POD_NOT_RUNNING", details: { phase: word } });
    expect(creating.refusal.message).toContain("no pod that it did not create");
    expect((await cluster.pod(name, namespace))?.status?.phase).toBe(status);
  });

  it("is refused while it terminates, and replaced once it is gone where that is allowed", async () => {
    await foreign();
    await phase("Running");
    const before = await cluster.pod(name, namespace);
    const patch = (finalizers: readonly string[] | null) =>
      cluster.kubectl(
        ...["patch", "pod", name, "-n", namespace, "--type=merge"],
        ...["-p", JSON.stringify({ metadata: { finalizers } })],
      );
    // It terminates until the test lets it go.
    await patch(["berth.test/stays"]);
    onTestFinished(async () => void (await patch(null).catch(() => {})));
    await cluster.kubectl("delete", "pod", name, "-n", namespace, "--wait=false");
    const daemon = await testDaemon({ kubeconfig });
    const { refusal } = await daemon.connect({ pod: existing() });
    expect(refusal).toMatchObject({
      code: "KUBERNETES_POD_NOT_RUNNING",
      details: { phase: "terminating" },
      userMessage: expect.stringContaining("terminating"),
    });
    const { environment, states } = await daemon.connect({
      pod: missing(),
      timeouts: { podStart: "120s" },
      onNotice: (line) => {
        if (line.startsWith("Your environment is being shut down")) void patch(null);
      },
    });
    expect(states).toContain("pod.awaitingRemoval");
    expect((await runProgram(environment, "echo new")).stdout).toBe("new\n");
    expect((await cluster.pod(name, namespace))?.metadata?.uid).not.toBe(before?.metadata?.uid);
  });
});

describe("a pod that is missing", () => {
  it("is refused within a second", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const { refusal } = await daemon.connect({ pod: existing() });
    // What else the machine does can only make it longer: the fastest of some logins tells.
    const millis: number[] = [];
    for (let login = 0; login < 5; login++) {
      const started = performance.now();
      expect((await daemon.connect({ pod: existing() })).refusal).toEqual(refusal);
      millis.push(performance.now() - started);
    }
    expect(Math.min(...millis)).toBeLessThan(1000);
    expect(refusal).toMatchObject({
      code: "KUBERNETES_POD_NOT_FOUND",
      details: { podName: name, namespace },
    });
    expect(refusal.userMessage).toBe(
      "Your environment does not exist yet. Please ask your administrator to create it.",
    );
  });

  it("is created where that is allowed, used again, and stays", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const identity = { environment: { OPEN: open("1"), HIDDEN: secret("s3cret") } };
    const first = await daemon.connect({ pod: missing(), identity });
    await runProgram(first.environment, "echo kept > /tmp/file");
    expect(await marks()).toHaveLength(1);
    await first.close();
    await eventually(async () => (await marks()).length === 0, "the mark is taken away");
    const again = await daemon.connect({ pod: missing(), identity });
    expect(again.states).not.toContain("pod.creating");
    expect((await runProgram(again.environment, "cat /tmp/file; echo $HIDDEN")).stdout).toBe(
      "kept\ns3cret\n",
    );
    await daemon.close();
    const pod = await cluster.pod(name, namespace);
    expect(pod?.metadata?.labels).toMatchObject({
      "berth-mode": "persistent",
      containerssh_username: "jane",
    });
    expect(JSON.stringify(pod)).not.toContain("s3cret");
    expect(JSON.stringify(pod?.spec)).toContain("OPEN");
  });

  it("is replaced when it was Berth's and has failed", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const spec = specFor(BUSYBOX, {}, { restartPolicy: "Never" });
    const first = await daemon.connect({ pod: { ...missing(), spec } });
    await first.close();
    // The container may end before the exec has said that it did what it was asked: the phase tells.
    const ending = ["exec", "-n", namespace, name, "--", "/bin/sh", "-c", "kill -TERM 1"];
    await Promise.allSettled([cluster.kubectl(...ending)]);
    await phase("Succeeded");
    const { environment, states } = await daemon.connect({
      pod: { ...missing(), spec },
      timeouts: { podStart: "120s" },
    });
    expect(states).toContain("pod.removing");
    expect((await runProgram(environment, "echo new")).stdout).toBe("new\n");
  });

  it("is one pod for 20 logins at the same moment, over two daemons", async () => {
    const daemons = await Promise.all([testDaemon({ kubeconfig }), testDaemon({ kubeconfig })]);
    const connections = await Promise.all(
      Array.from({ length: 20 }, (_, n) => daemons[n % 2]?.connect({ pod: missing() })),
    );
    const uids = await Promise.all(
      connections.map(async (connection) =>
        connection === undefined
          ? ""
          : (await runProgram(connection.environment, "hostname; echo $$ > /tmp/$$")).stdout,
      ),
    );
    expect(uids).toEqual(Array.from({ length: 20 }, () => `${name}\n`));
    expect(await cluster.pods(namespace)).toHaveLength(1);
    expect(connections.filter((connection) => connection?.states.includes("pod.creating"))).not.toHaveLength(
      0,
    );
    expect(await marks()).toHaveLength(2);
    await daemons[0]?.close();
    await eventually(async () => (await marks()).length === 1, "one daemon's mark is left");
    await daemons[1]?.close();
    expect(await marks()).toEqual([]);
  });

  it("has a name for each user from placeholders", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const login = (user: string, template: string) =>
      daemon.connect({ user, pod: { ...missing(), metadata: { namespace, name: template } } });
    const jane = await login("jane", "lab-{authenticatedUsername}");
    const other = await login("Jane", "lab-{authenticatedUsername}");
    const names = await Promise.all(
      [jane, other].map(async ({ environment }) => (await runProgram(environment, "hostname")).stdout.trim()),
    );
    expect(names[0]).toBe("lab-jane");
    expect(names[1]).toMatch(/^lab-jane-[a-z2-7]{12}$/);
    expect(daemon.log.codes()).not.toContain("KUBERNETES_SHARED_POD");
    const nobody = await login("jane", "lab-{metadata.team}");
    expect(nobody.refusal).toMatchObject({ code: "KUBERNETES_CONFIG_ERROR" });
    expect(nobody.refusal.message).toContain("{metadata.team}");
  });

  it("draws a warning when two users come into it", async () => {
    const daemon = await testDaemon({ kubeconfig });
    await daemon.connect({ user: "jane", pod: missing() });
    expect(daemon.log.codes()).not.toContain("KUBERNETES_SHARED_POD");
    await daemon.connect({ user: "joe", pod: missing() });
    expect(daemon.log.codes()).toContain("KUBERNETES_SHARED_POD");
  });
});

describe("a pod that is idle", () => {
  const idling = () => ({ ...missing(), idleTimeout: "2s" });

  /** It is going, or gone already. */
  const deleted = () =>
    eventually(async () => {
      const pod = await cluster.pod(name, namespace);
      return pod === undefined || pod.metadata?.deletionTimestamp !== undefined;
    }, "the idle pod is deleted");

  it("is deleted after its time, and never while somebody is in it", async () => {
    const [one, two] = [await testDaemon({ kubeconfig }), await testDaemon({ kubeconfig })];
    const first = await one.connect({ pod: idling() });
    const second = await two.connect({ pod: idling() });
    await first.close();
    const used = await startProgram(second.environment, exec("sleep 5; echo alive"));
    expect(await new Promise((resolve) => used.stdout.once("data", (chunk) => resolve(String(chunk))))).toBe(
      "alive\n",
    );
    await second.close();
    await deleted();
  });

  it("is found by a daemon that starts later", async () => {
    const one = await testDaemon({ kubeconfig });
    const connection = await one.connect({ pod: { ...missing(), idleTimeout: "3s" } });
    await connection.close();
    await one.close();
    const two = await testDaemon({ kubeconfig });
    // A login elsewhere makes it look after the namespace.
    await two.connect({ pod: { ...missing(), metadata: { name: `${name}-other`, namespace } } });
    await deleted();
    expect((await cluster.pod(`${name}-other`, namespace))?.metadata?.deletionTimestamp).toBeUndefined();
  });

  it("is left alone by the API server when it has changed since it was looked at", async () => {
    const daemon = await testDaemon({ kubeconfig });
    await (await daemon.connect({ pod: missing() })).close();
    const { value } = await scoped(daemon.shared.open(sectionOf({ kubeconfig }, {})));
    const { api } = value.cluster;
    // Asks for the permission to mark and changes nothing, unless the kubelet does at the same moment.
    const seen = await eventually(async () => {
      const { metadata = {} } = await Effect.runPromise(api.get(namespace, name));
      const { uid = "", resourceVersion = "" } = metadata;
      const asked = api.annotate(namespace, name, {}, { uid, resourceVersion });
      const exit = await Effect.runPromiseExit(asked);
      return (
        Exit.isSuccess(exit) &&
        exit.value.metadata?.resourceVersion === resourceVersion && { uid, resourceVersion }
      );
    }, "a patch that changes nothing leaves the version");
    const second = await daemon.connect({ pod: missing() });
    const conflict = { _tag: "ObjectConflict", code: "KUBERNETES_CONFLICT" };
    for (const late of [api.annotate(namespace, name, {}, seen), api.delete(namespace, name, seen)])
      expect(await failureOf(Effect.asVoid(late))).toMatchObject(conflict);
    expect((await runProgram(second.environment, "echo in")).stdout).toBe("in\n");
  });

  it("is marked again for who comes next when somebody took the mark away", async () => {
    const daemon = await testDaemon({ kubeconfig });
    await daemon.connect({ pod: idling() });
    const [mark = ""] = await marks();
    await cluster.kubectl("annotate", "pod", name, "-n", namespace, `${mark}-`);
    expect(await marks()).toEqual([]);
    await daemon.connect({ pod: idling() });
    expect(await marks()).toEqual([mark]);
  });

  it("is left alone without a timeout", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const connection = await daemon.connect({ pod: missing() });
    await connection.close();
    expect(Object.keys(await annotations())).not.toContain("berth-idle-seconds");
  });
});

describe("a pod that is outdated", () => {
  const changed = () => ({
    ...missing(),
    spec: specFor(BUSYBOX, { env: [{ name: "VERSION", value: "2" }] }),
  });

  it("is told about and kept by default", async () => {
    const daemon = await testDaemon({ kubeconfig });
    await (await daemon.connect({ pod: missing() })).close();
    expect(daemon.log.codes()).not.toContain("KUBERNETES_POD_OUTDATED");
    const { environment, notices, log } = await daemon.connect({ pod: changed() });
    expect(log.codes()).toContain("KUBERNETES_POD_OUTDATED");
    expect(notices).toEqual([expect.stringContaining("older than its configuration")]);
    expect((await runProgram(environment, "echo .$VERSION")).stdout).toBe(".\n");
  });

  it("is replaced where that is configured, once nobody is in it", async () => {
    const [one, two] = [await testDaemon({ kubeconfig }), await testDaemon({ kubeconfig })];
    const wanted = { ...changed(), recreateOutdated: "whenUnused" };
    const first = await one.connect({ pod: missing() });
    const beside = await two.connect({ pod: wanted });
    expect((await runProgram(beside.environment, "echo .$VERSION")).stdout).toBe(".\n");
    await first.close();
    await beside.close();
    const fresh = await two.connect({ pod: wanted, timeouts: { podStart: "120s" } });
    expect(fresh.states).toContain("pod.removing");
    expect((await runProgram(fresh.environment, "echo .$VERSION")).stdout).toBe(".2\n");
    expect(fresh.notices.join()).not.toContain("older");
  });
});
