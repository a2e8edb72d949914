/** The modes connection and session on a real cluster: whose pod it is, what is in it, and when it goes. */
import { Effect, Redacted } from "effect";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { transcriptOf } from "../support/command.ts";
import { clusterIn, specFor } from "../support/kubernetes.ts";
import { testDaemon } from "../support/kubernetes-backend.ts";
import { endOf, exec, open, runProgram, secret, startProgram, terminal } from "../support/programs.ts";
import { eventually } from "../support/resources.ts";

const cluster = clusterIn(inject("cluster"));
const { kubeconfig } = cluster;
const namespace = "modes";
const metadata = { namespace };

beforeAll(async () => {
  await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  await cluster.image("test.local/agent:1", { agent: true });
  await cluster.image("test.local/bare:1", { shell: false });
});

const file = (content: string | Uint8Array) => ({
  content: Redacted.make(Buffer.from(content)),
  sensitive: true,
});

/** A kubelet takes its time: what counts is that every pod was asked to go. The last test waits until they are gone. */
const noPods = () =>
  eventually(
    async () =>
      (await cluster.pods(namespace)).every(({ metadata }) => metadata?.deletionTimestamp !== undefined),
    "all pods are gone or going",
  );

describe("mode connection", () => {
  it("gives one pod to all sessions of a connection and removes it with the connection", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const connection = await daemon.connect({
      user: "Jane.Doe@example",
      pod: {
        metadata: { ...metadata, labels: { mine: "1" }, finalizers: [] },
        exposeAuthMetadataAsLabels: { team: "team" },
        exposeAuthMetadataAsAnnotations: { team: "example.com/team", missing: "missing" },
        exposeAuthMetadataAsEnv: { team: "TEAM" },
        spec: specFor("test.local/busybox:1", { env: [{ name: "OWN", value: "kept" }] }),
      },
      identity: { metadata: { team: open("red") }, environment: { A: secret("s3cret") } },
    });
    expect(connection.states.at(-1)).toBe("ready");
    await runProgram(connection.environment, "echo one > /tmp/file");
    const { stdout } = await runProgram(connection.environment, "cat /tmp/file; echo $A $TEAM $OWN");
    expect(stdout).toBe("one\ns3cret red kept\n");
    const [pod, ...others] = (await cluster.pods(namespace)).filter(
      ({ metadata }) => metadata?.deletionTimestamp === undefined,
    );
    expect(others).toEqual([]);
    expect(pod?.metadata?.name).toMatch(/^containerssh-\w{8}$/);
    expect(pod?.metadata?.labels).toEqual({
      mine: "1",
      team: "red",
      containerssh_connection_id: connection.connectionId,
      containerssh_username: "Jane.Doe-example",
      "berth-mode": "connection",
      "berth-instance": daemon.shared.instance.id,
    });
    expect(pod?.metadata?.annotations).toMatchObject({
      containerssh_ip: "192.0.2.1",
      "example.com/team": "red",
    });
    expect(daemon.log.text()).not.toContain("s3cret");
    await connection.close();
    await noPods();
  });

  it("puts the files of the login there before any program, for the container's user alone", async () => {
    const ticket = Buffer.from(Array.from({ length: 100_000 }, (_, n) => n % 256));
    const handed = Buffer.from(ticket);
    const krb5cc = { content: Redacted.make(handed), sensitive: true };
    const daemon = await testDaemon({ kubeconfig });
    const { environment } = await daemon.connect({
      pod: { metadata, spec: specFor("test.local/busybox:1", {}, { securityContext: { runAsUser: 1000 } }) },
      identity: {
        files: { "/tmp/krb5cc_1000": krb5cc, "/tmp/a b/c'd/$e": file("odd"), "/tmp/empty": file("") },
      },
    });
    const { stdout } = await runProgram(
      environment,
      "stat -c '%a %u %s' /tmp/krb5cc_1000; cat \"/tmp/a b/c'd/\\$e\"; wc -c < /tmp/empty; ls /tmp; sha256sum < /tmp/krb5cc_1000",
    );
    const digest = (await runProgram(environment, "sha256sum", ticket)).stdout;
    // Nobody needs it here any more.
    expect(handed).toEqual(Buffer.alloc(handed.length));
    expect(stdout).toBe(`600 1000 100000\nodd0\na b\nempty\nkrb5cc_1000\n${digest}`);
    expect(daemon.log.text()).not.toContain("odd");
    await daemon.close();
  });

  it("refuses the login when a file can't be written, and leaves no pod", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const { refusal } = await daemon.connect({
      pod: { metadata },
      identity: { files: { "/proc/nowhere/file": file("x") } },
    });
    expect(refusal.code).toBe("KUBERNETES_FILE_WRITE_FAILED");
    await daemon.close();
    await noPods();
  });

  it("refuses with Kubernetes' own reason when the pod does not come up in time", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const { refusal } = await daemon.connect({
      pod: { metadata, spec: specFor("test.local/missing:1") },
      // The kubelet has said why by then, on a busy machine, too.
      timeouts: { podStart: "12s" },
    });
    expect(refusal).toMatchObject({
      code: "KUBERNETES_POD_WAIT_FAILED",
      details: {
        podStartSeconds: 12,
        phase: "starting",
        reason: expect.stringContaining("ErrImageNeverPull"),
      },
    });
    await daemon.close();
    await noPods();
  });

  it("refuses a spec that the API server refuses, at once and with its words", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const { refusal } = await daemon.connect({
      pod: { metadata, spec: specFor("test.local/busybox:1", { imagePullPolicy: "Sometimes" }) },
    });
    expect(refusal.code).toBe("KUBERNETES_POD_CREATE_FAILED");
    expect(refusal.message).toContain('Unsupported value: "Sometimes"');
  });

  it("removes the pod when the client goes while it is being made", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const abort = new AbortController();
    const connecting = daemon.connect({
      pod: { metadata, spec: specFor("test.local/missing:1") },
      signal: abort.signal,
    });
    await eventually(async () => (await cluster.pods(namespace)).length > 0, "the pod is there");
    abort.abort();
    await connecting;
    await daemon.close();
    await noPods();
  });

  it("runs programs in the container of consoleContainerNumber", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const { environment } = await daemon.connect({
      pod: {
        metadata,
        consoleContainerNumber: 1,
        spec: {
          ...specFor("test.local/busybox:1"),
          containers: [
            {
              name: "first",
              image: "test.local/busybox:1",
              imagePullPolicy: "Never",
              command: ["/bin/sleep", "1000"],
            },
            {
              name: "second",
              image: "test.local/busybox:1",
              imagePullPolicy: "Never",
              env: [{ name: "IN", value: "2" }],
            },
          ],
          terminationGracePeriodSeconds: 1,
        },
      },
    });
    expect((await runProgram(environment, "echo $IN")).stdout).toBe("2\n");
    await daemon.close();
    await noPods();
  });
});

describe.each([
  ["without an agent", "test.local/busybox:1"],
  ["with the guest agent", "test.local/agent:1"],
])("mode session in an image %s", (_, image) => {
  const pod = { mode: "session", metadata, spec: specFor(image) };

  it("runs every program as a pod of its own", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const { environment } = await daemon.connect({
      pod,
      identity: { files: { "/tmp/ticket": file("ticket") }, environment: { A: secret("s3cret") } },
    });
    await noPods();
    const command = "cat; cat /tmp/ticket; echo $A $B '$(A)' '$$(A)' >&2; exit 3";
    // Each session's pod gets the login's files.
    for (let count = 0; count < 2; count++) {
      const program = await startProgram(environment, exec(command), { environment: { B: "2" } });
      program.stdin.end("hello,");
      const stderr = "s3cret 2 $(A) $$(A)\n";
      expect(await endOf(program)).toEqual({ stdout: "hello,ticket", stderr, exit: 3 });
      await program.close();
    }
    await daemon.close();
    await noPods();
  });

  it("has a terminal with its size, signals, and a pod that goes with the session", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const { environment } = await daemon.connect({ pod });
    const program = await startProgram(
      environment,
      exec("trap 'echo caught; exit 9' TERM; stty size; echo ready; while :; do sleep 0.1; done"),
      { terminal: terminal(100, 30) },
    );
    const output = transcriptOf(program.stdout);
    await output.waitFor(/30 100\r?\nready/);
    await Effect.runPromise(program.signal("TERM"));
    await output.waitFor("caught");
    expect(await Effect.runPromise(program.exit)).toEqual({ kind: "status", status: 9 });
    const idle = await startProgram(environment, exec("echo started; sleep 1000"));
    await transcriptOf(idle.stdout).waitFor("started");
    await idle.close();
    await program.close();
    await noPods();
    await daemon.close();
  });
});

it("runs a session's program in an image without a shell", async () => {
  const daemon = await testDaemon({ kubeconfig });
  const { environment } = await daemon.connect({
    pod: { mode: "session", metadata, spec: specFor("test.local/bare:1") },
  });
  const program = await startProgram(environment, exec("/busybox sleep 2"));
  expect(await Effect.runPromise(program.exit)).toEqual({ kind: "status", status: 0 });
  await program.close();
  await daemon.close();
  await noPods();
});

it("leaves no pod behind", () =>
  eventually(async () => (await cluster.pods(namespace)).length === 0, "all pods are gone"));
