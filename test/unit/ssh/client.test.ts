/** The client's half of SSH against servers that speak it oddly, or break it: message by message. */
import { once } from "node:events";
import { Redacted } from "effect";
import { describe, expect, it } from "vitest";
import { AuthenticationRefused } from "../../../src/ssh/client/authentication.ts";
import { ChannelRefused } from "../../../src/ssh/client/channels.ts";
import { ConnectionEnded } from "../../../src/ssh/client/connection.ts";
import { type Field, Message, Reader } from "../../../src/ssh/wire.ts";
import { clientOf, hostKey, loggedIn, nobody, oddServer, opened, PACKET, WINDOW } from "./odd-server.ts";

const password = { ...nobody, password: Redacted.make("right") };
const zero = { uint32: 0 };

describe("before the host key is accepted", () => {
  it("reads past a server's greeting, tells the fingerprint, and says nothing", async () => {
    const server = await oddServer("Welcome.\r\nUnauthorized use is prohibited.\r\n");
    const client = await clientOf(server);
    expect(await client.identified).toEqual({ fingerprint: server.fingerprint, keyType: "ssh-ed25519" });
    // Whatever is asked of it now waits for keys that are not in use yet.
    client.disconnect();
    expect((await client.ended).message).toBe("the connection was closed");
    await expect(client.acceptHostKey()).rejects.toBeInstanceOf(ConnectionEnded);
  });
});

describe("logging in", () => {
  it("goes on with the methods that the server names, and tells which were in vain", async () => {
    const server = await oddServer();
    const client = await clientOf(server);
    await client.identified;
    await client.acceptHostKey();
    const refused = client.authenticate({ ...password, privateKey: hostKey() });
    await server.next(Message.SERVICE_REQUEST);
    server.send(Message.SERVICE_ACCEPT, "ssh-userauth");
    const methods: string[] = [];
    for (const answer of ["password,hostbased", "hostbased"]) {
      const reader = new Reader(await server.next(Message.USERAUTH_REQUEST));
      methods.push([reader.name(), reader.name(), reader.name()].join(" "));
      server.send(Message.USERAUTH_BANNER, "words\r\n", "");
      server.send(Message.USERAUTH_FAILURE, answer, false);
    }
    const error = await refused.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(AuthenticationRefused);
    expect(error).toMatchObject({ tried: ["publickey", "password"], offered: ["hostbased"] });
    expect(methods).toEqual(["jane ssh-connection publickey", "jane ssh-connection password"]);
  });

  it("does not send the password to a server that does not take passwords", async () => {
    const server = await oddServer();
    const client = await clientOf(server);
    await client.identified;
    await client.acceptHostKey();
    const refused = client.authenticate({ ...password, privateKey: hostKey() });
    await server.next(Message.SERVICE_REQUEST);
    server.send(Message.SERVICE_ACCEPT, "ssh-userauth");
    await server.next(Message.USERAUTH_REQUEST);
    server.send(Message.USERAUTH_FAILURE, "publickey", false);
    await expect(refused).rejects.toMatchObject({ tried: ["publickey"], offered: ["publickey"] });
  });
});

describe("channels", () => {
  it("tells why the server refused one", async () => {
    const server = await oddServer();
    const client = await loggedIn(server);
    const opening = client.open("session");
    await server.next(Message.CHANNEL_OPEN);
    server.send(Message.CHANNEL_OPEN_FAILURE, zero, { uint32: 4 }, "too\u001b[31m many", "");
    const error = await opening.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ChannelRefused);
    expect(error).toMatchObject({ reason: 4, message: "too [31m many" });
  });

  it("gets answers in the order of its questions", async () => {
    const server = await oddServer();
    const channel = await opened(server, await loggedIn(server));
    const answers = [channel.request("env", "A", "1"), channel.request("pty-req"), channel.request("shell")];
    for (const type of [Message.CHANNEL_FAILURE, Message.CHANNEL_SUCCESS, Message.CHANNEL_SUCCESS]) {
      await server.next(Message.CHANNEL_REQUEST);
      server.send(type, zero);
    }
    expect(await Promise.all(answers)).toEqual([false, true, true]);
  });

  it("reads data and errors, gives back their window, and tells how the program ended", async () => {
    const server = await oddServer();
    const channel = await opened(server, await loggedIn(server));
    const block = Buffer.alloc(30_000, "x");
    const received = { data: 0, errors: 0 };
    channel.data.on("data", (chunk: Buffer) => {
      received.data += chunk.length;
    });
    channel.stderr.on("data", (chunk: Buffer) => {
      received.errors += chunk.length;
    });
    const ended = [once(channel.data, "end"), once(channel.stderr, "end")];
    // More than the window, by both ways together: without adjustments it would be exceeded.
    let window = 2 ** 21;
    for (let count = 0; count < 100; count++) {
      while (window < block.length) {
        window += new Reader(await server.next(Message.CHANNEL_WINDOW_ADJUST), 5).uint32();
      }
      window -= block.length;
      if (count % 2 === 0) server.send(Message.CHANNEL_DATA, zero, block);
      else server.send(Message.CHANNEL_EXTENDED_DATA, zero, { uint32: 1 }, block);
    }
    const exit = ["exit-signal", false, "SEGV", true, "core dumped", "en"] as const;
    server.send(Message.CHANNEL_REQUEST, zero, ...exit);
    server.send(Message.CHANNEL_EOF, zero);
    server.send(Message.CHANNEL_CLOSE, zero);
    expect(await channel.exit).toEqual({
      kind: "signal",
      signal: "SEGV",
      coreDumped: true,
      message: "core dumped",
    });
    await Promise.all(ended);
    expect(received).toEqual({ data: 1_500_000, errors: 1_500_000 });
    await server.next(Message.CHANNEL_CLOSE);
  });

  it("does not let errors that nobody reads exceed the window", async () => {
    const server = await oddServer();
    const client = await loggedIn(server);
    const channel = await opened(server, client);
    channel.data.resume();
    const block = Buffer.alloc(32_000, "x");
    for (let sent = 0; sent <= 2 ** 21; sent += block.length) {
      server.send(Message.CHANNEL_EXTENDED_DATA, zero, { uint32: 1 }, block);
    }
    expect((await client.ended).message).toBe("a channel's window is exceeded");
  });

  it("is closed without a word: nobody knows how the program ended", async () => {
    const server = await oddServer();
    const channel = await opened(server, await loggedIn(server));
    server.send(Message.CHANNEL_CLOSE, zero);
    expect(await channel.exit).toBeUndefined();
    expect(await channel.request("signal", "TERM")).toBe(false);
  });
});

describe("a server's own wishes", () => {
  it("are answered with no, and signs of life with one", async () => {
    const server = await oddServer();
    await loggedIn(server);
    server.send(Message.GLOBAL_REQUEST, "keepalive@openssh.com", true);
    await server.next(Message.REQUEST_FAILURE);
    server.send(Message.CHANNEL_OPEN, "forwarded-tcpip", { uint32: 7 }, WINDOW, PACKET, "a", zero, "b", zero);
    const refused = new Reader(await server.next(Message.CHANNEL_OPEN_FAILURE));
    expect([refused.uint32(), refused.uint32()]).toEqual([7, 1]);
    server.send(200);
    await server.next(Message.UNIMPLEMENTED);
  });
});

describe("a server that breaks the protocol", () => {
  it.each<readonly [string, number, readonly Field[], string]>([
    ["data for a channel that never was", Message.CHANNEL_DATA, [{ uint32: 9 }, "x"], "never open"],
    ["an answer that was not asked for", Message.CHANNEL_SUCCESS, [zero], "was not made"],
    [
      "a channel that was not asked for",
      Message.CHANNEL_OPEN_CONFIRMATION,
      [{ uint32: 9 }, zero, zero, zero],
      "not asked for",
    ],
    ["too big a window", Message.CHANNEL_WINDOW_ADJUST, [zero, { uint32: 2 ** 32 - 1 }], "window is too big"],
    ["half a message", Message.CHANNEL_DATA, [zero], "ends too early"],
    [
      "an exit status of two bytes",
      Message.CHANNEL_REQUEST,
      [zero, "exit-status", false, true, true],
      "ends too early",
    ],
    [
      "a goodbye",
      Message.DISCONNECT,
      [{ uint32: 2 }, "no more\u0007", ""],
      "the server disconnected: no more",
    ],
  ])("by %s is left, and everybody who waits is told", async (_, number, fields, reason) => {
    const server = await oddServer();
    const client = await loggedIn(server);
    const channel = await opened(server, client);
    const waiting = client.open("session").catch((error: unknown) => error);
    await server.next(Message.CHANNEL_OPEN);
    server.send(number, ...fields);
    expect((await client.ended).message).toContain(reason);
    expect(await waiting).toBeInstanceOf(ConnectionEnded);
    expect(await channel.exit).toBeUndefined();
    expect(channel.data.errored).toBeInstanceOf(ConnectionEnded);
  });

  it("by answers to nothing while it logs in is left", async () => {
    const server = await oddServer();
    const client = await clientOf(server);
    await client.identified;
    await client.acceptHostKey();
    void client.authenticate(password).catch(() => {});
    await server.next(Message.SERVICE_REQUEST);
    for (let count = 0; count < 100; count++) server.send(Message.USERAUTH_FAILURE, "none", false);
    expect((await client.ended).message).toContain("what was not asked");
  });

  it("by a cut line is told by that", async () => {
    const server = await oddServer();
    const client = await loggedIn(server);
    server.hangUp();
    expect((await client.ended).message).toMatch(/closed|reset/i);
  });
});
