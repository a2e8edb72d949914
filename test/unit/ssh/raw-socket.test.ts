import { createECDH } from "node:crypto";
import { once } from "node:events";
import kex from "ssh2/lib/protocol/kex.js";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Message, message } from "../../../src/ssh/wire.ts";
import { everything, rawSocket } from "../../support/sockets.ts";
import { PASSWORD, WireClient } from "../../support/wire-client.ts";
import { KEX_ECDH_INIT, KEX_ECDH_REPLY, keyExchangeInit, packet } from "./key-exchange-client.ts";
import { serve } from "./scripted.ts";

/** What no server of ours offers. */
const oldOffer = () => {
  const direction = { cipher: ["aes128-ctr"], mac: ["hmac-sha2-256"], compress: ["none"], lang: [] };
  const lists = { kex: ["diffie-hellman-group1-sha1"], serverHostKey: ["ssh-ed25519"] };
  return new kex.KexInit({ ...lists, cs: direction, sc: direction });
};

const IDENTIFICATION = "SSH-2.0-test_client\r\n";

/** Without it a login over any network takes 40 ms longer: the client's second segment waits (RFC 896). */
describe("to a client of OpenSSH the server's offer of algorithms", () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => vi.useRealTimers());

  /** The server has read the identification, and nothing else. */
  const identified = async () => {
    const server = await serve();
    const socket = await rawSocket(server);
    await once(socket, "data");
    const timers = vi.getTimerCount();
    socket.write("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    const deadline = performance.now() + 5000;
    while (vi.getTimerCount() === timers) {
      if (performance.now() > deadline) throw new Error("nothing is held");
      await new Promise(setImmediate);
    }
    return socket;
  };
  const messageOf = (answer: Buffer): number | undefined => answer[5];

  test("goes with the acknowledgement of the client's", async () => {
    const socket = await identified();
    socket.write(packet(keyExchangeInit({ kex: ["curve25519-sha256"] })));
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(messageOf(answer)).toBe(Message.KEXINIT);
  });

  test("comes after a while to one that waits for it", async () => {
    const socket = await identified();
    vi.advanceTimersByTime(300);
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(messageOf(answer)).toBe(Message.KEXINIT);
  });
});

describe("identification", () => {
  test("the server's comes at once", async () => {
    const server = await serve({ config: { serverVersion: "SSH-2.0-Berth test 1" } });
    const socket = await rawSocket(server);
    const [first] = (await once(socket, "data")) as [Buffer];
    expect(first.toString()).toBe("SSH-2.0-Berth test 1\r\n");
  });

  test.each([
    ["HTTP", "GET / HTTP/1.1\r\n\r\n"],
    ["binary garbage", Buffer.from([0, 255, 3, 1, 2, 254, 10])],
    ["an old version", "SSH-1.5-old\r\n"],
    ["no software", "SSH-2.0-\r\n"],
    ["control characters", "SSH-2.0-a\x1b[31m\r\n"],
    ["NUL", "SSH-2.0-a\0b\r\n"],
    ["a line of 256 bytes", `SSH-2.0-${"a".repeat(246)}\r\n`],
    ["a line that never ends", "SSH-2.0-".padEnd(10_000, "a")],
  ])("%s ends the connection", async (_, bytes) => {
    const server = await serve();
    const socket = await rawSocket(server);
    socket.write(bytes);
    const answer = await everything(socket);
    expect(answer.toString()).toContain("SSH-2.0-ContainerSSH\r\nThe key exchange failed.");
    const { refusal } = await (await server.connection()).event("peer.failed");
    expect(refusal).toMatchObject({ code: "SSH_HANDSHAKE_FAILED", level: "info" });
  });

  test("10 MB of it end the connection without being kept", async () => {
    const server = await serve();
    const socket = await rawSocket(server);
    const before = process.memoryUsage().arrayBuffers;
    socket.write("SSH-2.0-");
    const chunk = Buffer.alloc(64 * 1024, "a");
    for (let count = 0; count < 160; count++) socket.write(chunk);
    await (await server.connection()).event("peer.failed");
    // What is counted is what this test holds itself: the 160 writes share one chunk.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 2 ** 20);
  });

  test("it may come byte by byte, and end with LF only", async () => {
    const server = await serve();
    const socket = await rawSocket(server);
    socket.setNoDelay(true);
    const answers: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => answers.push(chunk));
    for (const byte of "SSH-2.0-slow\n") await new Promise((resolve) => socket.write(byte, resolve));
    // SSH_MSG_KEXINIT with its list of algorithms follows.
    await expect.poll(() => Buffer.concat(answers).toString("latin1")).toContain("curve25519-sha256");
  });

  test("1.99 is understood", async () => {
    const server = await serve();
    const socket = await rawSocket(server);
    const answers: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => answers.push(chunk));
    socket.write("SSH-1.99-old\r\n");
    await expect.poll(() => Buffer.concat(answers).toString("latin1")).toContain("curve25519-sha256");
  });
});

describe("key exchange", () => {
  test.each([
    ["garbage", Buffer.alloc(64, 0xff)],
    ["a packet of the wrong size", Buffer.from([0, 0, 0, 13, 4, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
    ["a huge packet", Buffer.from([0x7f, 0xff, 0xff, 0xf8, 4, 20, 0, 0])],
    ["an empty list", Buffer.concat([Buffer.from([0, 0, 0, 44, 4, 20]), Buffer.alloc(42)])],
    ["another message", Buffer.from([0, 0, 0, 12, 10, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
  ])("%s ends the connection", async (_, bytes) => {
    const server = await serve();
    const socket = await rawSocket(server);
    socket.write(Buffer.concat([Buffer.from(IDENTIFICATION), bytes]));
    await everything(socket);
    const { refusal } = await (await server.connection()).event("peer.failed");
    expect(refusal.code).toBe("SSH_HANDSHAKE_FAILED");
  });

  test("a client without a common algorithm is told", async () => {
    const server = await serve({ config: { kex: ["ecdh-sha2-nistp256"] } });
    await expect(WireClient.connect(server, { offer: oldOffer() })).rejects.toThrow();
    const { refusal } = await (await server.connection()).event("peer.failed");
    expect(refusal).toMatchObject({
      code: "SSH_HANDSHAKE_FAILED",
      details: { error: "Handshake failed: no matching key exchange algorithm" },
    });
  });

  test("a packet sent on a wrong guess is skipped (RFC 4253 section 7)", async () => {
    const server = await serve();
    const socket = await rawSocket(server);
    const ecdh = createECDH("prime256v1");
    const lists = [
      // This client prefers what the server accepts and does not prefer: its guess counts as wrong.
      ...["ecdh-sha2-nistp256", "ssh-ed25519", "aes128-ctr", "aes128-ctr"],
      ...["hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""],
    ];
    const kexInit = message(Message.KEXINIT, ...lists, true, { uint32: 0 });
    const cookie = Buffer.alloc(16);
    const packets = [
      packet(Buffer.concat([kexInit.subarray(0, 1), cookie, kexInit.subarray(1)])),
      packet(message(KEX_ECDH_INIT, "a guess that does not parse")),
      packet(message(KEX_ECDH_INIT, ecdh.generateKeys())),
    ];
    socket.write(Buffer.concat([Buffer.from(IDENTIFICATION), ...packets]));
    const answers: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => answers.push(chunk));
    const [hostKey = ""] = server.hostKeys;
    const blob = Buffer.from(hostKey.split(" ")[1] ?? "", "base64");
    await expect.poll(() => Buffer.concat(answers).includes(message(KEX_ECDH_REPLY, blob))).toBe(true);
  });

  test("half of one and silence ends by the machine's word", async () => {
    const server = await serve();
    const socket = await rawSocket(server);
    socket.write(IDENTIFICATION);
    const { link } = await server.connection();
    await once(socket, "data");
    link.disconnect("byApplication", "Logging in took too long.");
    expect((await everything(socket)).toString("latin1")).toContain("Logging in took too long.");
  });

  test("a client that leaves in the middle is gone, and nothing else", async () => {
    const server = await serve();
    const socket = await rawSocket(server);
    socket.write(IDENTIFICATION);
    await once(socket, "data");
    socket.resetAndDestroy();
    const connection = await server.connection();
    await connection.event("peer.disconnected");
    expect(connection.events).toHaveLength(1);
  });
});

describe("after the first keys", () => {
  test("a packet that does not authenticate ends the connection", async () => {
    const server = await serve();
    const client = await WireClient.connect(server);
    client.socket.write(Buffer.alloc(64, 7));
    const { refusal } = await (await server.connection()).event("peer.failed");
    expect(refusal).toMatchObject({
      code: "SSH_DECODE_FAILED",
      details: { clientVersion: "SSH-2.0-test_client" },
    });
    expect(await client.disconnection()).toEqual({ reason: 2, text: refusal.userMessage });
  });

  test.each([
    ["a channel", Message.CHANNEL_OPEN],
    ["a global request", Message.GLOBAL_REQUEST],
    ["channel data", Message.CHANNEL_DATA],
  ])("%s before the login ends the connection", async (_, number) => {
    const server = await serve();
    const client = await WireClient.connect(server);
    await client.beginAuthentication();
    client.send(number, "session", { uint32: 0 }, { uint32: 100 }, { uint32: 100 });
    expect((await (await server.connection()).event("peer.failed")).refusal.code).toBe("SSH_DECODE_FAILED");
    expect((await client.disconnection()).reason).toBe(2);
  });

  test.each(["ssh-connection", "nonsense"])("the service %s ends the connection", async (service) => {
    const server = await serve();
    const client = await WireClient.connect(server);
    client.send(Message.SERVICE_REQUEST, service);
    expect((await (await server.connection()).event("peer.failed")).refusal.code).toBe("SSH_DECODE_FAILED");
  });

  test("unknown messages are answered as unimplemented, with their numbers", async () => {
    const server = await serve();
    const client = await WireClient.connect(server);
    await client.beginAuthentication();
    client.send(Message.IGNORE, "");
    client.send(199, "whatever");
    const first = (await client.next(Message.UNIMPLEMENTED)).readUInt32BE(1);
    client.send(70);
    const second = (await client.next(Message.UNIMPLEMENTED)).readUInt32BE(1);
    // Numbers are counted from 0 after strict key exchange: service request, ignore, unknown, unknown.
    expect([first, second]).toEqual([2, 3]);
  });

  test("a client may say goodbye, and why", async () => {
    const server = await serve();
    const client = await WireClient.connect(server);
    client.send(Message.DISCONNECT, { uint32: 2 }, "I don't\nlike it", "");
    const connection = await server.connection();
    await connection.event("peer.disconnected");
    await client.closed();
    expect(client.received.map(([type]) => type)).not.toContain(Message.DISCONNECT);
    expect(server.log.entries.at(-1)).toMatchObject({
      code: "SSH_DISCONNECTED",
      details: { reason: 2, text: "I don't like it" },
    });
  });

  test("the machine's farewell reaches the client with its reason", async () => {
    const server = await serve();
    const client = await WireClient.connect(server);
    const connection = await server.connection();
    await connection.event("handshake.completed");
    connection.link.disconnect("noMoreAuthMethodsAvailable", "Too many failed attempts — sorry.");
    expect(await client.disconnection()).toEqual({ reason: 14, text: "Too many failed attempts — sorry." });
    await client.closed();
    await connection.event("peer.disconnected");
  });

  test("a client that keeps its socket open after the farewell loses it", async () => {
    const server = await serve();
    const client = await WireClient.connect(server);
    client.socket.removeAllListeners("end");
    client.socket.allowHalfOpen = true;
    const connection = await server.connection();
    connection.link.disconnect("byApplication", "bye");
    await connection.event("peer.disconnected");
  });

  test("after the end every method of the link does nothing", async () => {
    const server = await serve();
    const client = await WireClient.login(server);
    const channel = await client.openSession();
    const { link, event } = await server.connection();
    client.socket.destroy();
    await event("peer.disconnected");
    link.answerFailure(["password"]);
    link.answerKeyAcceptable();
    link.answerSuccess();
    link.showBanner("x");
    link.acceptChannel(channel);
    link.acceptRequest(channel);
    link.openStreams(channel);
    link.showFailure(channel, "x");
    link.closeChannel(channel, { kind: "status", status: 0 });
    link.notifyTerminals("x");
    link.disconnect("byApplication", "x");
    expect(link.streams(channel)).toBeUndefined();
  });
});

test("a login goes on while others misbehave", async () => {
  const server = await serve();
  const [noisy, silent] = [await rawSocket(server), await rawSocket(server)];
  noisy.write("nonsense\r\n");
  const client = await WireClient.connect(server);
  await client.beginAuthentication();
  client.send(Message.USERAUTH_REQUEST, "jane", "ssh-connection", "password", false, PASSWORD);
  await client.next(Message.USERAUTH_SUCCESS);
  silent.destroy();
});
