/** Programs by exec in real pods: what the conformance suite, which knows one image and no login of its own, does not ask. */
import { text } from "node:stream/consumers";
import { Effect } from "effect";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { clusterIn, specFor } from "../support/kubernetes.ts";
import { testDaemon } from "../support/kubernetes-backend.ts";
import { exec, open, runProgram, secret, startProgram, terminal } from "../support/programs.ts";
import type { Connection } from "../support/provisioning.ts";

const cluster = clusterIn(inject("cluster"));

beforeAll(async () => {
  await cluster.image("test.local/agent:1", { agent: true });
  await cluster.image("test.local/bare:1", { shell: false });
});

const connect = async (pod: object = {}, identity: object = {}): Promise<Connection> =>
  (await testDaemon({ kubeconfig: cluster.kubeconfig })).connect({ pod: { ...pod }, identity });

describe.each([
  ["without an agent", "test.local/busybox:1"],
  ["with the guest agent", "test.local/agent:1"],
])("a program in an image %s", (_, image) => {
  const spec = specFor(image);

  it("gets the environment of the login over the client's, and a terminal", async () => {
    const { environment } = await connect(
      { spec, exposeAuthMetadataAsEnv: { token: "TOKEN" } },
      {
        metadata: { token: secret("s3cr3t t'ok$en") },
        environment: { GREETING: open("hel\nlo"), TERM: open("dumb") },
      },
    );
    const command = "stty size; stty -a | grep -o 'intr = ^.'; echo \"$GREETING $TOKEN $TERM $MINE\"; exit 4";
    const ended = await runProgram(environment, command, "", {
      terminal: { ...terminal(132, 43), modes: { VINTR: 1, ECHO: 0 } },
      environment: { GREETING: "other", MINE: "ü" },
    });
    expect(ended).toEqual({
      stdout: "43 132\r\nintr = ^A\r\nhel\r\nlo s3cr3t t'ok$en dumb ü\r\n",
      stderr: "",
      exit: 4,
    });
  });
});

it("runs in an image without a shell, and says what can't be done there", async () => {
  const connection = await connect({
    spec: specFor("test.local/bare:1"),
    idleCommand: ["/busybox", "sleep", "100000"],
  });
  const { environment, log } = connection;
  const ended = await runProgram(environment, "/busybox echo hello");
  expect(ended).toEqual({ stdout: "hello\n", stderr: "", exit: 0 });
  expect(log.codes()).toContain("KUBERNETES_SHELL_MISSING");
  expect(log.codes()).toContain("KUBERNETES_STDIN_NOT_CLOSED");
  await expect(runProgram(environment, "echo hello | cat")).rejects.toThrow("shell");
});

it("tells what it printed last when many do so at once", async () => {
  const { environment } = await connect();
  const all = await Promise.all(
    Array.from({ length: 8 }, (_, n) =>
      startProgram(environment, exec(`head -c 300000 /dev/zero; exit ${n}`)),
    ),
  );
  const ends = await Promise.all(
    all.map(async ({ stdout, exit }) => [(await text(stdout)).length, await Effect.runPromise(exit)]),
  );
  expect(ends).toEqual(all.map((_, n) => [300_000, { kind: "status", status: n }]));
});
