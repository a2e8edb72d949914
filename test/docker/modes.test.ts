/** The modes of the Docker backend on a real Engine: whose container it is, what is in it, and when it goes. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { Effect, Redacted } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { testDaemon } from "../support/docker-backend.ts";
import { endOf, exec, open, runProgram, secret, startProgram, terminal } from "../support/programs.ts";
import { eventually } from "../support/resources.ts";

let engine: TestEngine;
beforeAll(async () => {
  engine = await startEngine();
  await engine.image("busybox:1");
  await engine.image("agent:1", { agent: true });
  await engine.image("bare:1", { shell: false });
  await engine.image("entry:1", {
    changes: ['ENTRYPOINT ["/bin/env", "ENTRY=image"]', 'CMD ["/bin/echo", "the image\'s"]'],
  });
});
afterAll(() => engine?.[Symbol.asyncDispose]());

const names = async (): Promise<readonly string[]> =>
  (await engine.containers()).flatMap(({ Names }) => Names.map((name) => name.slice(1)));

const file = (content: string) => ({ content: Redacted.make(Buffer.from(content)), sensitive: true });

const identity = {
  metadata: { TOKEN: secret("s3cr3t-token"), team: open("red") },
  environment: { GREETING: open("hello"), TERM: open("dumb") },
};

describe("mode connection", () => {
  it("gives one container to all sessions of a connection and removes it with the connection", async () => {
    const daemon = await testDaemon(engine.host);
    const connection = await daemon.connect();
    await runProgram(connection.environment, "echo one > /tmp/file");
    expect((await runProgram(connection.environment, "cat /tmp/file")).stdout).toBe("one\n");
    expect(await names()).toHaveLength(1);
    await connection.close();
    expect(await names()).toEqual([]);
  });

  it("brings the login's environment and metadata into every program, over the client's", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment, connectionId } = await daemon.connect({
      identity,
      execution: {
        exposeAuthMetadataAsEnv: true,
        container: { Image: "busybox:1", Env: ["GREETING=configured", "KEPT=1"] },
      },
    });
    const { stdout } = await runProgram(environment, "echo $GREETING $KEPT $TOKEN $team $LANG $TERM", "", {
      environment: { GREETING: "mine", LANG: "C" },
      terminal: terminal(80, 24),
    });
    expect(stdout).toBe("hello 1 s3cr3t-token red C dumb\r\n");
    const [container] = await engine.containers();
    expect(container?.Labels).toMatchObject({
      containerssh_connection_id: connectionId,
      containerssh_ip: "192.0.2.1",
      containerssh_username: "jane",
      berth_authenticated_username: "jane",
      berth_mode: "connection",
      berth_instance: daemon.shared.instance.id,
    });
    expect(JSON.stringify([container?.Labels, container?.Names, daemon.log.text()])).not.toContain("s3cr3t");
  });

  it.each([
    ["root", "", "0 0"],
    ["a user by name", "jane", "1000 1001"],
    ["a user and a group", "jane:staff", "1000 50"],
    ["ids", "1234:5678", "1234 5678"],
  ])("puts files of the login there for %s alone", async (_, User, owner) => {
    const daemon = await testDaemon(engine.host);
    const ticket = Buffer.from("ticket");
    const krb5cc = { content: Redacted.make(ticket), sensitive: true };
    const { environment } = await daemon.connect({
      identity: { files: { "/tmp/krb5cc": krb5cc, "/home/jane/.config/deep/er": file("deeper") } },
      execution: { container: { Image: "busybox:1", User } },
    });
    const { stdout } = await runProgram(
      environment,
      "cat /tmp/krb5cc /home/jane/.config/deep/er; stat -c ' %u %g %a' /tmp/krb5cc /home/jane/.config/deep/er; stat -c '%u %a' /home/jane /home/jane/.config",
    );
    const [uid] = owner.split(" ");
    expect(stdout).toBe(`ticketdeeper ${owner} 600\n ${owner} 600\n1000 755\n${uid} 755\n`);
    // Nobody needs it here any more.
    expect(ticket).toEqual(Buffer.alloc(6));
    const encoded = Buffer.from("ticket").toString("base64");
    for (const secret of ["ticket", encoded])
      expect(daemon.log.text() + JSON.stringify(await engine.containers())).not.toContain(secret);
  });

  it.each([
    ["agent:1", { Tmpfs: { "/run/secrets": "" } }],
    ["busybox:1", { Mounts: [{ Type: "tmpfs", Target: "/run/secrets" }] }],
  ])("puts files into memory too, with %s", async (Image, host) => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect({
      identity: { files: { "/run/secrets/token": file("in memory") } },
      execution: { container: { Image }, host },
    });
    const { stdout } = await runProgram(
      environment,
      "cat /run/secrets/token; stat -c ' %a' /run/secrets/token",
    );
    expect(stdout).toBe("in memory 600\n");
  });

  it("refuses a login whose files it can't write, and leaves no container behind", async () => {
    const daemon = await testDaemon(engine.host);
    const { refusal, close } = await daemon.connect({
      identity: { files: { "/etc/token": file("x") } },
      execution: { host: { ReadonlyRootfs: true } },
    });
    expect(refusal.code).toBe("DOCKER_FILE_WRITE_FAILED");
    await close();
    expect(await names()).toEqual([]);
  });

  it("idles through the shell where the image has no agent, and says once that it has none", async () => {
    const daemon = await testDaemon(engine.host);
    await daemon.connect();
    await daemon.connect();
    expect(daemon.log.codes().filter((code) => code === "DOCKER_AGENT_READ_FAILED")).toHaveLength(1);
  });

  it("runs programs in an image with neither agent nor shell, and says that signals don't work there", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect({
      execution: { container: { Image: "bare:1" }, idleCommand: ["/busybox", "sleep", "100000"] },
    });
    expect(await runProgram(environment, "/busybox echo hi")).toEqual({
      stdout: "hi\n",
      stderr: "",
      exit: 0,
    });
    const running = await startProgram(environment, exec("/busybox sleep 100"));
    const error = await Effect.runPromise(Effect.flip(running.signal("TERM")));
    expect(error.code).toBe("DOCKER_SIGNAL_FAILED_NO_PID");
  });

  it("refuses an image whose idle command can't work", async () => {
    const daemon = await testDaemon(engine.host);
    const { refusal } = await daemon.connect({ execution: { container: { Image: "bare:1" } } });
    expect(refusal.code).toBe("DOCKER_CONFIG_ERROR");
    expect(
      (await daemon.connect({ execution: { container: { Image: "busybox:1" }, idleCommand: ["/no/such"] } }))
        .refusal.code,
    ).toBe("DOCKER_CONTAINER_START_FAILED");
  });

  it("tells a user whose container is stopped under their program", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect();
    const running = await startProgram(environment, exec("sleep 100"));
    const [container] = await engine.containers();
    await engine.docker.getContainer(container?.Id ?? "").remove({ force: true });
    const error = await Effect.runPromise(Effect.flip(running.exit));
    expect(error).toMatchObject({ code: "DOCKER_CONTAINER_GONE" });
    expect(error.userMessage).toContain("stopped");
  });
});

describe("mode session", () => {
  const execution = { mode: "session" };

  it("makes the program a container of its own, which goes with it", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect({ execution, identity });
    const command = "echo $GREETING $(hostname); cat; exit 4";
    const running = await startProgram(environment, exec(command));
    const [container, ...others] = await engine.containers();
    expect(others).toEqual([]);
    const { Id, Config } = await engine.docker.getContainer(container?.Id ?? "").inspect();
    expect(Config.Cmd).toEqual(["/bin/sh", "-c", command]);
    running.stdin.end("input");
    const { stdout, exit } = await endOf(running);
    expect({ stdout, exit }).toEqual({ stdout: `hello ${Id.slice(0, 12)}\ninput`, exit: 4 });
    await running.close();
    expect(await names()).toEqual([]);
  });

  it.each([
    ["a child of the Engine's init, to which signals do what they do everywhere", {}, "143"],
    ["the container's first process where the configuration wants no init", { Init: false }, "ignored, as 1"],
  ])("makes the program %s", async (_, host, ending) => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect({ execution: { ...execution, host } });
    const running = await startProgram(environment, exec("echo ready; read line; echo ignored, as $$"));
    await once(running.stdout, "data");
    await Effect.runPromise(running.signal("TERM"));
    // A program that the signal ends needs no more input; its way there takes a moment.
    if (ending !== "143") running.stdin.end("go on\n");
    const { stdout, exit } = await endOf(running);
    expect(exit === "TERM" ? "143" : stdout.trim()).toBe(ending);
  });

  it.each(["busybox:1", "agent:1"])(
    "has a terminal with its size before it writes, from %s",
    async (Image) => {
      const daemon = await testDaemon(engine.host);
      const { environment } = await daemon.connect({ execution: { ...execution, container: { Image } } });
      for (let time = 0; time < 3; time++) {
        const { stdout, exit } = await runProgram(environment, "stty size; stty -a; exit 6", "", {
          terminal: { ...terminal(99 + time, 33), modes: { VERASE: 8 } },
        });
        expect(stdout).toMatch(new RegExp(`^33 ${99 + time}\r\n`));
        expect(stdout).toContain("erase = ^H;");
        expect(exit).toBe(6);
      }
    },
  );

  it("is not held up by the size of a terminal where nothing can wait for it", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect({
      execution: { ...execution, container: { Image: "bare:1" } },
    });
    const { stdout, exit } = await runProgram(environment, "/busybox echo in", "", {
      terminal: terminal(99, 33),
    });
    expect({ stdout, exit }).toEqual({ stdout: "in\r\n", exit: 0 });
  });

  it.each([
    ["the image's", "entry:1", {}, "image"],
    ["the configured", "entry:1", { Entrypoint: ["/bin/env", "ENTRY=configured"] }, "configured"],
  ])("keeps %s entry point, with a terminal and without", async (_, Image, container, entry) => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect({
      execution: { ...execution, container: { Image, ...container } },
    });
    expect((await runProgram(environment, "echo $ENTRY")).stdout).toBe(`${entry}\n`);
    const inTerminal = await runProgram(environment, "echo $ENTRY; stty size", "", {
      terminal: terminal(99, 33),
    });
    expect(inTerminal.stdout).toBe(`${entry}\r\n33 99\r\n`);
  });

  it("starts the image's own command for a shell where none is configured", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect({
      execution: { ...execution, shellCommand: [], container: { Image: "entry:1" } },
    });
    expect((await runProgram(environment, { kind: "shell" })).stdout).toBe("the image's\n");
    expect(
      (await runProgram(environment, { kind: "shell" }, "", { terminal: terminal(80, 24) })).stdout,
    ).toBe("the image's\r\n");
  });

  it("can be signalled in a terminal", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect({ execution });
    const running = await startProgram(
      environment,
      exec("trap 'stty size; exit 9' TERM; echo ready; while :; do sleep 0.1; done"),
      { terminal: terminal(99, 33) },
    );
    let output = "";
    running.stdout.on("data", (chunk) => {
      output += chunk;
    });
    await eventually(async () => output.includes("ready"), "the program runs");
    await Effect.runPromise(running.resize(terminal(44, 22)));
    await Effect.runPromise(running.signal("TERM"));
    expect(await Effect.runPromise(running.exit)).toEqual({ kind: "status", status: 9 });
    expect(output).toBe("ready\r\n22 44\r\n");
  });

  it("puts the login's files there before the program starts, and removes everything with the connection", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment, close } = await daemon.connect({
      execution,
      identity: { files: { "/tmp/token": file("first") } },
    });
    // Each session's container gets them.
    for (let count = 0; count < 2; count++) {
      expect((await runProgram(environment, "cat /tmp/token")).stdout).toBe("first");
    }
    await startProgram(environment, exec("sleep 100"), { channel: 1 });
    await startProgram(environment, exec("sleep 100"), { channel: 2 });
    await close();
    expect(await names()).toEqual([]);
  });
});

describe("mode persistent", () => {
  const persistent = (more: Record<string, unknown> = {}) => ({
    mode: "persistent",
    containerName: "lab-{authenticatedUsername}",
    createMissingContainers: true,
    ...more,
  });

  it("gives two connections of one user one container, whose files survive them", async () => {
    const daemon = await testDaemon(engine.host);
    const first = await daemon.connect({ user: "ann", execution: persistent() });
    const second = await daemon.connect({ user: "ann", execution: persistent() });
    await runProgram(first.environment, "echo kept > /root/file");
    expect((await runProgram(second.environment, "cat /root/file")).stdout).toBe("kept\n");
    await first.close();
    await second.close();
    const third = await daemon.connect({ user: "ann", execution: persistent() });
    expect((await runProgram(third.environment, "cat /root/file")).stdout).toBe("kept\n");
    expect(await names()).toContain("lab-ann");
  });

  it("starts a container that was stopped, and resumes one that was paused", async () => {
    const daemon = await testDaemon(engine.host);
    const first = await daemon.connect({ user: "bob", execution: persistent() });
    await runProgram(first.environment, "echo kept > /root/file");
    await engine.docker.getContainer("lab-bob").stop({ t: 0 });
    const second = await daemon.connect({
      user: "bob",
      execution: persistent({ createMissingContainers: false }),
    });
    expect((await runProgram(second.environment, "cat /root/file")).stdout).toBe("kept\n");
    expect(second.states).toContain("container.starting");
    await engine.docker.getContainer("lab-bob").pause();
    const third = await daemon.connect({ user: "bob", execution: persistent() });
    expect((await runProgram(third.environment, "cat /root/file")).stdout).toBe("kept\n");
    expect(third.states).toContain("container.resuming");
  });

  it("refuses who has no container and may not have one made", async () => {
    const daemon = await testDaemon(engine.host);
    const { refusal } = await daemon.connect({
      user: "carl",
      execution: persistent({ createMissingContainers: false }),
    });
    expect(refusal).toMatchObject({ code: "DOCKER_CONTAINER_NOT_FOUND", details: { container: "lab-carl" } });
    expect(refusal.userMessage).toContain("does not exist yet");
  });

  it("lets ten simultaneous first logins of one user share one container", async () => {
    const daemon = await testDaemon(engine.host);
    const connections = await Promise.all(
      Array.from({ length: 10 }, () => daemon.connect({ user: "dora", execution: persistent() })),
    );
    const hosts = await Promise.all(
      connections.map(({ environment }) => runProgram(environment, "hostname")),
    );
    expect(new Set(hosts.map(({ stdout }) => stdout)).size).toBe(1);
  });

  it("never puts a sensitive value into a name", async () => {
    const daemon = await testDaemon(engine.host);
    const { refusal } = await daemon.connect({
      identity,
      execution: persistent({ containerName: "lab-{metadata.TOKEN}" }),
    });
    expect(refusal.code).toBe("DOCKER_CONFIG_ERROR");
    expect(JSON.stringify(refusal)).not.toContain("s3cr3t");
  });

  it("keeps the login's environment to its own programs", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect({ user: "eve", identity, execution: persistent() });
    expect(
      (await runProgram(environment, "echo $GREETING; tr '\\0' '\\n' </proc/1/environ")).stdout,
    ).not.toMatch(/hello[\s\S]*hello/);
  });

  it("does not leave a container behind that could not be started", async () => {
    const daemon = await testDaemon(engine.host);
    const { refusal } = await daemon.connect({
      user: "fred",
      execution: persistent({ idleCommand: ["/no/such/program"] }),
    });
    expect(refusal.code).toBe("DOCKER_CONTAINER_START_FAILED");
    await eventually(async () => !(await names()).includes("lab-fred"), "the container is gone");
  });

  it("hangs up programs whose session is gone", async () => {
    const daemon = await testDaemon(engine.host);
    const { environment } = await daemon.connect({ user: "gus", execution: persistent() });
    const mark = createHash("sha256").update(String(process.pid)).digest("hex").slice(0, 12);
    const running = await startProgram(environment, exec(`sh -c 'while :; do sleep 0.1; done' ${mark}`));
    const count = async () =>
      Number((await runProgram(environment, `ps -o args | grep -c '[s]h -c while.*${mark}'`)).stdout);
    expect(await count()).toBeGreaterThan(0);
    await running.close();
    await eventually(async () => (await count()) === 0, "the program is gone");
  });
});
