/** Real clients through Berth to a real sshd: a gigabyte by each of them, jump hosts on both sides, signals, terminals. */
import { createReadStream } from "node:fs";
import { open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytes, digestOf } from "../../support/bytes.ts";
import { transcriptOf } from "../../support/command.ts";
import { startDaemon } from "../../support/daemon.ts";
import { generateKey } from "../../support/keys.ts";
import { nodeClient } from "../../support/node-client.ts";
import { type Directory, directory } from "../../support/resources.ts";
import { SshClient } from "../../support/ssh.ts";
import { type Sshd, startSshd } from "../../support/sshd.ts";
import { type BerthAsProxy, hopTo, startProxiedSshd, startProxy } from "../../support/sshproxy.ts";
import { usersAuth } from "../../support/users.ts";

const GIGABYTE = 1_000_000_000;
/** What the daemon may take more than before while a gigabyte passes: windows and buffers, not the file. */
const MEMORY_BYTES = 150_000_000;

let servers: Awaited<ReturnType<typeof startProxiedSshd>>;
let sshd: Sshd;
let proxy: BerthAsProxy;
let client: SshClient;
let home: Directory;
beforeAll(async () => {
  home = await directory();
  servers = await startProxiedSshd();
  ({ sshd, proxy } = servers);
  client = await SshClient.to(proxy.target);
});
afterAll(async () => {
  await client?.[Symbol.asyncDispose]();
  await servers?.[Symbol.asyncDispose]();
  await home?.[Symbol.asyncDispose]();
});

describe("a gigabyte", { timeout: 300_000 }, () => {
  let file: string;
  let digest: string;
  beforeAll(async () => {
    file = join(home.path, "gigabyte");
    const { stream, digest: digestOfStream } = bytes(GIGABYTE);
    await writeFile(file, stream);
    digest = digestOfStream();
  });

  /** What came of it at the other end, or back here. */
  const digestOfFile = async (path: string): Promise<string> => {
    const found = (await digestOf(createReadStream(path))).digest;
    await rm(path);
    return found;
  };

  /** Watches the daemon's memory meanwhile. */
  const withLittleMemory = async <A>(transfer: () => Promise<A>): Promise<A> => {
    const before = proxy.daemon.rssBytes();
    let most = before;
    const watch = setInterval(() => {
      most = Math.max(most, proxy.daemon.rssBytes());
    }, 100);
    try {
      return await transfer();
    } finally {
      clearInterval(watch);
      expect(most - before).toBeLessThan(MEMORY_BYTES);
    }
  };

  it("goes there and back by ssh", async () => {
    const { stream, digest: sent } = bytes(GIGABYTE);
    await withLittleMemory(async () => {
      await using program = client.start("cat");
      const [received] = await Promise.all([digestOf(program.stdout), pipeline(stream, program.stdin)]);
      expect(received).toEqual({ count: GIGABYTE, digest: sent() });
      expect(await program.ending).toEqual({ code: 0, signal: null });
    });
  });

  it("goes there by sftp", async () => {
    const there = join(home.path, "by-sftp");
    const options = { withinSeconds: 240 };
    const result = await withLittleMemory(() => client.sftp([`put ${file} ${there}`], options));
    expect(result).toMatchObject({ code: 0 });
    expect(await digestOfFile(there)).toBe(digest);
  });

  it("comes back by scp", async () => {
    const here = join(home.path, "by-scp");
    const options = { withinSeconds: 240 };
    expect(await withLittleMemory(() => client.scp(`:${file}`, here, options))).toMatchObject({ code: 0 });
    expect(await digestOfFile(here)).toBe(digest);
  });

  it("goes there by rsync", async () => {
    const there = join(home.path, "by-rsync");
    const options = { withinSeconds: 240 };
    expect(await withLittleMemory(() => client.rsync(file, `:${there}`, options))).toMatchObject({ code: 0 });
    expect(await digestOfFile(there)).toBe(digest);
  });
});

describe("jump hosts", () => {
  it("in front of Berth: ssh -J gets through", async () => {
    await using jump = await startSshd();
    await using through = await SshClient.to({ ...proxy.target, jump: jump.target });
    const { stream, digest } = bytes(50_000_000);
    await using program = through.start("cat; exit 7");
    const [received] = await Promise.all([digestOf(program.stdout), pipeline(stream, program.stdin)]);
    expect(received).toEqual({ count: 50_000_000, digest: digest() });
    expect(await program.ending).toEqual({ code: 7, signal: null });
    expect(jump.log.text).toMatch(/Accepted publickey/);
  });

  it("behind Berth are passed one after another, each with its own key, and end with the connection", async () => {
    await using one = await startSshd({ LogLevel: "DEBUG1" });
    await using two = await startSshd({ LogLevel: "DEBUG1" });
    await using long = await startProxy({ ...hopTo(sshd), jumpHosts: [hopTo(one), hopTo(two)] });
    await using through = await SshClient.to(long.target);
    const { stream, digest } = bytes(50_000_000);
    await using program = through.start("cat; echo err >&2; exit 7");
    const errors = transcriptOf(program.stderr);
    const [received] = await Promise.all([digestOf(program.stdout), pipeline(stream, program.stdin)]);
    expect(received).toEqual({ count: 50_000_000, digest: digest() });
    await errors.waitFor("err");
    expect(await program.ending).toEqual({ code: 7, signal: null });
    expect(one.log.text).toContain(`target 127.0.0.1 port ${two.target.port}`);
    for (const jump of [one, two]) {
      expect(jump.log.text).toMatch(/Accepted publickey/);
      await jump.log.waitFor(/Closing connection|Connection closed|Received disconnect|Disconnected from/);
    }
  });
});

describe("a terminal", () => {
  it("has the modes that the client asked for, one by one", async () => {
    await using node = await nodeClient(proxy.target);
    const output = await new Promise<string>((resolve, reject) => {
      const modes = { VINTR: 5, VERASE: 8, ECHO: 0, ICRNL: 0 } as const;
      const pty = { cols: 99, rows: 33, modes };
      node.client.exec("stty -a", { pty }, (error, channel) => {
        if (error) return reject(error);
        let text = "";
        channel.on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        channel.once("close", () => resolve(text));
      });
    });
    for (const mode of ["rows 33", "columns 99", "intr = ^E", "erase = ^H", "-echo ", "-icrnl"]) {
      expect(output).toContain(mode);
    }
  });
});

describe("what sshd does not do for its own user", () => {
  // sshd signals programs only where privileges are separated after login, which they are for nobody here.
  it("signals reach a program when the server delivers them", async () => {
    await using keys = await directory();
    const key = await generateKey(keys.path, "behind");
    await using behind = await startDaemon({
      config: {
        auth: await usersAuth({ name: "jane", keys: [key.publicKey] }),
        backend: "process",
        process: { isolation: "none" },
      },
    });
    await using front = await startProxy({
      server: behind.host,
      port: behind.port,
      usernamePassThrough: false,
      username: "jane",
      privateKey: key.privateKey,
      allowedHostKeyFingerprints: [behind.hostKey.fingerprint],
    });
    await using node = await nodeClient(front.target);
    const program = await node.exec(
      "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.2; done",
    );
    program.stderr.resume();
    const output = transcriptOf(program.channel);
    await output.waitFor("ready");
    program.channel.signal("USR1");
    await output.waitFor("caught");
    expect(await program.exit).toEqual({ status: 9, signal: undefined });
    const killed = await node.exec("echo ready; while :; do sleep 0.2; done");
    killed.stderr.resume();
    await transcriptOf(killed.channel).waitFor("ready");
    killed.channel.signal("TERM");
    expect(await killed.exit).toEqual({ status: undefined, signal: "TERM" });
  });
});

describe("keys", () => {
  it.each([
    ["rsa", { bits: 3072 }],
    ["ecdsa", {}],
    ["rsa", { bits: 2048, format: "PEM" }],
  ] as const)("of type %s with %j log in", async (type, options) => {
    const server = await startSshd();
    await using keys = await directory();
    const key = await generateKey(keys.path, "key", type, options);
    const authorized = await open(`${server.userKey.file}.pub`, "a");
    await authorized.writeFile(`${key.publicKey}\n`);
    await authorized.close();
    await using front = await startProxy({ ...hopTo(server), privateKey: key.file });
    await using through = await SshClient.to(front.target);
    expect(await through.run("echo in")).toMatchObject({ code: 0, stdout: "in\n" });
    await server[Symbol.asyncDispose]();
  });
});
