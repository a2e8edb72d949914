import { once } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import type { ChannelStreams } from "../../../src/ssh/link.ts";
import { Message } from "../../../src/ssh/wire.ts";
import { rawSocket } from "../../support/sockets.ts";
import { WireClient } from "../../support/wire-client.ts";
import { serve } from "./scripted.ts";

const MEGABYTE = 2 ** 20;

/** Lets what is in flight arrive and what is due happen. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("clients that never read", () => {
  test("don't make answers pile up: nothing more is read from them", async () => {
    const methods = Array.from({ length: 1000 }, () => "keyboard-interactive" as const);
    const server = await serve({ script: { authenticate: (_, link) => link.answerFailure(methods) } });
    const client = await WireClient.connect(server);
    await client.beginAuthentication();
    client.socket.pause();
    const { events } = await server.connection();
    const answered = () => events.filter(({ type }) => type === "authentication.requested").length;
    const before = process.memoryUsage();
    // Each question gets 21 KB. Until the system's buffers are full and the server reads no more.
    while (client.socket.writableLength < MEGABYTE) {
      for (let count = 0; count < 200; count++) {
        client.send(Message.USERAUTH_REQUEST, "jane", "ssh-connection", "none");
      }
      await turn();
    }
    expect(answered() * 21_000).toBeLessThan(40 * MEGABYTE);
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(32 * MEGABYTE);
    const answeredThen = answered();
    client.socket.resume();
    await expect.poll(answered).toBeGreaterThan(answeredThen);
  });

  test("stop the program, and not the server", async () => {
    const server = await serve({ script: { run: () => {} } });
    const client = await WireClient.login(server);
    const channel = await client.openSession(0, 2 ** 32 - 1);
    await client.request(channel, "shell");
    const { link } = await server.connection();
    const streams = link.streams(channel) as ChannelStreams;
    client.socket.pause();
    let written = 0;
    const chunk = Buffer.alloc(64 * 1024);
    while (streams.channel.write(chunk)) {
      written += chunk.length;
      await turn();
    }
    const held = written;
    for (let count = 0; count < 50; count++) await turn();
    expect(streams.channel.writableNeedDrain).toBe(true);
    // What the system holds for loopback sockets, and a little.
    expect(held).toBeLessThan(32 * MEGABYTE);
    client.socket.resume();
    await once(streams.channel, "drain");
  });

  test("are disconnected all the same", async () => {
    const server = await serve({ script: { run: () => {} } });
    const client = await WireClient.login(server);
    const channel = await client.openSession(0, 2 ** 32 - 1);
    await client.request(channel, "shell");
    const connection = await server.connection();
    client.socket.pause();
    (connection.link.streams(channel) as ChannelStreams).channel.write(Buffer.alloc(32 * MEGABYTE));
    connection.link.disconnect("byApplication", "Enough.");
    await connection.event("peer.disconnected");
    expect(connection.link.streams(channel)).toBeUndefined();
  });
});

describe("floods", () => {
  test("of channels are refused beyond the limit, and answered all", async () => {
    const server = await serve();
    const client = await WireClient.login(server);
    const answers = { confirmed: 0, refused: 0 };
    for (let sender = 0; sender < 1000; sender++) {
      client.send(Message.CHANNEL_OPEN, "session", { uint32: sender }, { uint32: 1 }, { uint32: 1 });
    }
    for (let count = 0; count < 1000; count++) {
      const [type] = await client.next(Message.CHANNEL_OPEN_CONFIRMATION, Message.CHANNEL_OPEN_FAILURE);
      answers[type === Message.CHANNEL_OPEN_FAILURE ? "refused" : "confirmed"]++;
    }
    expect(answers).toEqual({ confirmed: 128, refused: 872 });
  });

  test("of channels opened and closed leave nothing behind", async () => {
    const server = await serve({ script: { run: () => {} } });
    const client = await WireClient.login(server);
    for (let count = 0; count < 500; count++) {
      const channel = await client.openSession();
      await client.request(channel, "shell");
      client.send(Message.CHANNEL_CLOSE, { uint32: channel });
      await client.next(Message.CHANNEL_CLOSE);
    }
    const { events } = await server.connection();
    expect(events.filter(({ type }) => type === "session.closed")).toHaveLength(500);
  });

  test("of requests that start a key exchange over and over go on", async () => {
    const server = await serve();
    const client = await WireClient.login(server);
    for (let count = 0; count < 20; count++) {
      client.rekey();
      client.send(Message.GLOBAL_REQUEST, "keepalive@openssh.com", true);
      await client.next(Message.REQUEST_FAILURE);
    }
  });
});

describe("new keys", () => {
  test("a client that ignores the wish for them can't fill the memory with questions", async () => {
    const server = await serve({ bytesPerKey: 1 });
    const client = await WireClient.connect(server);
    // It keeps using the old keys: its side of the key exchange never comes.
    client.ignoreKeyExchange();
    client.send(Message.SERVICE_REQUEST, "ssh-userauth");
    for (let count = 0; count < 1200; count++) client.send(199, "what?");
    const { refusal } = await (await server.connection()).event("peer.failed");
    expect(refusal).toMatchObject({
      code: "SSH_DECODE_FAILED",
      details: { error: "the client does not take new keys" },
    });
  });

  test("output waits while keys are exchanged, and goes on", async () => {
    const server = await serve({ bytesPerKey: 200_000, script: { run: () => {} } });
    const client = await WireClient.login(server);
    const channel = await client.openSession(0, 2 ** 32 - 1);
    await client.request(channel, "shell");
    const { link } = await server.connection();
    (link.streams(channel) as ChannelStreams).channel.write(Buffer.alloc(2 * MEGABYTE));
    link.closeChannel(channel, { kind: "status", status: 0 });
    await client.next(Message.CHANNEL_CLOSE);
    const data = client.received.filter(([type]) => type === Message.CHANNEL_DATA);
    expect(data.reduce((sum, packet) => sum + packet.length - 9, 0)).toBe(2 * MEGABYTE);
  });
});

describe("signs of life", () => {
  const config = { clientAliveInterval: "50ms", clientAliveCountMax: 2 };

  test("a silent client is asked, and stays when it answers", async () => {
    const server = await serve({ config });
    const client = await WireClient.login(server);
    for (let count = 0; count < 4; count++) {
      await client.next(Message.GLOBAL_REQUEST);
      client.send(Message.REQUEST_FAILURE);
    }
    const { events } = await server.connection();
    expect(events.map(({ type }) => type)).not.toContain("peer.failed");
  });

  test("a client that answers nothing is disconnected", async () => {
    const server = await serve({ config });
    const client = await WireClient.login(server);
    const { refusal } = await (await server.connection()).event("peer.failed");
    expect(refusal.code).toBe("SSH_KEEPALIVE_NORESP");
    await client.closed();
    const questions = client.received.filter(([type]) => type === Message.GLOBAL_REQUEST);
    // The host keys, and two questions.
    expect(questions).toHaveLength(3);
  });

  test("a client that talks is not asked", async () => {
    const server = await serve({ config: { ...config, clientAliveInterval: "300ms" } });
    const client = await WireClient.login(server);
    const until = performance.now() + 1000;
    let asked = 0;
    while (performance.now() < until) {
      client.send(Message.GLOBAL_REQUEST, "keepalive@openssh.com", true);
      await client.next(Message.REQUEST_FAILURE);
      asked = client.received.filter(([type]) => type === Message.GLOBAL_REQUEST).length;
    }
    expect(asked).toBe(1);
  });
});

test("2,000 silent connections cost little, and leave nothing behind", async () => {
  const server = await serve();
  const sockets: Socket[] = [];
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  for (let count = 0; count < 2000; count++) sockets.push(await rawSocket(server));
  await server.connection(1999);
  expect(process.memoryUsage().rss - before).toBeLessThan(120 * MEGABYTE);
  const client = await WireClient.login(server);
  for (const socket of sockets) socket.destroy();
  await Promise.all(server.connections.slice(0, 2000).map(({ closed }) => closed));
  await client.openSession();
});
