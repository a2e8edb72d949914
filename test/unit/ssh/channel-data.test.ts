/** What channels carry, and how they end (RFC 4254 sections 5.2, 5.3 and 6.10). */
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import type { ChannelStreams } from "../../../src/ssh/link.ts";
import { Message, message, Reader } from "../../../src/ssh/wire.ts";
import type { WireClient } from "../../support/wire-client.ts";
import { data, dataOf, login, running } from "./sessions.ts";

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
