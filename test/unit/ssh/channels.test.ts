/** Channels of a session are opened, and asked for what they may do (RFC 4254 sections 4 to 6). */
import { describe, expect, test } from "vitest";
import type { SessionRequest } from "../../../machines/session.ts";
import { type Field, Message, Reader } from "../../../src/ssh/wire.ts";
import { login, running } from "./sessions.ts";

describe("opening", () => {
  test("an accepted session is confirmed with its own number", async () => {
    const { client, connection } = await login();
    client.send(Message.CHANNEL_OPEN, "session", { uint32: 42 }, { uint32: 1000 }, { uint32: 1000 });
    const answer = new Reader(await client.next(Message.CHANNEL_OPEN_CONFIRMATION));
    expect(answer.uint32()).toBe(42);
    expect(await connection.event("session.opened")).toEqual({
      type: "session.opened",
      channel: answer.uint32(),
    });
  });

  test("one that nobody accepts at once is refused, and accepting it later has no effect", async () => {
    const { client, connection, server } = await login({ open: () => {} });
    client.send(Message.CHANNEL_OPEN, "session", { uint32: 42 }, { uint32: 1000 }, { uint32: 1000 });
    const answer = new Reader(await client.next(Message.CHANNEL_OPEN_FAILURE));
    expect([answer.uint32(), answer.uint32()]).toEqual([42, 1]);
    const { channel } = await connection.event("session.opened");
    connection.link.acceptChannel(channel);
    client.send(Message.CHANNEL_REQUEST, { uint32: channel }, "shell", true);
    client.send(Message.GLOBAL_REQUEST, "keepalive@openssh.com", true);
    await client.next(Message.REQUEST_FAILURE);
    expect(client.received.map(([type]) => type)).not.toContain(Message.CHANNEL_OPEN_CONFIRMATION);
    expect(server.log.codes()).toContain("SSH_NEW_CHANNEL_REJECTED");
  });

  test.each([
    ["direct-tcpip", 1],
    ["direct-streamlocal@openssh.com", 1],
    ["x11", 3],
    ["auth-agent@openssh.com", 3],
    ["nonsense\0@example.com", 3],
  ])("a channel of type %j is refused with reason %d", async (type, reason) => {
    const { client, connection } = await login();
    client.send(Message.CHANNEL_OPEN, type, { uint32: 3 }, { uint32: 10 }, { uint32: 10 }, "host", {
      uint32: 80,
    });
    const answer = new Reader(await client.next(Message.CHANNEL_OPEN_FAILURE));
    expect([answer.uint32(), answer.uint32()]).toEqual([3, reason]);
    await client.openSession();
    expect(connection.events.filter(({ type: event }) => event === "peer.failed")).toEqual([]);
  });

  test("a channel without room for packets is refused", async () => {
    const { client } = await login();
    client.send(Message.CHANNEL_OPEN, "session", { uint32: 3 }, { uint32: 10 }, { uint32: 0 });
    await client.next(Message.CHANNEL_OPEN_FAILURE);
  });

  test("128 sessions at once are enough; a closed one makes room", async () => {
    const { client } = await login();
    for (let sender = 0; sender < 128; sender++) await client.openSession(sender);
    client.send(Message.CHANNEL_OPEN, "session", { uint32: 999 }, { uint32: 10 }, { uint32: 10 });
    const answer = new Reader(await client.next(Message.CHANNEL_OPEN_FAILURE));
    expect([answer.uint32(), answer.uint32()]).toEqual([999, 4]);
    client.send(Message.CHANNEL_CLOSE, { uint32: 5 });
    await client.next(Message.CHANNEL_CLOSE);
    expect(await client.openSession(999)).toBe(128);
  });

  test("after no-more-sessions@openssh.com there are none", async () => {
    const { client } = await login();
    client.send(Message.GLOBAL_REQUEST, "no-more-sessions@openssh.com", false);
    client.send(Message.CHANNEL_OPEN, "session", { uint32: 3 }, { uint32: 10 }, { uint32: 10 });
    await client.next(Message.CHANNEL_OPEN_FAILURE);
  });
});

describe("requests", () => {
  const requested = async (type: string, ...fields: Field[]): Promise<SessionRequest | undefined> => {
    const { client, connection } = await login();
    const channel = await client.openSession();
    const isAccepted = await client.request(channel, type, ...fields);
    const event = connection.events.find((each) => each.type === "session.requested");
    expect(isAccepted).toBe(event !== undefined);
    return event?.request;
  };
  const size = [80, 24, 640, 480].map((number) => ({ uint32: number }));

  test("env", async () => {
    expect(await requested("env", "LANG", "de_DE.UTF-8")).toEqual({
      type: "env.requested",
      name: "LANG",
      value: "de_DE.UTF-8",
    });
  });

  test.each([
    ["", "value"],
    ["A=B", "value"],
    ["A\0", "value"],
    ["A", "val\0ue"],
    ["A", Buffer.of(0xff)],
  ])("env %j %j is refused", async (name, value) => {
    expect(await requested("env", name, value)).toBeUndefined();
  });

  test("pty-req, with its modes by their names", async () => {
    const modes = Buffer.from([53, 0, 0, 0, 1, 129, 0, 0, 0x96, 0, 200 - 81, 1, 2, 3, 4, 0, 99]);
    expect(await requested("pty-req", "xterm", ...size, modes)).toEqual({
      type: "pty.requested",
      terminal: {
        term: "xterm",
        columns: 80,
        rows: 24,
        widthPixels: 640,
        heightPixels: 480,
        modes: { ECHO: 1, TTY_OP_OSPEED: 38_400 },
      },
    });
  });

  test("pty-req with a size no terminal has is cut to the largest", async () => {
    const huge = { uint32: 2 ** 32 - 1 };
    expect(await requested("pty-req", "vt100", huge, huge, huge, huge, "")).toMatchObject({
      terminal: { columns: 65_535, rows: 65_535, modes: {} },
    });
  });

  test("a terminal with control characters in its name is refused", async () => {
    expect(await requested("pty-req", "xterm\n", ...size, "")).toBeUndefined();
  });

  test.each([
    ["shell", [], { kind: "shell" }],
    ["exec", ["echo ä"], { kind: "exec", command: "echo ä" }],
    ["subsystem", ["sftp"], { kind: "subsystem", name: "sftp" }],
  ] as const)("%s starts a program", async (type, fields, program) => {
    expect(await requested(type, ...fields)).toEqual({ type: "program.requested", program });
  });

  test.each([
    ["exec", Buffer.from([0x65, 0xff, 0xfe])],
    ["exec", "echo\0rm"],
    ["subsystem", Buffer.of(0xff)],
    ["subsystem", ""],
    ["signal", "TERM\n"],
  ])("%s of %j is refused", async (type, field) => {
    expect(await requested(type, field)).toBeUndefined();
  });

  test.each(["x11-req", "auth-agent-req@openssh.com", "break", "xon-xoff", "eow@openssh.com", "nonsense"])(
    "%s is refused",
    async (type) => {
      const { client, server } = await login();
      const channel = await client.openSession();
      expect(await client.request(channel, type, "whatever")).toBe(false);
      expect(server.log.codes()).toContain("SSH_CHANNEL_REQUEST_FAILED");
    },
  );

  test("requests after the program's start are announced and answered, too", async () => {
    const { client, connection, channel } = await running();
    expect(await client.request(channel, "window-change", ...size)).toBe(true);
    expect(await client.request(channel, "signal", "TERM")).toBe(true);
    expect(await client.request(channel, "nonsense")).toBe(false);
    expect(connection.events.slice(-2)).toMatchObject([
      { request: { type: "window.changed", size: { columns: 80, rows: 24 } } },
      { request: { type: "signal.requested", signal: "TERM" } },
    ]);
  });

  test("one that nobody accepts at once is refused, and accepting it later has no effect", async () => {
    const { client, connection } = await login({ request: () => {} });
    const channel = await client.openSession();
    expect(await client.request(channel, "env", "A", "B")).toBe(false);
    connection.link.acceptRequest(channel);
    connection.link.openStreams(channel);
    expect(connection.link.streams(channel)).toBeUndefined();
  });

  test("a request that wants no answer gets none", async () => {
    const { client } = await login();
    const channel = await client.openSession();
    client.send(Message.CHANNEL_REQUEST, { uint32: channel }, "env", false, "A", "B");
    client.send(Message.CHANNEL_REQUEST, { uint32: channel }, "nonsense", false);
    expect(await client.request(channel, "shell")).toBe(true);
    const answers = client.received.filter(
      ([type]) => type === Message.CHANNEL_SUCCESS || type === Message.CHANNEL_FAILURE,
    );
    expect(answers).toHaveLength(1);
  });

  test("a client can't fill the memory with variables", async () => {
    const { client, connection } = await login();
    const channel = await client.openSession();
    for (let count = 0; count < 2000; count++) {
      client.send(Message.CHANNEL_REQUEST, { uint32: channel }, "env", false, `A${count}`, "B");
    }
    expect(await client.request(channel, "env", "LAST", "B")).toBe(false);
    expect(connection.events.filter(({ type }) => type === "session.requested").length).toBeLessThan(1100);
    expect(await client.request(channel, "shell")).toBe(true);
  });

  test("a command may be as long as a packet", async () => {
    const command = `true ${"x".repeat(32_000)}`;
    expect(await requested("exec", command)).toMatchObject({ program: { command } });
  });

  test("a command of 256 KB ends the connection", async () => {
    const { client, connection } = await login();
    const channel = await client.openSession();
    client.send(Message.CHANNEL_REQUEST, { uint32: channel }, "exec", true, "x".repeat(256 * 1024));
    expect((await connection.event("peer.failed")).refusal.code).toBe("SSH_DECODE_FAILED");
    await client.disconnection();
  });

  test("a truncated request ends the connection", async () => {
    const { client, connection } = await login();
    const channel = await client.openSession();
    client.send(Message.CHANNEL_REQUEST, { uint32: channel }, "pty-req", true, "xterm", { uint32: 1 });
    expect((await connection.event("peer.failed")).refusal.code).toBe("SSH_DECODE_FAILED");
  });
});

describe("global requests", () => {
  test.each(["keepalive@openssh.com", "tcpip-forward", "streamlocal-forward@openssh.com", "nonsense"])(
    "%s is answered",
    async (name) => {
      const { client } = await login();
      client.send(Message.GLOBAL_REQUEST, name, true, "127.0.0.1", { uint32: 0 });
      await client.next(Message.REQUEST_FAILURE);
    },
  );
});
