import { once } from "node:events";
import { describe, expect, test } from "vitest";
import type { SessionRequest } from "../../../machines/session.ts";
import type { ChannelStreams } from "../../../src/ssh/link.ts";
import { type Field, Message, message, Reader } from "../../../src/ssh/wire.ts";
import { WireClient } from "../../support/wire-client.ts";
import { type Script, serve } from "./scripted.ts";

/** Programs are the test's own. */
const still: Partial<Script> = { run: () => {} };

const login = async (script: Partial<Script> = still) => {
  const server = await serve({ script });
  const client = await WireClient.login(server);
  return { server, client, connection: await server.connection() };
};

/** A session whose program "runs": its streams are in the test's hands. */
const running = async (window?: number, packetBytes?: number) => {
  const { server, client, connection } = await login();
  const channel = await client.openSession(7, window, packetBytes);
  expect(await client.request(channel, "shell")).toBe(true);
  const streams = connection.link.streams(channel) as ChannelStreams;
  return { server, client, connection, channel, streams };
};

const data = (channel: number, bytes: string | Uint8Array): Buffer =>
  message(Message.CHANNEL_DATA, { uint32: channel }, bytes);

const dataOf = (payload: Buffer): string => new Reader(payload, 5).string().toString();

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

describe("data", () => {
  test("the client's data can be read, and ends with its end", async () => {
    const { client, channel, streams } = await running();
    client.sendRaw(data(channel, "one "));
    client.sendRaw(data(channel, "two"));
    client.send(Message.CHANNEL_EOF, { uint32: channel });
    client.sendRaw(data(channel, "too late"));
    let text = "";
    for await (const chunk of streams.channel) text += String(chunk);
    expect(text).toBe("one two");
  });

  test("data that came before the program is kept for it", async () => {
    const { client, connection } = await login();
    const number = await client.openSession();
    client.sendRaw(data(number, "early"));
    await client.request(number, "shell");
    const streams = connection.link.streams(number) as ChannelStreams;
    const [chunk] = (await once(streams.channel, "data")) as [Buffer];
    expect(chunk.toString()).toBe("early");
  });

  test("a client that sends more than it may is disconnected", async () => {
    const { client, connection, channel } = await running();
    const packet = data(channel, Buffer.alloc(32 * 1024));
    for (let count = 0; count < 65; count++) client.sendRaw(packet);
    expect((await connection.event("peer.failed")).refusal.code).toBe("SSH_DECODE_FAILED");
  });

  test("what was read may be sent again, and only that", async () => {
    const { client, channel, streams } = await running();
    const packet = data(channel, Buffer.alloc(32 * 1024));
    for (let count = 0; count < 64; count++) client.sendRaw(packet);
    await expect.poll(() => streams.channel.readableLength).toBe(2 * 2 ** 20);
    expect(client.received.map(([type]) => type)).not.toContain(Message.CHANNEL_WINDOW_ADJUST);
    let read = 0;
    while (read < 2 ** 20) read += ((streams.channel.read(64 * 1024) as Buffer | null) ?? "").length;
    let returned = 0;
    while (returned < 2 ** 20) {
      returned += new Reader(await client.next(Message.CHANNEL_WINDOW_ADJUST), 5).uint32();
    }
    expect(returned).toBe(2 ** 20);
  });

  test("a window full of single bytes costs about as much memory as of big pieces", async () => {
    const { client, channel, streams } = await running();
    const total = 100_000;
    const before = process.memoryUsage();
    const packet = data(channel, "x");
    for (let count = 0; count < total; count++) {
      client.sendRaw(packet);
      if (count % 10_000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    client.send(Message.CHANNEL_EOF, { uint32: channel });
    let length = 0;
    await expect.poll(() => streams.channel.readableLength).toBe(total);
    expect(process.memoryUsage().rss - before.rss).toBeLessThan(60 * 2 ** 20);
    for await (const chunk of streams.channel) length += (chunk as Buffer).length;
    expect(length).toBe(total);
  });

  test("output goes out in packets that fit the client, as its window allows", async () => {
    const { client, channel, streams } = await running(10, 4);
    let isWritten = false;
    streams.channel.write("abcdefghijklmnop", () => {
      isWritten = true;
    });
    const pieces = [];
    for (let count = 0; count < 3; count++) pieces.push(dataOf(await client.next(Message.CHANNEL_DATA)));
    expect(pieces).toEqual(["abcd", "efgh", "ij"]);
    expect(isWritten).toBe(false);
    client.send(Message.CHANNEL_WINDOW_ADJUST, { uint32: channel }, { uint32: 100 });
    for (let count = 0; count < 2; count++) pieces.push(dataOf(await client.next(Message.CHANNEL_DATA)));
    expect(pieces.slice(3)).toEqual(["klmn", "op"]);
    await expect.poll(() => isWritten).toBe(true);
  });

  test("standard error is extended data of type 1 and shares the window", async () => {
    const { client, streams } = await running(6);
    streams.stderr.write("four");
    const packet = new Reader(await client.next(Message.CHANNEL_EXTENDED_DATA), 5);
    expect([packet.uint32(), packet.string().toString()]).toEqual([1, "four"]);
    streams.channel.write("abc");
    expect(dataOf(await client.next(Message.CHANNEL_DATA))).toBe("ab");
  });

  test("small writes are put together while the client doesn't take them", async () => {
    const { client, channel, streams } = await running(0);
    for (let count = 0; count < 100; count++) streams.channel.write("ab");
    streams.channel.write(Buffer.alloc(0));
    client.send(Message.CHANNEL_WINDOW_ADJUST, { uint32: channel }, { uint32: 1000 });
    let text = "";
    let packets = 0;
    for (; text.length < 200; packets++) text += dataOf(await client.next(Message.CHANNEL_DATA));
    expect(text).toBe("ab".repeat(100));
    expect(packets).toBeLessThanOrEqual(3);
  });

  test("a window beyond 2^32 - 1 ends the connection", async () => {
    const { client, connection, channel } = await running();
    client.send(Message.CHANNEL_WINDOW_ADJUST, { uint32: channel }, { uint32: 2 ** 32 - 1 });
    expect((await connection.event("peer.failed")).refusal.code).toBe("SSH_DECODE_FAILED");
  });

  test.each([Message.CHANNEL_DATA, Message.CHANNEL_REQUEST, Message.CHANNEL_CLOSE, Message.CHANNEL_EOF])(
    "message %d about a channel that never was ends the connection",
    async (number) => {
      const { client, connection } = await login();
      client.send(number, { uint32: 99 }, "", false);
      expect((await connection.event("peer.failed")).refusal.code).toBe("SSH_DECODE_FAILED");
    },
  );

  test("data on standard error of a client is dropped, and its window returned", async () => {
    const { client, channel } = await running();
    const bytes = Buffer.alloc(32 * 1024);
    for (let count = 0; count < 80; count++) {
      client.sendRaw(message(Message.CHANNEL_EXTENDED_DATA, { uint32: channel }, { uint32: 1 }, bytes));
      if (count % 8 === 7) await client.next(Message.CHANNEL_WINDOW_ADJUST);
    }
    expect(await client.request(channel, "nonsense")).toBe(false);
  });
});

describe("the end", () => {
  const order = (client: WireClient) =>
    client.received
      .map(([type]) => type)
      .filter(
        (type) => type !== undefined && type >= Message.CHANNEL_DATA && type <= Message.CHANNEL_REQUEST,
      );

  test("output, exit status, end of file and close come in this order", async () => {
    const { client, connection, channel, streams } = await running();
    streams.channel.write("output");
    streams.stderr.write("errors");
    connection.link.closeChannel(channel, { kind: "status", status: 7 });
    const exit = new Reader(await client.next(Message.CHANNEL_REQUEST), 5);
    expect([exit.name(), exit.boolean(), exit.uint32()]).toEqual(["exit-status", false, 7]);
    await client.next(Message.CHANNEL_CLOSE);
    expect(order(client)).toEqual([
      Message.CHANNEL_DATA,
      Message.CHANNEL_EXTENDED_DATA,
      Message.CHANNEL_REQUEST,
      Message.CHANNEL_EOF,
      Message.CHANNEL_CLOSE,
    ]);
    client.send(Message.CHANNEL_CLOSE, { uint32: channel });
    expect(await connection.event("session.closed")).toEqual({ type: "session.closed", channel });
    expect(connection.link.streams(channel)).toBeUndefined();
  });

  test("it waits until the client has taken all output", async () => {
    const { client, connection, channel, streams } = await running(3);
    streams.channel.write("output");
    connection.link.closeChannel(channel, { kind: "status", status: 0 });
    expect(dataOf(await client.next(Message.CHANNEL_DATA))).toBe("out");
    expect(await client.request(channel, "nonsense")).toBe(false);
    client.send(Message.CHANNEL_WINDOW_ADJUST, { uint32: channel }, { uint32: 100 });
    expect(dataOf(await client.next(Message.CHANNEL_DATA))).toBe("put");
    await client.next(Message.CHANNEL_REQUEST);
    await client.next(Message.CHANNEL_CLOSE);
  });

  test.each([
    ["TERM", "TERM"],
    ["WINCH", "WINCH@berth"],
  ])("a program that SIG%s ended has an exit signal %s", async (signal, name) => {
    const { client, connection, channel } = await running();
    connection.link.closeChannel(channel, { kind: "signal", signal, coreDumped: true, message: "killed" });
    const exit = new Reader(await client.next(Message.CHANNEL_REQUEST), 5);
    expect([exit.name(), exit.boolean(), exit.name(), exit.boolean(), exit.text(), exit.text()]).toEqual([
      "exit-signal",
      false,
      name,
      true,
      "killed",
      "",
    ]);
  });

  test("when both outputs end before the program, the client learns of it at once", async () => {
    const { client, connection, channel, streams } = await running();
    streams.channel.end("last words");
    streams.stderr.end();
    await client.next(Message.CHANNEL_EOF);
    connection.link.closeChannel(channel, { kind: "status", status: 0 });
    await client.next(Message.CHANNEL_CLOSE);
    expect(order(client)).toEqual([
      Message.CHANNEL_DATA,
      Message.CHANNEL_EOF,
      Message.CHANNEL_REQUEST,
      Message.CHANNEL_CLOSE,
    ]);
  });

  test("a client may close first: the streams are gone, and writing to them does nothing", async () => {
    const { client, connection, channel, streams } = await running(0);
    streams.channel.write("never sent");
    streams.stderr.write("never sent");
    client.send(Message.CHANNEL_CLOSE, { uint32: channel });
    await client.next(Message.CHANNEL_CLOSE);
    await connection.event("session.closed");
    expect([streams.channel.destroyed, streams.stderr.destroyed]).toEqual([true, true]);
    streams.channel.write("x");
    streams.stderr.write("x");
    connection.link.closeChannel(channel, { kind: "status", status: 0 });
    connection.link.showFailure(channel, "x");
    // What the client still says about it is ignored.
    client.sendRaw(data(channel, "x"));
    client.send(Message.CHANNEL_REQUEST, { uint32: channel }, "signal", true, "TERM");
    client.send(Message.CHANNEL_CLOSE, { uint32: channel });
    await client.openSession();
    expect(order(client)).toEqual([Message.CHANNEL_CLOSE]);
  });

  test("behind its close a channel says nothing more, not even what a request was waiting for", async () => {
    const { client, connection, channel } = await running();
    connection.link.closeChannel(channel, { kind: "status", status: 0 });
    await client.next(Message.CHANNEL_CLOSE);
    client.send(Message.CHANNEL_REQUEST, { uint32: channel }, "signal", true, "TERM");
    client.send(Message.GLOBAL_REQUEST, "keepalive@openssh.com", true);
    await client.next(Message.REQUEST_FAILURE);
    expect(client.received.map(([type]) => type)).not.toContain(Message.CHANNEL_FAILURE);
  });

  test("what a client had no room for is not sent behind the close", async () => {
    const { client, connection, channel, streams } = await running(0);
    streams.channel.write("no room for this");
    connection.link.closeChannel(channel, { kind: "status", status: 0 });
    streams.channel.write("too late");
    await client.next(Message.CHANNEL_CLOSE);
    client.send(Message.CHANNEL_WINDOW_ADJUST, { uint32: channel }, { uint32: 100 });
    client.send(Message.GLOBAL_REQUEST, "keepalive@openssh.com", true);
    await client.next(Message.REQUEST_FAILURE);
    expect(order(client).at(-1)).toBe(Message.CHANNEL_CLOSE);
  });

  test("writing after the end is no error that nobody listens for", async () => {
    const { client, connection, channel, streams, server } = await running();
    connection.link.closeChannel(channel, { kind: "status", status: 0 });
    streams.channel.write("late");
    await client.next(Message.CHANNEL_CLOSE);
    expect(server.log.codes()).toContain("SSH_STREAM_FAILED");
  });

  test("a failure is shown on standard error before the end", async () => {
    const { client, connection, channel } = await running();
    connection.link.showFailure(channel, "Your environment is gone.");
    connection.link.closeChannel(channel, { kind: "status", status: 255 });
    const packet = new Reader(await client.next(Message.CHANNEL_EXTENDED_DATA), 9);
    expect(packet.text()).toBe("Your environment is gone.\n");
    await client.next(Message.CHANNEL_CLOSE);
  });

  test("whoever sits at a terminal reads notices, and failures with a carriage return", async () => {
    const { client, connection } = await login();
    const sizes = [80, 24, 0, 0].map((number) => ({ uint32: number }));
    const terminal = await client.openSession(1);
    await client.request(terminal, "pty-req", "xterm", ...sizes, "");
    const other = await client.openSession(2);
    await client.request(other, "shell");
    connection.link.notifyTerminals("not started yet");
    await client.request(terminal, "shell");
    connection.link.notifyTerminals("The server is stopping.");
    connection.link.showFailure(terminal, "Sorry.");
    const packets = [];
    for (let count = 0; count < 2; count++) {
      const packet = new Reader(await client.next(Message.CHANNEL_EXTENDED_DATA));
      packets.push([packet.uint32(), packet.uint32(), packet.text()]);
    }
    expect(packets).toEqual([
      [1, 1, "\r\nThe server is stopping.\r\n"],
      [1, 1, "Sorry.\r\n"],
    ]);
  });

  test("a lost connection closes its channels first", async () => {
    const { client, connection, channel } = await running();
    client.socket.resetAndDestroy();
    await connection.event("peer.disconnected");
    expect(connection.events.slice(-2)).toEqual([
      { type: "session.closed", channel },
      { type: "peer.disconnected" },
    ]);
  });
});
