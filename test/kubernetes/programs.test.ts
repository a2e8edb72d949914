/** Programs by exec in real pods, without SSH: what every backend owes its sessions. */
import { createHash, randomBytes } from "node:crypto";
import { text } from "node:stream/consumers";
import { Effect } from "effect";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { transcriptOf } from "../support/command.ts";
import { clusterIn } from "../support/kubernetes.ts";
import {
  type Connection,
  endOf,
  exec,
  open,
  runProgram,
  secret,
  specFor,
  startProgram,
  terminal,
  testDaemon,
} from "../support/kubernetes-backend.ts";
import { eventually, processesWith } from "../support/resources.ts";

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

  it("has its exit status, its streams apart and its input to the end", async () => {
    const { environment } = await connect({ spec });
    expect(await runProgram(environment, "cat; echo error >&2; exit 3", "hello")).toEqual({
      stdout: "hello",
      stderr: "error\n",
      exit: 3,
    });
    const input = randomBytes(3_000_000);
    const { stdout } = await runProgram(environment, "sha256sum; cat | wc -c", input);
    expect(stdout).toBe(`${createHash("sha256").update(input).digest("hex")}  -\n0\n`);
    expect(await runProgram(environment, "head -c 3; exit 2", Buffer.alloc(4_000_000, "a"))).toEqual({
      stdout: "aaa",
      stderr: "",
      exit: 2,
    });
    expect(await runProgram(environment, "echo last; exec >&- 2>&-; cat; exit 6", "unseen")).toMatchObject({
      stdout: "last\n",
      exit: 6,
    });
    expect(await runProgram(environment, "no-such-command")).toMatchObject({ stdout: "", exit: 127 });
  });

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

  it("has a terminal that changes its size, and a shell in one", async () => {
    const { environment } = await connect({ spec });
    const program = await startProgram(
      environment,
      exec("trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done"),
      { terminal: terminal(80, 24) },
    );
    const output = transcriptOf(program.stdout);
    await output.waitFor("ready");
    await Effect.runPromise(program.resize({ columns: 100, rows: 50, widthPixels: 0, heightPixels: 0 }));
    await output.waitFor("50 100");
    program.stdin.write("\u0003");
    expect(await Effect.runPromise(program.exit)).toMatchObject({ kind: "signal", signal: "INT" });
    const shell = await startProgram(environment, { kind: "shell" }, { terminal: terminal(80, 24) });
    shell.stdin.write("test -t 0 && test -t 1 && exit 5\n");
    shell.stdout.resume();
    expect(await Effect.runPromise(shell.exit)).toEqual({ kind: "status", status: 5 });
  });

  it("gets signals, and says by which it ended", async () => {
    const { environment } = await connect({ spec });
    const trapping = await startProgram(
      environment,
      exec("trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done"),
    );
    const output = transcriptOf(trapping.stdout);
    await output.waitFor("ready");
    await Effect.runPromise(trapping.signal("TERM"));
    await output.waitFor("caught");
    expect(await Effect.runPromise(trapping.exit)).toEqual({ kind: "status", status: 9 });
    const killed = await startProgram(environment, exec("exec sleep 1000"));
    await Effect.runPromise(killed.signal("KILL"));
    expect(await endOf(killed)).toMatchObject({ exit: "KILL" });
    expect((await runProgram(environment, "kill -TERM $$")).exit).toBe("TERM");
  });

  it("is hung up with its session, also with everything it started", async () => {
    const { environment } = await connect({ spec });
    for (const options of [{}, { terminal: terminal(80, 24) }]) {
      const mark = `mark-${randomBytes(6).toString("hex")}`;
      const idling = await startProgram(
        environment,
        exec(`sh -c 'echo started; while :; do sleep 1; done' ${mark}; echo end`),
        options,
      );
      await transcriptOf(idling.stdout).waitFor("started");
      expect(await processesWith(mark)).not.toEqual([]);
      await idling.close();
      await eventually(async () => (await processesWith(mark)).length === 0, "the program is gone");
    }
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

it("sends back no more than its reader takes", async () => {
  const { environment } = await connect();
  const endless = await startProgram(environment, exec("cat /dev/zero"));
  await new Promise((resolve) => endless.stdout.once("readable", resolve));
  const before = process.memoryUsage().rss;
  const other = await runProgram(environment, "head -c 20000000 /dev/zero | wc -c");
  expect(other.stdout).toBe("20000000\n");
  expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000);
  expect(endless.stdout.readableLength).toBeLessThan(1_000_000);
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
