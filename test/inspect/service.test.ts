/** What the inspector of a running daemon tells, to whom, and what becomes of those who do not listen. */
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createWebSocketReceiver, type StatelyInspectionEvent } from "@statelyai/inspect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { stringify } from "yaml";
import { TRACE_FORMAT, type Trace } from "../../src/inspect/format.ts";
import { certificateAuthority } from "../support/certificates.ts";
import { run } from "../support/command.ts";
import { type Daemon, ENTRY, startDaemon } from "../support/daemon.ts";
import { type InspectorClient, inspectSection, openInspector } from "../support/inspector.ts";
import { generateKey } from "../support/keys.ts";
import type { LogLine } from "../support/log.ts";
import { nodeClient } from "../support/node-client.ts";
import { PATIENCE_SECONDS } from "../support/patience.ts";
import { freePort } from "../support/ports.ts";
import { directory, eventually } from "../support/resources.ts";
import { SshClient } from "../support/ssh.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { within } from "../support/transcript.ts";
import { usersAuth } from "../support/users.ts";

const PASSWORD = "correct-horse-battery-staple";

const world = async (inspect = {}): Promise<{ daemon: Daemon; inspector: InspectorClient }> => {
  const daemon = await startDaemon({
    config: {
      auth: await usersAuth({ name: "demo", password: PASSWORD }),
      backend: "process",
      process: { isolation: "none" },
      inspect: inspectSection(inspect),
    },
  });
  return { daemon, inspector: await openInspector(daemon) };
};

const isEnd = ({ message }: LogLine) => message === "The connection is closed";

const logIn = async (daemon: Daemon, password = PASSWORD) => {
  await using client = await SshClient.to(daemon.target({ password }));
  const result = await client.run("true");
  await daemon.log.next("SSH_DISCONNECTED", isEnd);
  return result;
};

describe("an inspector", () => {
  let daemon: Daemon;
  let inspector: InspectorClient;

  beforeAll(async () => {
    ({ daemon, inspector } = await world());
  });
  afterAll(() => daemon[Symbol.asyncDispose]());

  it("keeps what happened to a refused login, under the reference that its user was shown", async () => {
    const { stderr } = await logIn(daemon, "wrong");
    const [, reference = ""] = /\(reference ([0-9a-f]{8})\)/.exec(stderr) ?? [];
    const trace = await inspector.trace(reference);
    const told = trace.lines.filter((line) => line.type === "step" && line.told);
    expect(told).toMatchObject([
      {
        moves: [
          { transitions: [expect.stringMatching(/^authentication\.checkingPassword\|/)] },
          { transitions: ["authentication.failing|always|1"] },
        ],
        refusal: { code: "AUTH_FAILED" },
      },
    ]);
    expect(trace.connection).toMatchObject({
      reference,
      username: "demo",
      code: "AUTH_FAILED",
      loggedIn: false,
    });
    expect((await daemon.log.next("AUTH_FAILED")).details.connectionId).toMatch(new RegExp(`^${reference}`));
  });

  it("keeps the way of a login, with the log lines between", async () => {
    await logIn(daemon);
    const { id } = (await inspector.connections()).find(({ loggedIn }) => loggedIn) ?? { id: "" };
    const { lines, connection } = await inspector.trace(id);
    const codes = lines.flatMap((line) => (line.type === "log" ? [line.code] : []));
    expect(codes).toEqual(
      expect.arrayContaining(["SSH_KEX_COMPLETED", "SSH_HANDSHAKE_SUCCESSFUL", "SSH_EXIT"]),
    );
    const machines = lines.flatMap((line) => (line.type === "actor" && line.machine ? [line.machine] : []));
    expect(machines).toEqual(["connection", "authentication", "provisioning", "process", "session"]);
    expect(connection).toMatchObject({ state: "closed", backend: "process", endedAt: expect.any(Number) });
  });

  it("counts", async () => {
    const { logins, refusals, refusalsByCode, slowest, machines } = await inspector.statistics();
    expect({ logins, refusals }).toEqual({ logins: 1, refusals: 1 });
    expect(refusalsByCode).toMatchObject([{ code: "AUTH_FAILED", count: 1 }]);
    expect(slowest.map(({ state }) => state)).toContain("authentication.checkingPassword");
    expect(machines.connection?.states["connection.serving.open"]).toBe(1);
  });

  it("counts a client whose keys are refused, and that has nothing else, once, when it leaves", async () => {
    const before = (await inspector.statistics()).refusals;
    const keys = await temporaryDirectory();
    const { file: identityFile } = await generateKey(keys, "unknown");
    await using client = await SshClient.to(daemon.target({ identityFile }));
    expect((await client.run("true")).stderr).toContain("Permission denied");
    await daemon.log.next("SSH_DISCONNECTED", isEnd);
    await expect.poll(async () => (await inspector.statistics()).refusals).toBe(before + 1);
    const row = (await inspector.connections()).at(-1);
    expect(row).toMatchObject({ code: "AUTH_FAILED", loggedIn: false });
  });

  it.each([
    ["no token", {}],
    ["another token", { authorization: "Bearer another-token-of-somebody" }],
    ["another scheme", { authorization: `Basic ${PASSWORD}` }],
  ])("tells nothing to who has %s", async (_, headers) => {
    for (const path of ["/api/connections", "/api/daemon", "/api/statistics", "/api/connections/00000000"]) {
      const response = await fetch(`${inspector.url}${path}`, { headers });
      expect([response.status, response.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    }
    const socket = new WebSocket(`${inspector.url.replace("http", "ws")}/inspect`, { headers });
    const [error] = await once(socket, "error");
    expect(String(error)).toContain("401");
    await daemon.log.next("INSPECT_REFUSED");
  });

  it("knows no other paths, methods and references", async () => {
    const statusOf = async (path: string, method = "GET") =>
      (await inspector.request(path, { method })).status;
    expect(await statusOf("/api/connections/ffffffff")).toBe(404);
    expect(await statusOf("/api/")).toBe(404);
    expect(await statusOf("/api/connections/a/b/c")).toBe(404);
    expect(await statusOf("/api/connections", "POST")).toBe(405);
    expect(await statusOf("/../package.json")).toBe(404);
    expect(await statusOf("/..%2f..%2f..%2fpackage.json")).toBe(403);
  });

  it("ends no connection where it may not", async () => {
    const client = await nodeClient(daemon.target({ password: PASSWORD }));
    const row = (await inspector.connections()).find(({ endedAt }) => endedAt === undefined);
    const response = await inspector.request(`/api/connections/${row?.id}/disconnect`, { method: "POST" });
    expect(response.status).toBe(403);
    const program = await client.exec("exit 3");
    program.channel.resume();
    expect(await program.exit).toEqual({ status: 3, signal: undefined });
    await client[Symbol.asyncDispose]();
    await daemon.log.next("SSH_DISCONNECTED", isEnd);
  });

  it("speaks the format of @statelyai/inspect: its receiver is told of every actor, event and snapshot", async () => {
    const url = `${inspector.url.replace("http", "ws")}/inspect?access_token=${inspector.token}`;
    const told: StatelyInspectionEvent[] = [];
    const receiver = createWebSocketReceiver({ server: url });
    const subscription = receiver.subscribe((event) => void told.push(event));
    const has = (type: string, name: string) => async () =>
      told.some((event) => event.type === type && JSON.stringify(event).includes(name));
    await eventually(has("@xstate.actor", "service-inspect"), "the picture so far is told");
    await logIn(daemon);
    await eventually(has("@xstate.event", "connection.ended"), "the login is told to its end");
    subscription.unsubscribe();
    const connection = told.find(
      (event) =>
        event.type === "@xstate.actor" && event.parentId === told[0]?.sessionId && event.name.length === 32,
    );
    expect(connection).toMatchObject({
      createdAt: expect.stringMatching(/^\d+$/),
      rootId: told[0]?.sessionId,
      definition: expect.stringContaining('"handshaking"'),
      snapshot: { status: "active", value: { entering: { login: "handshaking", patience: "ordinary" } } },
    });
    const states = told.flatMap((event) =>
      event.type === "@xstate.snapshot" && event.sessionId === connection?.sessionId
        ? [JSON.stringify(event.snapshot)]
        : [],
    );
    for (const state of ["authenticating", "configuring", "provisioning", "serving", "closing", "closed"]) {
      expect(states.join()).toContain(state);
    }
  });
});

/** A connection that is over as soon as the server has said what it speaks. */
const callAndHangUp = async ({ host, port }: Daemon): Promise<void> => {
  const socket = connect(port, host);
  await once(socket, "data");
  socket.destroy();
  await once(socket, "close");
};

describe("who does not read what they are sent", () => {
  it("is disconnected", async () => {
    const { daemon, inspector } = await world();
    await using _ = daemon;
    const socket = await inspector.connect();
    (socket as unknown as { readonly _socket: { pause: () => void } })._socket.pause();
    const ended = daemon.log.next("INSPECT_TOO_SLOW");
    let isOver = false;
    ended.finally(() => {
      isOver = true;
    });
    while (!isOver) await Promise.all(Array.from({ length: 20 }, () => callAndHangUp(daemon)));
    const { details } = await ended;
    expect(Number(details.waitingBytes)).toBeLessThan(6 * 1024 * 1024);
    (socket as unknown as { readonly _socket: { resume: () => void } })._socket.resume();
    await once(socket, "close");
  });
});

describe("who may control", () => {
  it("ends a connection; the log has who did, its user reads why", async () => {
    const { daemon, inspector } = await world({ allowControl: true });
    await using _ = daemon;
    await using client = await SshClient.to(daemon.target({ password: PASSWORD }));
    const session = client.start("sleep 100");
    const stderr = new Response(session.stderr as never).text();
    await daemon.log.next("SSH_HANDSHAKE_SUCCESSFUL");
    const [row] = await inspector.connections();
    const response = await inspector.request(`/api/connections/${row?.id}/disconnect`, { method: "POST" });
    expect(response.status).toBe(200);
    expect((await session.ending).code).toBe(255);
    expect(await stderr).toContain("An administrator has ended this connection.");
    await daemon.log.next("SSH_DISCONNECTED", isEnd);
    const { details } = await daemon.log.next("INSPECT_DISCONNECT", (line) => line.details.by !== undefined);
    expect(details).toMatchObject({ by: "127.0.0.1", connectionId: row?.id });
    expect(
      (await inspector.request(`/api/connections/${row?.id}/disconnect`, { method: "POST" })).status,
    ).toBe(404);
  });
});

describe("how a daemon stops", () => {
  it("can be watched to the end", async () => {
    const { daemon, inspector } = await world();
    await using _ = daemon;
    const socket = await inspector.connect();
    const states: string[] = [];
    socket.on("message", (data) => {
      const event = JSON.parse(String(data)) as StatelyInspectionEvent;
      if (event.type === "@xstate.snapshot" && event.sessionId === event.rootId) {
        states.push(String((event.snapshot as unknown as { readonly value: unknown }).value));
      }
    });
    const closed = once(socket, "close");
    expect(await within(PATIENCE_SECONDS, daemon.stop(), () => "the daemon did not stop")).toEqual({
      code: 0,
      signal: null,
    });
    const [code] = await closed;
    expect(code).toBe(1001);
    expect(states.at(-1)).toBe("stopped");
  });
});

describe("berth trace", () => {
  it("saves the trace of a reference, for its owner only, and says when there is none", async () => {
    const { daemon, inspector } = await world();
    await using _ = daemon;
    const { stderr } = await logIn(daemon, "wrong");
    const reference = /\(reference (\w+)\)/.exec(stderr)?.[1] ?? "";
    const folder = await mkdtemp(join(tmpdir(), "berth-trace-"));
    try {
      const trace = (...args: string[]) =>
        run(process.execPath, [ENTRY, "trace", ...args, "--inspector", inspector.link]);
      const output = join(folder, "trace.json");
      expect(await trace(reference, "--output", output)).toMatchObject({ code: 0, stdout: `${output}\n` });
      const saved = JSON.parse(await readFile(output, "utf8")) as Trace;
      expect(saved).toEqual(await inspector.trace(reference));
      expect(saved.format).toBe(TRACE_FORMAT);
      expect((await stat(output)).mode & 0o777).toBe(0o600);
      const missing = await trace("00000000", "--output", join(folder, "missing.json"));
      expect(missing.code).toBe(1);
      expect(missing.stderr).toContain("INSPECT_TRACE_FAILED: No trace of 00000000");
      await expect(stat(join(folder, "missing.json"))).rejects.toThrow("ENOENT");
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("berth trace over TLS, told by the configuration where the inspector is", () => {
  it("trusts the configured certificate and no other", async () => {
    await using home = await directory();
    const authority = await certificateAuthority(home.path, "authority");
    const { cert, key } = await authority.issue("inspector", ["DNS:inspector.example"]);
    const another = await authority.issue("another", ["DNS:inspector.example"]);
    const config = {
      auth: await usersAuth({ name: "demo", password: PASSWORD }),
      backend: "process",
      process: { isolation: "none" },
      inspect: inspectSection({ listen: `127.0.0.1:${await freePort()}`, cert, key }),
    };
    await using daemon = await startDaemon({ config });
    await daemon.log.next("INSPECT_AVAILABLE");
    const { stderr } = await logIn(daemon, "wrong");
    const reference = /\(reference (\w+)\)/.exec(stderr)?.[1] ?? "";
    const trace = async (name: string, pair: { readonly cert: string; readonly key: string }) => {
      const file = join(home.path, `${name}.yaml`);
      await writeFile(file, stringify({ ...config, inspect: { ...config.inspect, ...pair } }));
      const output = join(home.path, `${name}.json`);
      return run(process.execPath, [ENTRY, "trace", reference, "--config", file, "--output", output]);
    };
    expect(await trace("right", { cert, key })).toMatchObject({ code: 0 });
    expect(JSON.parse(await readFile(join(home.path, "right.json"), "utf8"))).toMatchObject({
      connection: { reference },
    });
    const refused = await trace("wrong", another);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("does not show the certificate of inspect.cert");
  });
});

describe("a token that is not configured", () => {
  it("is made for the run and told on standard error, never in the log", async () => {
    await using daemon = await startDaemon({
      config: {
        auth: await usersAuth({ name: "demo", password: PASSWORD }),
        backend: "process",
        inspect: { enable: true, listen: "127.0.0.1:0" },
      },
    });
    const [, url = "", token = ""] = await daemon.output.waitFor(/(http:\S+)\/#token=(\S+)/);
    const response = await fetch(`${url}/api/daemon`, { headers: { authorization: `Bearer ${token}` } });
    expect(response.status).toBe(200);
    expect(token.length).toBeGreaterThanOrEqual(24);
    expect(JSON.stringify(daemon.log.lines)).not.toContain(token);
  });
});
