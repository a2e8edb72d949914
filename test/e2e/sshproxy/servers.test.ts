/** Servers behind Berth that are not what they should be: each has its code, the user a sentence, and no secret leaves. */
import { createServer, type Server } from "node:net";
import ssh2 from "ssh2";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { transcriptOf } from "../../support/command.ts";
import type { Configuration } from "../../support/daemon.ts";
import { generateKey } from "../../support/keys.ts";
import { freePort } from "../../support/ports.ts";
import { directory, eventually, processTree } from "../../support/resources.ts";
import { SshClient } from "../../support/ssh.ts";
import { type Sshd, startSshd } from "../../support/sshd.ts";
import { hopTo } from "../../support/sshproxy.ts";
import { startTenants, type Tenant, type Tenants } from "../../support/tenants.ts";

const FINGERPRINT = `SHA256:${"A".repeat(43)}`;
const SECRET = "the password of the server behind";

/** Ends with the test. */
const kept = async <A extends AsyncDisposable>(starting: Promise<A>): Promise<A> => {
  const started = await starting;
  onTestFinished(async () => started[Symbol.asyncDispose]());
  return started;
};

let tenants: Tenants;
beforeAll(async () => {
  tenants = await startTenants({ backend: "sshproxy" });
});
afterAll(async () => tenants[Symbol.asyncDispose]());

/** Somebody whom the configuration server sends to a server of this kind. */
const proxyTo = async (sshproxy: Configuration): Promise<{ log: Tenant; client: SshClient }> => {
  const log = tenants.tenant({ sshproxy });
  return { log, client: await kept(SshClient.to(log.target)) };
};

const sshd = (settings: Readonly<Record<string, string>> = {}): Promise<Sshd> => kept(startSshd(settings));

/** The port of a server in this process, which is closed with the test. */
const listening = async (server: Server | ssh2.Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
};

/** A TCP server that answers every connection in this way. */
const answering = (onSocket: Parameters<typeof createServer>[1]): Promise<number> =>
  listening(
    createServer((socket) => {
      socket.on("error", () => {});
      onTestFinished(() => void socket.destroy());
      onSocket?.(socket);
    }),
  );

const somewhere = (port: number, timeout = "1500ms"): Configuration => ({
  server: "127.0.0.1",
  port,
  username: "root",
  password: SECRET,
  allowedHostKeyFingerprints: [FINGERPRINT],
  timeout,
});

describe("a host key that is not allowed", () => {
  it("is refused with both fingerprints in the log, and the impostor got neither password nor key", async () => {
    const impostor = await sshd({ LogLevel: "DEBUG3" });
    const options = { ...hopTo(impostor), password: SECRET };
    const { log, client } = await proxyTo({ ...options, allowedHostKeyFingerprints: [FINGERPRINT] });
    const result = await client.run("echo in");
    expect(result).toMatchObject({ code: 255, stdout: "" });
    expect(result.stderr).toContain("has changed its identity");
    const line = await log.next("SSHPROXY_INVALID_FINGERPRINT");
    expect(line.level).toBe("error");
    expect(line.details).toMatchObject({
      server: `127.0.0.1:${impostor.target.port}`,
      fingerprint: impostor.hostKey.fingerprint,
      allowed: FINGERPRINT,
      username: log.target.username,
    });
    // sshd tells the type of every packet: there is the key exchange (20, 30), then the end of the connection, and
    // neither new keys (21) nor a service (5) nor a login (50).
    await impostor.log.waitFor(/Connection closed by|Disconnected from|Received disconnect/);
    expect(packetsIn(impostor.log.text)).toEqual(["20", "30", "1"]);
    // The same server tells of a login when it is trusted: its silence above says something.
    const trusting = await proxyTo(options);
    expect((await trusting.client.run("echo in")).stdout).toBe("in\n");
    await expect.poll(() => packetsIn(impostor.log.text)).toEqual(expect.arrayContaining(["21", "5", "50"]));
    expect(tenants.daemon.log.text).not.toContain(SECRET);
    expect(tenants.daemon.log.text).not.toContain(impostor.userKey.privateKey.split("\n")[2]);
  });

  it("of a jump host keeps everything behind it from being dialed", async () => {
    const [jump, behind] = [await sshd({ LogLevel: "DEBUG3" }), await sshd({ LogLevel: "DEBUG3" })];
    const { log, client } = await proxyTo({
      ...hopTo(behind),
      jumpHosts: [{ ...hopTo(jump), allowedHostKeyFingerprints: [FINGERPRINT] }],
    });
    expect(await client.run("echo in")).toMatchObject({ code: 255, stdout: "" });
    const details = { server: `127.0.0.1:${jump.target.port}` };
    await log.next("SSHPROXY_INVALID_FINGERPRINT", details);
    expect(packetsIn(jump.log.text)).not.toContain("50");
    expect(behind.log.text).not.toContain("Connection from");
  });
});

/** The types of the packets that a server at DEBUG3 received before it was told to log in users, in their order. */
const packetsIn = (log: string): readonly string[] =>
  [...log.matchAll(/receive packet: type (\d+)/g)].map(([, type]) => type ?? "");

describe("a server that cannot be used", () => {
  it.each([
    ["is not there", async () => freePort(), "SSHPROXY_BACKEND_FAILED", "cannot be reached", "4s"],
    [
      "never says anything",
      () => answering(() => {}),
      "SSHPROXY_BACKEND_FAILED",
      "does not answer",
      "1500ms",
    ],
    [
      "hangs up at once",
      () => answering((socket) => socket.end("Exceeded MaxStartups\r\n")),
      "SSHPROXY_BACKEND_FAILED",
      "cannot be reached",
      "4s",
    ],
    [
      "speaks something else",
      () => answering((socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n".repeat(3000))),
      "SSHPROXY_BACKEND_FAILED",
      "cannot be reached",
      "4s",
    ],
    [
      "hangs up in the middle of the key exchange",
      () =>
        answering((socket) => {
          socket.write("SSH-2.0-broken\r\n");
          socket.once("data", () => socket.end());
        }),
      "SSHPROXY_BACKEND_HANDSHAKE_FAILED",
      "broke off",
      "60s",
    ],
    [
      "sends garbage for a key exchange",
      () => answering((socket) => socket.write(`SSH-2.0-broken\r\n${"x".repeat(40_000)}`)),
      "SSHPROXY_BACKEND_HANDSHAKE_FAILED",
      "broke off",
      "60s",
    ],
  ])("because it %s is told by its code", async (_, start, code, sentence, timeout) => {
    const { log, client } = await proxyTo(somewhere(await start(), timeout));
    const result = await client.run("echo in");
    expect(result).toMatchObject({ code: 255, stdout: "" });
    expect(result.stderr).toContain(sentence);
    expect(result.stderr).not.toMatch(/ at .*:\d+/);
    await log.next(code, ({ level }) => level === "error");
    expect(tenants.daemon.log.text).not.toContain(SECRET);
  });

  it("because it never answers is waited for as long as sshproxy.timeout, and not longer", async () => {
    const { log, client } = await proxyTo(somewhere(await answering(() => {})));
    await client.run("echo in");
    const { details } = await log.next("SSHPROXY_BACKEND_FAILED", ({ level }) => level === "error");
    expect(details).toMatchObject({ timeoutSeconds: 1.5, attempts: 0 });
  });

  it("because it comes up late is dialed again", async () => {
    const port = await freePort();
    const { log, client } = await proxyTo({ ...somewhere(port), timeout: "30s" });
    const running = client.run("echo in");
    await log.next("SSHPROXY_BACKEND_FAILED", { attempts: 2 });
    const late = createServer((socket) => socket.end("SSH-2.0-late\r\n"));
    await new Promise<void>((resolve) => late.listen(port, "127.0.0.1", resolve));
    onTestFinished(() => void late.close());
    // It was reached: what it says is not an answer any more that is waited for.
    await log.next("SSHPROXY_BACKEND_HANDSHAKE_FAILED");
    expect((await running).code).toBe(255);
  });

  it.each([
    ["cipher", { Ciphers: "aes256-cbc" }],
    ["key exchange", { KexAlgorithms: "diffie-hellman-group16-sha512" }],
    ["MAC", { Ciphers: "aes128-ctr", MACs: "umac-128@openssh.com" }],
  ])("because there is no common %s is told by what is missing", async (_, settings) => {
    const server = await sshd(settings);
    const { log, client } = await proxyTo(hopTo(server));
    expect((await client.run("echo in")).stderr).toContain("broke off");
    const { details } = await log.next("SSHPROXY_BACKEND_HANDSHAKE_FAILED");
    expect(details.error).toMatch(/no matching/i);
  });

  it("because of its host key's type is told by that", async () => {
    const server = await sshd();
    const { log, client } = await proxyTo({ ...hopTo(server), hostKeyAlgos: ["ssh-rsa"] });
    expect((await client.run("echo in")).code).toBe(255);
    const { details } = await log.next("SSHPROXY_BACKEND_HANDSHAKE_FAILED");
    expect(details.error).toMatch(/no matching host key format/i);
  });

  it("because it takes neither key nor password says what it would take", async () => {
    const server = await sshd({ PasswordAuthentication: "yes" });
    await using home = await directory();
    const stranger = await generateKey(home.path, "stranger", "rsa");
    const { log, client } = await proxyTo({
      ...hopTo(server),
      privateKey: stranger.file,
      password: SECRET,
    });
    const result = await client.run("echo in");
    expect(result.stderr).toContain("does not let you in");
    const { details } = await log.next("SSHPROXY_BACKEND_HANDSHAKE_FAILED");
    expect(details).toMatchObject({
      tried: "publickey password",
      offered: "publickey password",
    });
    expect(`${tenants.daemon.log.text}${result.stderr}`).not.toContain(SECRET);
  });

  it("because it hangs up in the middle of the login is told by that", async () => {
    await using home = await directory();
    const key = await generateKey(home.path, "host");
    const asked: string[] = [];
    const server = new ssh2.Server({ hostKeys: [key.privateKey] }, (peer) => {
      peer.on("error", () => {});
      peer.on("authentication", ({ method }) => {
        asked.push(method);
        peer.end();
      });
    });
    const port = await listening(server);
    const { log, client } = await proxyTo({
      ...somewhere(port),
      allowedHostKeyFingerprints: [key.fingerprint],
      timeout: "30s",
    });
    expect((await client.run("echo in")).stderr).toContain("broke off");
    await log.next("SSHPROXY_BACKEND_HANDSHAKE_FAILED");
    expect(asked).toEqual(["password"]);
  });
});

describe("a server that grants less than was asked for", () => {
  it("gives no terminal: the program runs without, and the user and the log are told", async () => {
    const server = await sshd({ PermitTTY: "no" });
    const { log, client } = await proxyTo(hopTo(server));
    const result = await client.run("test -t 0 || echo no terminal; exit 4", { terminal: true });
    expect(result).toMatchObject({ code: 4, stdout: expect.stringContaining("no terminal") });
    expect(result.stderr).toContain("gives no terminal");
    await log.next("SSHPROXY_BACKEND_REQUEST_FAILED", ({ message }) => message.includes("terminal"));
  });

  it("takes no environment variable: the program runs without, and the log says which", async () => {
    const server = await sshd({ AcceptEnv: "NOTHING" });
    const { log, client } = await proxyTo(hopTo(server));
    const sending = { env: { LC_WISH: "a hammock" }, options: { SendEnv: "LC_WISH" } };
    expect(await client.run('echo "wish: $LC_WISH."', sending)).toMatchObject({
      code: 0,
      stdout: "wish: .\n",
    });
    await log.next("SSHPROXY_BACKEND_REQUEST_FAILED", { name: "LC_WISH" });
    expect(tenants.daemon.log.text).not.toContain("a hammock");
  });

  it("opens no second session: the first goes on", async () => {
    const server = await sshd({ MaxSessions: "1" });
    const { log, client } = await proxyTo(hopTo(server));
    await using shared = await client.multiplexed();
    await using first = shared.start("cat");
    first.stdin.write("one\n");
    const output = transcriptOf(first.stdout);
    await output.waitFor("one");
    const second = await shared.run("echo two");
    expect(second).toMatchObject({ code: 255, stdout: "" });
    expect(second.stderr).toContain("does not open another session");
    await log.next("SSHPROXY_BACKEND_SESSION_FAILED");
    first.stdin.end("still\n");
    await output.waitFor("still");
    expect(await first.ending).toEqual({ code: 0, signal: null });
  });

  it("has no such subsystem: the user reads a sentence, the log has its name", async () => {
    const { log, client } = await proxyTo(hopTo(await sshd()));
    const result = await client.subsystem("no-such");
    expect(result.stderr).toContain("does not run what you asked for");
    await log.next("SSHPROXY_BACKEND_REQUEST_FAILED", { subsystem: "no-such" });
  });
});

describe("a server that goes away", () => {
  it("in the middle of a session ends the connection with a sentence", async () => {
    const server = await sshd();
    const { log, client } = await proxyTo(hopTo(server));
    await using program = client.start("echo started; cat");
    const [output, errors] = [transcriptOf(program.stdout), transcriptOf(program.stderr)];
    await output.waitFor("started");
    const [, ...children] = await processTree(server.pid);
    for (const pid of children) process.kill(pid, "SIGKILL");
    await errors.waitFor("was lost");
    expect(await program.ending).toMatchObject({ code: 255 });
    await log.next("SSHPROXY_BACKEND_DISCONNECTED", {
      server: `127.0.0.1:${server.target.port}`,
    });
  });

  it("while nothing runs ends the connection too", async () => {
    const server = await sshd();
    const { log, client } = await proxyTo(hopTo(server));
    await using shared = await client.multiplexed();
    expect((await shared.run("echo in")).stdout).toBe("in\n");
    const [, ...children] = await processTree(server.pid);
    for (const pid of children) process.kill(pid, "SIGKILL");
    await log.next("SSHPROXY_BACKEND_DISCONNECTED");
    await log.next("SSH_DISCONNECTED", ({ message }) => message.includes("closed"));
  });
});

describe("a connection", () => {
  it("is one at the server too, for all its sessions, and ends with its client's", async () => {
    const server = await sshd();
    const { client } = await proxyTo(hopTo(server));
    const shared = await client.multiplexed();
    await Promise.all([1, 2, 3].map((n) => shared.run(`echo ${n}`)));
    const logins = () => server.log.text.match(/Accepted publickey/g)?.length;
    await expect.poll(logins).toBe(1);
    await shared[Symbol.asyncDispose]();
    await eventually(async () => (await processTree(server.pid)).length === 1, "sshd serves nobody any more");
    await client.run("true");
    await expect.poll(logins).toBe(2);
  });

  it("is not closed for keys that cannot be used, but refused with what to mend", async () => {
    const server = await sshd();
    await using home = await directory();
    const locked = await generateKey(home.path, "locked", "ed25519", { passphrase: "secret passphrase" });
    const { log, client } = await proxyTo({ ...hopTo(server), privateKey: locked.file });
    expect((await client.run("echo in")).stderr).toContain("not configured correctly");
    const { message } = await log.next("SSHPROXY_KEY_UNUSABLE");
    expect(message).toContain("ssh-keygen -p");
  });
});
