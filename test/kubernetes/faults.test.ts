/** A cluster that breaks under running programs: the user learns what has happened, and everything goes on after. */
import { Effect } from "effect";
import { beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import { transcriptOf } from "../support/command.ts";
import { clusterIn } from "../support/kubernetes.ts";
import {
  type Connection,
  exec,
  runProgram,
  type Session,
  specFor,
  startProgram,
  terminal,
  testDaemon,
} from "../support/kubernetes-backend.ts";
import { eventually } from "../support/resources.ts";

const cluster = clusterIn(inject("cluster"));
const { kubeconfig } = cluster;
const namespace = "faults";
const BUSYBOX = "test.local/busybox:1";

beforeAll(() => cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } }));

const pod = { metadata: { namespace } };

const podOf = async () =>
  (await cluster.pods(namespace)).find(({ metadata }) => metadata?.deletionTimestamp === undefined);

/** A program that runs until something ends it. */
const busy = async ({ environment }: Connection, options = {}): Promise<Session> => {
  const program = await startProgram(environment, exec("echo started; while :; do sleep 1; done"), options);
  await transcriptOf(program.stdout).waitFor("started");
  program.stderr?.resume();
  return program;
};

/** How a program failed, and after how long. */
const failureWithin10s = async (program: Session) => {
  const started = performance.now();
  const failure = await Effect.runPromise(Effect.flip(program.exit));
  expect(performance.now() - started).toBeLessThan(10_000);
  expect(failure.userMessage).toMatch(/^[A-Z].*\.$/);
  return failure.code;
};

const worksAgain = async (connection: () => Promise<Connection>): Promise<boolean> => {
  const login = await connection();
  if (login.outcome.kind !== "ready") return false;
  // A kubelet that has just been started does not listen yet.
  const ended = await runProgram(login.environment, "echo again").catch(() => undefined);
  return ended?.stdout === "again\n";
};

const comesBack = (connection: () => Promise<Connection>) =>
  eventually(() => worksAgain(connection), "programs run again", 90);

describe("while programs run", () => {
  it("tells that the pod was deleted, also when it takes its time to go", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const connection = await daemon.connect({
      pod: { ...pod, spec: specFor(BUSYBOX), idleCommand: ["/bin/sleep", "100000"] },
    });
    const programs = [await busy(connection), await busy(connection, { terminal: terminal(80, 24) })];
    const name = (await podOf())?.metadata?.name ?? "";
    await cluster.kubectl("delete", "pod", name, "-n", namespace, "--wait=false");
    const codes = await Promise.all(programs.map(failureWithin10s));
    expect(codes).toEqual(["KUBERNETES_POD_DELETED", "KUBERNETES_POD_DELETED"]);
    expect(connection.notices).toContain("Your environment is being shut down by the cluster.");
    await comesBack(() => daemon.connect({ pod }));
  });

  it("tells that the container was started again, and why", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const limited = { spec: specFor(BUSYBOX, { resources: { limits: { memory: "40Mi" } } }) };
    // The shell that idles uses up the memory when it is told to, so the kernel ends the container's first process.
    const idleCommand = [
      "/bin/sh",
      "-c",
      'while [ ! -e /tmp/eat ]; do sleep 0.2; done; x=$(head -c 1000000 /dev/zero | tr "\\0" x); while :; do x=$x$x; done',
    ];
    const connection = await daemon.connect({ pod: { ...pod, ...limited, idleCommand } });
    const program = await busy(connection);
    await runProgram(connection.environment, "echo > /tmp/eat");
    expect(await failureWithin10s(program)).toBe("KUBERNETES_CONTAINER_OOM");
    await eventually(
      async () => (await podOf())?.status?.containerStatuses?.[0]?.restartCount === 1,
      "the container runs again",
      60,
    );
    await comesBack(async () => connection);
  });

  it("tells that the kubelet is gone, and finds it again", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const connection = await daemon.connect({ pod });
    const program = await busy(connection);
    onTestFinished(cluster.up);
    await cluster.down("kubelet");
    expect(await failureWithin10s(program)).toBe("KUBERNETES_EXIT_CODE_FAILED");
    const refused = await Effect.runPromise(
      Effect.flip(
        Effect.scoped(
          connection.environment.start({
            program: exec("true"),
            terminal: undefined,
            environment: {},
            channel: 1,
          }),
        ),
      ),
    );
    expect(refused.userMessage).toMatch(/^[A-Z].*\.$/);
    await cluster.up();
    await comesBack(async () => connection);
    await comesBack(() => daemon.connect({ pod }));
  });

  it("tells that the API server is gone, and finds it again", async () => {
    const daemon = await testDaemon({ kubeconfig });
    const connection = await daemon.connect({ pod });
    const program = await busy(connection);
    onTestFinished(cluster.up);
    await cluster.down("apiserver");
    expect(await failureWithin10s(program)).toBe("KUBERNETES_EXIT_CODE_FAILED");
    const refused = await daemon.connect({ pod, timeouts: { podStart: "2s", http: "1s" } });
    expect(refused.refusal.code).toMatch(/^KUBERNETES_(API_UNAVAILABLE|POD_WAIT_FAILED)$/);
    await cluster.up();
    await comesBack(async () => connection);
    await comesBack(() => daemon.connect({ pod }));
  });
});
