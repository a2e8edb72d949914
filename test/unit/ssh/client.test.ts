/** The client's half of SSH against servers that speak it oddly, or break it: message by message. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Effect, Redacted } from "effect";
import { describe, expect, it, onTestFinished } from "vitest";
import { defaults } from "../../../src/config/schema.ts";
import { algorithmsOf, hostKeyAlgorithmsOf } from "../../../src/ssh/algorithms.ts";
import { AuthenticationRefused } from "../../../src/ssh/client/authentication.ts";
import type { ClientChannel } from "../../../src/ssh/client/channel.ts";
import { ChannelRefused } from "../../../src/ssh/client/channels.ts";
import { ClientConnection, ConnectionEnded } from "../../../src/ssh/client/connection.ts";
import { byAlgorithm, HostKey } from "../../../src/ssh/host-key.ts";
import {
  packetBuffers,
  prepareClientTransport,
  prepareTransport,
  Transport,
} from "../../../src/ssh/ssh2-extension.ts";
import { type Field, Message, message, Reader } from "../../../src/ssh/wire.ts";
import { ed25519Key } from "../../support/wire-client.ts";

const VERSION = "SSH-2.0-Odd";

/** A server whose messages above the transport are the test's. */
interface OddServer {
  readonly port: number;
  readonly fingerprint: string;
  readonly send: (number: number, ...fields: readonly Field[]) => void;
  /** The next message of one of these types. */
  readonly next: (...types: readonly number[]) => Promise<Buffer>;
  readonly hangUp: () => void;
}

const hostKey = (): HostKey => {
  const key = HostKey.read(ed25519Key().privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  if (typeof key === "string") throw new Error(key);
  return key;
};

const oddServer = async (greeting = ""): Promise<OddServer> => {
  const key = hostKey();
  const settings = await Effect.runPromise(
    Effect.flatMap(algorithmsOf(defaults.ssh), (algorithms) =>
      prepareTransport({ serverVersion: VERSION, algorithms, hostKeys: byAlgorithm([key]) }),
    ),
  );
  const received: Buffer[] = [];
  let transport: Transport | undefined;
  let socket: Socket | undefined;
  let wake = (): void => {};
  const server = createServer((accepted) => {
    socket = accepted.on("error", () => accepted.destroy());
    onTestFinished(() => void accepted.destroy());
    accepted.write(`${greeting}${VERSION}\r\n`);
    accepted.once("data", (chunk: Buffer) => {
      const end = chunk.indexOf("\n");
      transport = new Transport(settings, ["ssh-ed25519"], chunk.toString("latin1", 0, end).trim(), {
        write: (bytes) => void accepted.write(bytes),
        handshakeCompleted: () => {},
        rekeyed: () => {},
        message: (payload) => {
          received.push(Buffer.from(payload));
          wake();
        },
        disconnected: () => {},
      });
      accepted.on("data", (more: Buffer) => transport?.receive(more));
      transport.receive(chunk.subarray(end + 1));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return {
    port: (server.address() as AddressInfo).port,
    fingerprint: key.fingerprint,
    send: (number, ...fields) => transport?.sendMessage(message(number, ...fields)),
    next: async (...types) => {
      for (;;) {
        for (let found = received.shift(); found !== undefined; found = received.shift()) {
          if (types.includes(found[0] ?? -1)) return found;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    hangUp: () => void socket?.destroy(),
  };
};

const clientOf = async ({ port }: OddServer): Promise<ClientConnection> => {
  const { clientVersion } = defaults.sshproxy;
  const transport = await Effect.runPromise(
    Effect.gen(function* () {
      const algorithms = yield* algorithmsOf(defaults.sshproxy, "sshproxy");
      const hostKeyAlgorithms = yield* hostKeyAlgorithmsOf(defaults.sshproxy);
      const options = { clientVersion, algorithms, hostKeyAlgorithms, buffers: packetBuffers() };
      return yield* prepareClientTransport(options);
    }),
  );
  const socket = connect({ host: "127.0.0.1", port });
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  return new ClientConnection(socket, { transport, clientVersion });
};

const nobody = { username: "jane", privateKey: undefined, password: undefined };
const password = { ...nobody, password: Redacted.make("right") };

/** A client that is logged in. */
const loggedIn = async (server: OddServer): Promise<ClientConnection> => {
  const client = await clientOf(server);
  await client.identified;
  await client.acceptHostKey();
  const authenticated = client.authenticate(nobody);
  await server.next(Message.SERVICE_REQUEST);
  server.send(Message.SERVICE_ACCEPT, "ssh-userauth");
  await server.next(Message.USERAUTH_REQUEST);
  server.send(Message.USERAUTH_SUCCESS);
  await authenticated;
  return client;
};

const WINDOW = { uint32: 2 ** 20 };
const PACKET = { uint32: 2 ** 15 };

/** A session channel: number 0 on both sides. */
const opened = async (server: OddServer, client: ClientConnection): Promise<ClientChannel> => {
  const opening = client.open("session");
  await server.next(Message.CHANNEL_OPEN);
  server.send(Message.CHANNEL_OPEN_CONFIRMATION, { uint32: 0 }, { uint32: 0 }, WINDOW, PACKET);
  return opening;
};

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
