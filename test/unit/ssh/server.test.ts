import { once } from "node:events";
import { createServer } from "node:net";
import { Effect, Exit, Schema, Scope } from "effect";
import { describe, expect, onTestFinished, test } from "vitest";
import { Ssh } from "../../../src/config/sections/ssh.ts";
import { algorithmsOf } from "../../../src/ssh/algorithms.ts";
import { type SocketOffer, type SshServerOptions, sshServer } from "../../../src/ssh/server.ts";
import { prepareTransport } from "../../../src/ssh/ssh2-extension.ts";
import { memoryLogger } from "../../support/memory-logger.ts";
import { everything, rawSocket } from "../../support/sockets.ts";
import { newHostKey, serve } from "./scripted.ts";

const listen = async (address: string, options: Partial<SshServerOptions> = {}) => {
  const scope = await Effect.runPromise(Scope.make());
  onTestFinished(() => Effect.runPromise(Scope.close(scope, Exit.void)));
  const server = sshServer({
    config: Schema.decodeUnknownSync(Ssh)({ listen: address }),
    hostKeys: [newHostKey()],
    logger: memoryLogger().logger,
    onSocket: ({ turnAway }) => turnAway("No."),
    ...options,
  });
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void));
  return { ...(await Effect.runPromise(Scope.provide(server, scope))), stop: close };
};

/** A port that is taken, with a free one behind it. */
const takenPort = async (): Promise<number> => {
  const other = createServer();
  onTestFinished(() => void other.close());
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  return Number(Object(other.address()).port);
};

const failureOf = (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => {
      throw new Error("it did not fail");
    },
    (error: unknown) => error,
  );

describe("listening", () => {
  test("a port in use is told with what to do", async () => {
    const port = await takenPort();
    expect(await failureOf(listen(`127.0.0.1:${port}`))).toMatchObject({
      code: "SSH_START_FAILED",
      message: `Cannot listen on 127.0.0.1:${port}: another program uses this port. Stop it, or set ssh.listen to another one.`,
    });
  });

  test("an address that the machine doesn't have is told, too", async () => {
    expect(await failureOf(listen("192.0.2.1:2222"))).toMatchObject({
      code: "SSH_START_FAILED",
      message: expect.stringContaining("this machine does not have that address"),
    });
  });

  test("the next free port is taken when that will do", async () => {
    const port = await takenPort();
    const { address } = await listen(`127.0.0.1:${port}`, { nextFreePort: true });
    expect(Number(address.split(":")[1])).toBeGreaterThan(port);
  });

  test("IPv6, and IPv4 clients of an IPv6 socket", async () => {
    const offers: SocketOffer[] = [];
    const server = await serve({
      config: { listen: "[::]:0" },
      onSocket: (offer) => {
        offers.push(offer);
        offer.turnAway("No.");
      },
    });
    for (const host of ["127.0.0.1", "::1"]) await everything(await rawSocket({ ...server, host }));
    expect(offers.map(({ remoteAddress }) => remoteAddress)).toEqual([
      expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      expect.stringMatching(/^\[::1\]:\d+$/),
    ]);
    expect(offers[1]?.localAddress).toBe(`[::1]:${server.port}`);
    expect(offers[0]?.connectionId).toMatch(/^[0-9a-f]{32}$/);
  });

  test("closing stops listening and leaves connections alone", async () => {
    const offers: SocketOffer[] = [];
    const server = await listen("127.0.0.1:0", {
      onSocket: (offer) => {
        offers.push(offer);
        offer.admit(() => {});
      },
    });
    const port = Number(server.address.split(":")[1]);
    const target = { host: "127.0.0.1", port } as Parameters<typeof rawSocket>[0];
    const socket = await rawSocket(target);
    await once(socket, "data");
    await Effect.runPromise(server.close());
    expect(await failureOf(rawSocket(target))).toMatchObject({ code: "ECONNREFUSED" });
    expect(socket.destroyed).toBe(false);
    await server.stop();
  });
});

describe("offers", () => {
  test("a client that is turned away reads a line", async () => {
    const server = await serve({ onSocket: ({ turnAway }) => turnAway("No.") });
    const socket = await rawSocket(server);
    socket.on("data", () => {});
    expect((await everything(socket)).toString()).toBe("No.\r\n");
  });

  test("one that nobody answers is closed", async () => {
    const server = await serve({ onSocket: () => {} });
    expect(await everything(await rawSocket(server))).toEqual(Buffer.alloc(0));
  });

  test("clients that are turned away while they hang up do no harm", async () => {
    const server = await serve({ onSocket: ({ turnAway }) => turnAway("No.") });
    for (let count = 0; count < 50; count++) (await rawSocket(server)).resetAndDestroy();
    expect((await everything(await rawSocket(server))).length).toBeGreaterThan(0);
  });
});

describe("what is prepared", () => {
  test("algorithms that are gone are named, with what to do", async () => {
    for (const name of ["arcfour", "arcfour128", "arcfour256"]) {
      const config = Schema.decodeUnknownSync(Ssh)({ ciphers: ["aes128-ctr", name] });
      expect(await failureOf(Effect.runPromise(algorithmsOf(config)))).toMatchObject({
        code: "CORE_CONFIG_ERROR",
        message: expect.stringMatching(new RegExp(`^ssh.ciphers: "${name}" is not available.*Remove it`)),
      });
    }
  });

  test("the defaults offer the reference's algorithms, and the standard's name of curve25519", async () => {
    expect(await Effect.runPromise(algorithmsOf(Schema.decodeUnknownSync(Ssh)({})))).toEqual({
      kex: [
        "mlkem768x25519-sha256",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp521",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp256",
      ],
      ciphers: [
        "chacha20-poly1305@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "aes256-ctr",
        "aes192-ctr",
        "aes128-ctr",
      ],
      macs: ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"],
    });
  });

  test("another version of ssh2 than the known one is refused", async () => {
    const options = {
      serverVersion: "SSH-2.0-x",
      algorithms: { kex: [], ciphers: [], macs: [] },
      hostKeys: {},
    };
    expect(
      await failureOf(Effect.runPromise(prepareTransport({ ...options, version: "1.18.0" }))),
    ).toMatchObject({
      code: "SSH_START_FAILED",
      message: expect.stringContaining("1.18.0"),
    });
    await Effect.runPromise(prepareTransport(options));
  });
});
