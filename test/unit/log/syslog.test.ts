import { createSocket } from "node:dgram";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { Effect } from "effect";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { Log as LogConfig } from "../../../src/config/sections/log.ts";
import { openLog } from "../../../src/log/open.ts";
import { failureOf, scoped } from "../../support/scoped.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const config = (destination: string, syslog: Partial<LogConfig["syslog"]> = {}): LogConfig => ({
  level: "info",
  format: "text",
  destination: "syslog",
  file: "",
  syslog: { destination, facility: "local7", tag: "berth", pid: false, ...syslog },
});

const open = async (destination: string, syslog: Partial<LogConfig["syslog"]> = {}) => {
  const stderr = new PassThrough().setEncoding("utf8");
  const streams = { stdout: new PassThrough(), stderr };
  const { value: log } = await scoped(openLog(config(destination, syslog), streams));
  return { ...log, told: (): string => stderr.read() ?? "" };
};

const refused = (destination: string) =>
  failureOf(openLog(config(destination), { stdout: new PassThrough(), stderr: new PassThrough() }));

/** An optional package: without a compiler it is not there, and neither is a receiver of datagrams for these tests. */
const unix = await import("unix-dgram").then(
  (module) => module.default,
  () => undefined,
);

/** What arrived, and waiting for more of it. */
const inbox = () => {
  const messages: string[] = [];
  let arrived = () => {};
  return {
    messages,
    put: (message: Buffer) => {
      messages.push(message.toString());
      arrived();
    },
    until: async (count: number) => {
      while (messages.length < count) await new Promise<void>((resolve) => (arrived = resolve));
      return messages;
    },
  };
};

const header = (priority: number, tag: string) =>
  expect.stringMatching(
    new RegExp(`^<${priority}>[A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d ${tag}: [^\\n]*\\n$`),
  );

describe("UDP", () => {
  const listen = async (host: "127.0.0.1" | "::1", port = 0) => {
    const received = inbox();
    const socket = createSocket(host === "::1" ? "udp6" : "udp4", received.put);
    socket.bind(port, host);
    await once(socket, "listening");
    const close = () => new Promise<void>((resolve) => socket.close(() => resolve()));
    return { ...received, close, port: socket.address().port };
  };

  it.each([
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "[::1]"],
  ] as const)("sends a datagram a line to %s", async (host, written) => {
    const server = await listen(host);
    onTestFinished(server.close);
    const { logger } = await open(`${written}:${server.port}`, { pid: true });
    logger.notice("TEST", "one", { username: "eve\n<0>forged" });
    logger.error("TEST", "two");
    const [one, two] = await server.until(2);
    expect(one).toEqual(header(23 * 8 + 5, `berth\\[${process.pid}\\]`));
    expect(one).toMatch(/: one \(code=TEST username="eve\\n<0>forged"\)\n$/);
    expect(two).toEqual(header(23 * 8 + 3, `berth\\[${process.pid}\\]`));
  });

  it("outlives a server that is gone for a while, and says so once", async () => {
    const server = await listen("127.0.0.1");
    const { logger, flush, told } = await open(`127.0.0.1:${server.port}`, { facility: "auth" });
    await server.close();
    for (let line = 0; line < 20; line++) {
      logger.error("TEST", "nobody listens");
      await Effect.runPromise(flush);
    }
    expect(told()).toMatch(/^LOG_WRITE_FAILED: the log cannot be written \(.*ECONNREFUSED.*\n$/);
    const restarted = await listen("127.0.0.1", server.port);
    onTestFinished(restarted.close);
    logger.error("TEST", "somebody listens");
    await expect.poll(() => restarted.messages.at(-1)).toMatch(/somebody listens \(code=TEST\)\n$/);
    expect(told()).toBe("");
  });
});

describe("a Unix stream socket", () => {
  const listen = async (path: string) => {
    const received = inbox();
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("data", received.put).on("error", () => {});
    }).listen(path);
    await once(server, "listening");
    const close = () => {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    };
    return { ...received, close };
  };

  it("gets newline-separated lines, also after the server was restarted", async () => {
    const path = join(await temporaryDirectory(), "log.sock");
    const server = await listen(path);
    const { logger, told } = await open(path);
    logger.error("TEST", "one");
    expect(await server.until(1)).toEqual([header(23 * 8 + 3, "berth")]);
    await server.close();
    // A stream socket notices that its server is gone by what it is sent; that line may be lost with it.
    logger.error("TEST", "two");
    await expect.poll(told).toMatch(/^LOG_WRITE_FAILED: the log cannot be written/);
    logger.error("TEST", "three");
    const restarted = await listen(path);
    onTestFinished(restarted.close);
    await expect.poll(() => restarted.messages.join("")).toMatch(/: three \(code=TEST\)\n$/);
  });

  it("is opened again when the log is", async () => {
    const path = join(await temporaryDirectory(), "log.sock");
    const server = await listen(path);
    const { logger, reopen } = await open(path);
    await rm(path);
    const moved = await listen(path);
    onTestFinished(async () => {
      await server.close();
      await moved.close();
    });
    await Effect.runPromise(reopen);
    logger.error("TEST", "to the new one");
    expect(await moved.until(1)).toEqual([expect.stringMatching(/to the new one \(code=TEST\)\n$/)]);
    expect(server.messages).toEqual([]);
  });
});

describe.skipIf(unix === undefined)("a Unix datagram socket", () => {
  const listen = (path: string) => {
    const received = inbox();
    if (unix === undefined) throw new Error("unix-dgram is not installed");
    const socket = unix.createSocket("unix_dgram", received.put);
    socket.bind(path);
    let open = true;
    const close = async () => {
      if (open) socket.close();
      open = false;
      await rm(path, { force: true });
    };
    onTestFinished(close);
    return { ...received, close };
  };

  it("gets a datagram a line, more at once than its queue holds", async () => {
    const path = join(await temporaryDirectory(), "log.sock");
    const server = listen(path);
    const { logger, told } = await open(path);
    const count = 2_000;
    for (let line = 0; line < count; line++) logger.error("TEST", String(line));
    const received = await server.until(count);
    expect(received[0]).toEqual(header(23 * 8 + 3, "berth"));
    expect(received.map((line) => Number.parseInt(line.split(": ")[1] ?? "", 10))).toEqual(
      Array.from({ length: count }, (_, line) => line),
    );
    expect(told()).toBe("");
  });

  it("gets every line after the server was restarted, and it is said once", async () => {
    const path = join(await temporaryDirectory(), "log.sock");
    const server = listen(path);
    const { logger, flush, told } = await open(path);
    logger.error("TEST", "one");
    await server.until(1);
    await server.close();
    for (const message of ["two", "three"]) {
      logger.error("TEST", message);
      await Effect.runPromise(flush);
    }
    expect(told()).toMatch(/^LOG_WRITE_FAILED: the log cannot be written \(.*(ECONNREFUSED|ENOENT).*\n$/);
    const restarted = listen(path);
    const received = await restarted.until(2);
    expect(received.map((line) => line.split(": ")[1])).toEqual(["two (code=TEST)\n", "three (code=TEST)\n"]);
    expect(told()).toBe("");
  });

  it("needs the optional package, and says so without it", async () => {
    const path = join(await temporaryDirectory(), "log.sock");
    listen(path);
    vi.doMock("unix-dgram", () => {
      throw new Error("Cannot find package 'unix-dgram'");
    });
    onTestFinished(() => void vi.doUnmock("unix-dgram"));
    expect(await refused(path)).toMatchObject({
      code: "LOG_SYSLOG_OPEN_FAILED",
      message: expect.stringContaining("install the optional package unix-dgram"),
    });
  });
});

describe("a destination that cannot be opened", () => {
  it.each([
    ["a path where nothing is", "/nonexistent/log", "ENOENT"],
    ["a directory", "/tmp", "ECONNREFUSED"],
    ["no port", "127.0.0.1", "host:port"],
    ["a port that does not exist", "127.0.0.1:99999", "host:port"],
  ])("is refused: %s", async (_name, destination, reason) => {
    expect(await refused(destination)).toMatchObject({
      code: "LOG_SYSLOG_OPEN_FAILED",
      message: expect.stringContaining(reason),
      details: { destination },
    });
  });

  it.skipIf(unix === undefined)("is refused when a server's socket is left and the server gone", async () => {
    const path = join(await temporaryDirectory(), "log.sock");
    if (unix === undefined) throw new Error("unix-dgram is not installed");
    const server = unix.createSocket("unix_dgram");
    server.bind(path);
    server.close();
    const failed = await refused(path);
    expect(failed).toMatchObject({ code: "LOG_SYSLOG_OPEN_FAILED" });
    expect(failed.message).toMatch(/ECONNREFUSED|EPROTOTYPE/);
  });
});

it("does not keep a port of the machine after the log is closed", async () => {
  const server = createSocket("udp4");
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const before = process.getActiveResourcesInfo().filter((kind) => kind === "UDPWRAP").length;
  const { close } = await scoped(
    openLog(config(`127.0.0.1:${port}`), { stdout: new PassThrough(), stderr: new PassThrough() }),
  );
  await close();
  expect(process.getActiveResourcesInfo().filter((kind) => kind === "UDPWRAP")).toHaveLength(before);
});
