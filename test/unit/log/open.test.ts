import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { PassThrough, type Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { Effect } from "effect";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Log as LogConfig } from "../../../src/config/sections/log.ts";
import { openLog } from "../../../src/log/open.ts";
import { failureOf, scoped } from "../../support/scoped.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const config = (overrides: Partial<LogConfig> = {}): LogConfig => ({
  level: "info",
  format: "ljson",
  destination: "stdout",
  file: "",
  syslog: { destination: "/dev/log", facility: "auth", tag: "ContainerSSH", pid: false },
  ...overrides,
});

const open = async (overrides: Partial<LogConfig>, stdout: Writable = new PassThrough()) => {
  const stderr = new PassThrough().setEncoding("utf8");
  const { value: log, close } = await scoped(openLog(config(overrides), { stdout, stderr }));
  /** What was told on standard error so far. */
  const told = (): string => stderr.read() ?? "";
  return { ...log, told, close };
};

const lines = (logged: string) =>
  logged
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line).message);

describe("standard output", () => {
  it("gets the lines of the configured level and format", async () => {
    const stdout = new PassThrough();
    const { logger, close } = await open({ format: "text", level: "notice" }, stdout);
    logger.info("TEST", "too quiet");
    logger.notice("TEST", "heard", { username: "jane" });
    await close();
    stdout.end();
    expect(await text(stdout)).toMatch(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)\tnotice\theard \(code=TEST username=jane\)\n$/,
    );
  });

  it("may be a pipe that nobody reads: the process goes on in bounded memory and says so once", async () => {
    const reader = spawn("sleep", ["60"], { stdio: ["pipe", "ignore", "ignore"] });
    onTestFinished(() => void reader.kill());
    const { logger, told, close } = await open({}, reader.stdin);
    const before = process.memoryUsage().heapUsed;
    for (let line = 0; line < 100_000; line++) logger.error("TEST", "x".repeat(200));
    await new Promise(setImmediate);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024);
    expect(told()).toBe(
      "LOG_WRITE_FAILED: log lines are being lost: standard output does not take lines fast enough\n",
    );
    await close();
    expect(told()).toMatch(
      /^LOG_WRITE_FAILED: the log is closed; lines that could not be written to it: \d+\n$/,
    );
  });

  it("may be a pipe that is closed", async () => {
    const reader = spawn("true", { stdio: ["pipe", "ignore", "ignore"] });
    await once(reader, "exit");
    const { logger, told, flush } = await open({}, reader.stdin);
    for (const message of ["one", "two", "three"]) {
      logger.error("TEST", message);
      await Effect.runPromise(flush);
    }
    expect(told()).toMatch(/^LOG_WRITE_FAILED: the log cannot be written \(.+\); it is tried again.*\n$/);
  });
});

describe("a file", () => {
  it("is appended to, and readable by others", async () => {
    const file = join(await temporaryDirectory(), "berth.log");
    await writeFile(file, "earlier\n");
    const { logger, close } = await open({ destination: "file", file });
    logger.info("TEST", "later");
    await close();
    expect(await readFile(file, "utf8")).toMatch(/^earlier\n\{.*"message":"later".*\}\n$/);
  });

  it("is opened again after it was moved away, and no line is lost or written twice", async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, "berth.log");
    const { logger, reopen, close } = await open({ destination: "file", file });
    for (let line = 0; line < 5_000; line++) {
      logger.info("TEST", String(line));
      if (line % 1_000 === 500) {
        await rename(file, `${file}.${line}`);
        logger.info("TEST", `${line} after the move`);
        await Effect.runPromise(reopen);
        await access(file);
      }
    }
    await close();
    const files = [500, 1_500, 2_500, 3_500, 4_500].map((line) => `${file}.${line}`);
    const logged = await Promise.all([...files, file].map((name) => readFile(name, "utf8")));
    const expected = Array.from({ length: 5_000 }, (_, line) =>
      line % 1_000 === 500 ? [String(line), `${line} after the move`] : [String(line)],
    ).flat();
    expect(logged.flatMap(lines)).toEqual(expected);
    expect(lines(logged[0] ?? "").at(-1)).toBe("500 after the move");
    expect(lines(logged[1] ?? "").at(0)).toBe("501");
  });

  it("stays in use when it cannot be opened again", async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, "berth.log");
    const { logger, reopen, close } = await open({ destination: "file", file });
    await rename(file, `${file}.1`);
    await mkdir(file);
    const failed = await failureOf(reopen);
    expect(failed).toMatchObject({ code: "LOG_ROTATE_FAILED", message: expect.stringContaining("EISDIR") });
    logger.info("TEST", "still here");
    await close();
    expect(lines(await readFile(`${file}.1`, "utf8"))).toEqual(["still here"]);
  });

  it("must be possible to open", async () => {
    const file = join(await temporaryDirectory(), "missing", "berth.log");
    const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
    const failed = await failureOf(openLog(config({ destination: "file", file }), streams));
    expect(failed).toMatchObject({
      code: "LOG_FILE_OPEN_FAILED",
      message: expect.stringContaining("ENOENT"),
      details: { file },
    });
  });

  it("on a full disk keeps its lines until there is space, and says so once", async () => {
    const directory = await temporaryDirectory();
    const [link, real] = [join(directory, "berth.log"), join(directory, "disk-with-space.log")];
    await symlink("/dev/full", link);
    const { logger, reopen, flush, told, close } = await open({ destination: "file", file: link });
    for (const message of ["one", "two", "three"]) {
      logger.error("TEST", message);
      await Effect.runPromise(flush);
    }
    expect(told()).toMatch(
      /^LOG_WRITE_FAILED: the log cannot be written \(ENOSPC: no space left on device, write\).*\n$/,
    );
    await rm(link);
    await symlink(real, link);
    await Effect.runPromise(reopen);
    await close();
    expect(lines(await readFile(real, "utf8"))).toEqual(["one", "two", "three"]);
    expect(told()).toBe("");
  });

  it("on a disk that stays full loses lines instead of memory, and says in the log how many", async () => {
    const directory = await temporaryDirectory();
    const [link, real] = [join(directory, "berth.log"), join(directory, "disk-with-space.log")];
    await symlink("/dev/full", link);
    const { logger, reopen, flush, close } = await open({ destination: "file", file: link });
    for (let line = 0; line < 40_000; line++) {
      logger.error("TEST", `${line} ${"x".repeat(200)}`);
      if (line % 1_000 === 0) await Effect.runPromise(flush);
    }
    await rm(link);
    await symlink(real, link);
    await Effect.runPromise(reopen);
    await close();
    const logged = (await readFile(real, "utf8")).split("\n").slice(0, -1);
    expect(logged.join("").length).toBeLessThan(8 * 1024 * 1024 + 1_000);
    const missing = logged.map((line) => JSON.parse(line)).filter(({ code }) => code === "LOG_WRITE_FAILED");
    expect(missing).toHaveLength(1);
    expect(missing[0].details.lost + logged.length - 1).toBe(40_000);
    expect(missing[0].message).toContain("ENOSPC");
  });
});

describe("the scope", () => {
  it("takes away what openLog put on the streams of others", async () => {
    const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
    const listeners = () => [streams.stdout.listenerCount("error"), streams.stderr.listenerCount("error")];
    const before = listeners();
    const { close } = await scoped(openLog(config(), streams));
    expect(listeners()).not.toEqual(before);
    await close();
    expect(listeners()).toEqual(before);
  });

  it("frees the socket of syslog", async () => {
    const path = join(await temporaryDirectory(), "log.sock");
    const server = createServer((socket) => socket.resume()).listen(path);
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const connected = once(server, "connection");
    const { close } = await open({
      destination: "syslog",
      syslog: { destination: path, facility: "auth", tag: "berth", pid: false },
    });
    const [socket] = await connected;
    const ended = once(socket, "close");
    await close();
    await ended;
  });
});
