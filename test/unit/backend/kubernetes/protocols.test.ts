/** Programs over both exec protocols, against an API server of our own that runs real processes. */
import { createHash, randomBytes } from "node:crypto";
import { text } from "node:stream/consumers";
import { Effect, Redacted } from "effect";
import { describe, expect, it } from "vitest";
import { transcriptOf } from "../../../support/command.ts";
import { type Protocol, type TestApi, testApi } from "../../../support/kubernetes-api/server.ts";
import { testDaemon } from "../../../support/kubernetes-backend.ts";
import { endOf, exec, open, runProgram, secret, startProgram, terminal } from "../../../support/programs.ts";
import type { Connection } from "../../../support/provisioning.ts";
import { eventually, processesWith } from "../../../support/resources.ts";

const connect = async (api: TestApi, pod: object = {}, identity: object = {}): Promise<Connection> =>
  (await testDaemon({ host: api.url })).connect({ pod: { ...pod }, identity });

describe.each<Protocol>(["v5.channel.k8s.io", "v4.channel.k8s.io"])("over %s", (protocol) => {
  it("a program has its streams, its end of input and its exit status", async () => {
    const { environment } = await connect(await testApi({ protocol }));
    const input = randomBytes(2_000_000);
    const digest = createHash("sha256").update(input).digest("hex");
    expect(await runProgram(environment, "sha256sum; echo err >&2; exit 7", input)).toEqual({
      stdout: `${digest}  -\n`,
      stderr: "err\n",
      exit: 7,
    });
    expect(await runProgram(environment, "cat; echo still", "")).toMatchObject({
      stdout: "still\n",
      exit: 0,
    });
    const output = await runProgram(
      environment,
      "head -c 3000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 9",
    );
    expect([output.stdout.length, output.stderr.length, output.exit]).toEqual([3_000_000, 1_000_000, 9]);
  });

  it("a program that stops reading does not keep what is still sent to it", async () => {
    const { environment } = await connect(await testApi({ protocol }));
    expect(await runProgram(environment, "head -c 3; exit 2", Buffer.alloc(4_000_000, "a"))).toMatchObject({
      stdout: "aaa",
      exit: 2,
    });
  });

  it("input waits for a program that doesn't read it", async () => {
    const { environment } = await connect(await testApi({ protocol }));
    const program = await startProgram(environment, exec("sleep 1; read -r line; wc -c"));
    const chunk = Buffer.alloc(1_000_000, "\n");
    let accepted = 0;
    while (accepted < 200 && !program.stdin.writableNeedDrain) {
      program.stdin.write(chunk);
      accepted += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(accepted).toBeLessThan(200);
    program.stdin.end();
    expect(await endOf(program)).toMatchObject({ stdout: `${accepted * 1_000_000 - 1}\n`, exit: 0 });
  });

  it("output waits for a client that doesn't read it", async () => {
    const { environment } = await connect(await testApi({ protocol }));
    const mark = `mark-${randomBytes(6).toString("hex")}`;
    const program = await startProgram(environment, exec(`head -c 50000000 /dev/zero; : ${mark}`));
    await new Promise((resolve) => program.stdout.once("readable", resolve));
    // It can't end before its output has been taken.
    expect((await runProgram(environment, "echo beside")).stdout).toBe("beside\n");
    expect(await processesWith(mark)).not.toEqual([]);
    expect(program.stdout.readableLength).toBeLessThan(1_000_000);
    expect((await text(program.stdout)).length).toBe(50_000_000);
    expect(await Effect.runPromise(program.exit)).toEqual({ kind: "status", status: 0 });
  });

  it("a terminal has its size and modes from the start, and changes them", async () => {
    const { environment } = await connect(
      await testApi({ protocol }),
      {},
      { environment: { A: secret("s3cret") } },
    );
    const program = await startProgram(
      environment,
      exec(
        "stty size; stty -a | grep -o 'intr = ^.'; echo $A; trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done",
      ),
      { terminal: { ...terminal(132, 43), modes: { VINTR: 1 } } },
    );
    const output = transcriptOf(program.stdout);
    await output.waitFor(/^43 132\r\nintr = \^A\r\ns3cret\r\nready/);
    await Effect.runPromise(program.resize({ columns: 70, rows: 20, widthPixels: 0, heightPixels: 0 }));
    await output.waitFor("20 70");
    program.stdin.write("\u0001");
    expect(await Effect.runPromise(program.exit)).toMatchObject({ kind: "signal", signal: "INT" });
  });

  it("a program is hung up with its session", async () => {
    const api = await testApi({ protocol });
    const { environment } = await connect(api);
    const mark = `mark-${randomBytes(6).toString("hex")}`;
    const program = await startProgram(environment, exec(`echo started; sleep 1000; : ${mark}`));
    await transcriptOf(program.stdout).waitFor("started");
    expect(await processesWith(mark)).not.toEqual([]);
    await program.close();
    await eventually(async () => (await processesWith(mark)).length === 0, "it is gone");
    expect(api.streams.size).toBe(0);
  });

  it("a signal reaches the program and what it has started", async () => {
    const { environment } = await connect(await testApi({ protocol }));
    const program = await startProgram(environment, exec("sleep 1000; echo not reached"));
    await Effect.runPromise(program.signal("TERM"));
    expect(await endOf(program)).toEqual({ stdout: "", stderr: expect.anything(), exit: "TERM" });
    const failed = await Effect.runPromise(Effect.flip(program.signal("TERM")));
    expect(failed.code).toBe("KUBERNETES_SIGNAL_FAILED_EXITED");
  });
});

it("a program that does not hang up with its session is killed", async () => {
  const { environment } = await connect(await testApi());
  const mark = `mark-${randomBytes(6).toString("hex")}`;
  const program = await startProgram(environment, exec(`trap '' HUP; echo started; sleep 1000; : ${mark}`));
  await transcriptOf(program.stdout).waitFor("started");
  await program.close();
  await eventually(async () => (await processesWith(mark)).length === 0, "it is killed");
});

it("nothing secret is in a URL or in the log", async () => {
  const api = await testApi();
  const connection = await connect(
    api,
    { mode: "persistent", createMissingPods: true, metadata: { name: "own" } },
    {
      environment: { TOKEN: secret("s3cret-value"), OPEN: open("visible") },
      files: {
        [`/tmp/berth-test-${process.pid}/ticket`]: {
          content: Redacted.make(Buffer.from("s3cret-file")),
          sensitive: true,
        },
      },
    },
  );
  expect(
    (
      await runProgram(
        connection.environment,
        `echo $TOKEN; cat /tmp/berth-test-${process.pid}/ticket; rm -r /tmp/berth-test-${process.pid}`,
      )
    ).stdout,
  ).toBe("s3cret-value\ns3cret-file");
  const seen = JSON.stringify([api.requests.map(({ query }) => query.toString()), api.pods.list("default")]);
  expect(seen).not.toContain("s3cret");
  expect(seen).toContain("visible");
  expect(connection.log.text()).not.toContain("s3cret");
});
