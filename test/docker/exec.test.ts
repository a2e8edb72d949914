/** Programs by exec in a connection's container, on a real Engine: with the agent, with a shell, with neither. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { Effect } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { testDaemon } from "../support/docker-backend.ts";
import { endOf, exec, runProgram, startProgram, terminal } from "../support/programs.ts";
import type { Connection, Login } from "../support/provisioning.ts";
import { eventually } from "../support/resources.ts";

let engine: TestEngine;
beforeAll(async () => {
  engine = await startEngine();
  await engine.image("busybox:1");
  await engine.image("agent:1", { agent: true });
  await engine.image("bare:1", { shell: false });
});
afterAll(() => engine[Symbol.asyncDispose]());

const connect = async (login?: Login): Promise<Connection> => (await testDaemon(engine.host)).connect(login);

const withAgent: Login = { execution: { container: { Image: "agent:1" } } };

describe.each([
  ["the image's shell", {}],
  ["the guest agent", withAgent],
  [
    "the image's shell, for the agent is disabled",
    { execution: { container: { Image: "agent:1" }, disableAgent: true } },
  ],
] satisfies ReadonlyArray<[string, Login]>)("programs started by %s", (_, login) => {
  it("run, keep their outputs apart, and hand back their status", async () => {
    const { environment } = await connect(login);
    expect(await runProgram(environment, "echo out; echo err >&2; exit 3")).toEqual({
      stdout: "out\n",
      stderr: "err\n",
      exit: 3,
    });
  });

  it("read input to its end and go on writing after it", async () => {
    const { environment } = await connect(login);
    expect(await runProgram(environment, "wc -c; echo done", "12345")).toMatchObject({
      stdout: "5\ndone\n",
      exit: 0,
    });
  });

  it("end by the signal they are sent, once for each time", async () => {
    const { environment } = await connect(login);
    const running = await startProgram(
      environment,
      exec("trap 'echo hup' HUP; echo ready; while :; do sleep 0.1; done"),
    );
    let output = "";
    running.stdout.on("data", (chunk) => {
      output += chunk;
    });
    await eventually(async () => output.includes("ready"), "the program runs");
    await Effect.runPromise(running.signal("HUP"));
    await eventually(async () => output.includes("hup"), "the program got the signal");
    await Effect.runPromise(running.signal("TERM"));
    expect(await Effect.runPromise(running.exit)).toMatchObject({ kind: "signal", signal: "TERM" });
    expect(output).toBe("ready\nhup\n");
  });

  it("have the size of their terminal before they write", async () => {
    const { environment } = await connect(login);
    for (let time = 0; time < 5; time++) {
      const { stdout, exit } = await runProgram(
        environment,
        "stty size; echo $TERM; tty >/dev/null && echo tty",
        "",
        {
          terminal: terminal(123 + time, 45),
        },
      );
      expect({ stdout, exit }).toEqual({ stdout: `45 ${123 + time}\r\nxterm\r\ntty\r\n`, exit: 0 });
    }
  });

  it("have the modes that the client's terminal has, also beside one that stty refuses", async () => {
    const { environment } = await connect(login);
    const { stdout } = await runProgram(environment, "stty -a", "", {
      terminal: {
        ...terminal(80, 24),
        modes: { VERASE: 8, VINTR: 255, VKILL: 0x27, ECHO: 0, IXANY: 1, TTY_OP_ISPEED: 4_000_000 },
      },
    });
    for (const mode of ["erase = ^H;", "intr = <undef>;", "kill = ';", "-echo ", " ixany"])
      expect(stdout).toContain(mode);
  });

  it("see their terminal change its size", async () => {
    const { environment } = await connect(login);
    const running = await startProgram(environment, exec("stty size; read x; stty size"), {
      terminal: terminal(80, 24),
    });
    const [first] = await once(running.stdout, "data");
    expect(String(first)).toBe("24 80\r\n");
    await Effect.runPromise(running.resize(terminal(132, 50)));
    running.stdin.end("\n");
    expect((await endOf(running)).stdout).toContain("50 132");
  });

  it("move bytes both ways unchanged", async () => {
    const { environment } = await connect(login);
    const input = randomBytes(8_000_000);
    const running = await startProgram(environment, exec("cat"));
    const hash = createHash("sha256");
    running.stdout.on("data", (chunk) => hash.update(chunk));
    running.stdin.end(input);
    await once(running.stdout, "end");
    expect(hash.digest("hex")).toBe(createHash("sha256").update(input).digest("hex"));
    expect(await Effect.runPromise(running.exit)).toEqual({ kind: "status", status: 0 });
  });

  it("say when there is no such command", async () => {
    const { environment } = await connect(login);
    const { exit, stdout, stderr } = await runProgram(environment, "/no/such/program");
    expect(exit).toBe(127);
    expect(stdout + stderr).toContain("/no/such/program");
  });
});
