/** Key exchanges that last: what a current OpenSSH says to ours, what an old one does, and both versions of ML-KEM. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { shake128 } from "@noble/hashes/sha3.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytes, digestOf } from "../support/bytes.ts";
import { must, run } from "../support/command.ts";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { newerNode, newerOpenSsh } from "../support/newer.ts";
import { type Directory, directory } from "../support/resources.ts";
import { projectRoot } from "../support/root.ts";
import { SshClient } from "../support/ssh.ts";
import { usersAuth } from "../support/users.ts";

const HYBRID = "mlkem768x25519-sha256";
const FETCHING_MILLIS = 400_000;
const TRANSFER_BYTES = 300_000_000;
const password = "right";

let home: Directory;
let daemon: Daemon;
let newer: { readonly PATH: string };

const start = async (node?: string) =>
  startDaemon({
    config: { auth: await usersAuth({ name: "demo", password }), backend: "process" },
    ...(node === undefined ? {} : { node }),
  });

beforeAll(async () => {
  home = await directory();
  newer = await newerOpenSsh();
  daemon = await start();
}, FETCHING_MILLIS);

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

const verbose = async (env: Readonly<Record<string, string>> = {}) => {
  await using client = await SshClient.to(daemon.target({ password, options: { LogLevel: "DEBUG1" } }));
  const { code, stderr } = await client.run("true", { env });
  expect(code, stderr).toBe(0);
  return stderr;
};

describe("a login", () => {
  it("of a current OpenSSH uses ML-KEM, without a warning", async () => {
    const said = await verbose(newer);
    expect(said).toMatch(/Local version string SSH-2\.0-OpenSSH_1\d/);
    expect(said).toContain(`kex: algorithm: ${HYBRID}`);
    expect(said).not.toMatch(/post-quantum|store now|vulnerable|upgraded/i);
    await daemon.log.next("SSH_KEX_COMPLETED", ({ details }) =>
      String(details.algorithms).startsWith(`${HYBRID} ssh-ed25519 `),
    );
  });

  it("of a current OpenSSH warns where the method is not offered", async () => {
    await using old = await startDaemon({
      config: {
        ssh: { kex: ["curve25519-sha256@libssh.org"] },
        auth: await usersAuth({ name: "demo", password }),
        backend: "process",
      },
    });
    await using client = await SshClient.to(old.target({ password }));
    expect((await client.run("true", { env: newer })).stderr).toContain("post-quantum");
  });

  it("that Berth passes on to another server uses it there, too", async () => {
    const { stdout } = await must("ssh-keygen", ["-l", "-f", "-"], { stdin: daemon.hostKey.publicKey });
    await using front = await startDaemon({
      config: {
        auth: await usersAuth({ name: "demo", password }),
        backend: "sshproxy",
        sshproxy: {
          server: daemon.host,
          port: daemon.port,
          username: "demo",
          password,
          allowedHostKeyFingerprints: [stdout.split(" ")[1]],
        },
      },
    });
    await using client = await SshClient.to(front.target({ password }));
    const before = daemon.log.all("SSH_KEX_COMPLETED").length;
    expect(await client.run("echo in")).toMatchObject({ code: 0, stdout: "in\n" });
    const { details } = await daemon.log.any(
      "SSH_KEX_COMPLETED",
      (line) => daemon.log.all("SSH_KEX_COMPLETED").indexOf(line) >= before,
    );
    expect(details.algorithms).toMatch(/^mlkem768x25519-sha256 /);
  });

  it("of this machine's OpenSSH goes on with what it has", async () => {
    expect(await verbose()).toMatch(/kex: algorithm: (curve25519-sha256|mlkem768x25519-sha256)\b/);
  });
});

it("new keys after every megabyte leave 300 MB as they are, both ways", { timeout: 300_000 }, async () => {
  const { stream, digest } = bytes(TRANSFER_BYTES);
  await using client = await SshClient.to(daemon.target({ password }));
  await using program = client.start("cat", {
    env: newer,
    options: { RekeyLimit: "1M", KexAlgorithms: HYBRID, LogLevel: "DEBUG1" },
  });
  let exchanges = 0;
  program.stderr.setEncoding("utf8").on("data", (text: string) => {
    exchanges += text.split("SSH2_MSG_KEX_ECDH_REPLY received").length - 1;
  });
  const [received] = await Promise.all([digestOf(program.stdout), pipeline(stream, program.stdin)]);
  expect(received).toEqual({ count: TRANSFER_BYTES, digest: digest() });
  expect(await program.ending).toEqual({ code: 0, signal: null });
  expect(exchanges).toBeGreaterThan(100);
});

it("ssh-audit finds nothing to say against what is preferred, and no SHA-1", async () => {
  const { stdout } = await run("ssh-audit", ["-n", "-p", String(daemon.port), "127.0.0.1"]);
  const said = (kind: string, name: string) => {
    const lines = stdout.split("\n");
    const first = lines.findIndex((line) => line.startsWith(`(${kind}) ${name} `));
    if (first === -1) throw new Error(`ssh-audit does not know of ${name}: ${stdout}`);
    const more = lines.slice(first + 1).findIndex((line) => !line.trimStart().startsWith("`-"));
    return lines.slice(first, first + 1 + more).join("\n");
  };
  const preferred = [
    ["kex", HYBRID],
    ["kex", "curve25519-sha256"],
    ["kex", "curve25519-sha256@libssh.org"],
    ["key", "ssh-ed25519"],
    ["enc", "chacha20-poly1305@openssh.com"],
    ["enc", "aes256-gcm@openssh.com"],
    ["mac", "hmac-sha2-256-etm@openssh.com"],
  ] as const;
  for (const [kind, name] of preferred) expect(said(kind, name)).not.toContain("[fail]");
  expect(stdout).not.toMatch(/sha-?1\b/i);
});

describe("a Node.js that has ML-KEM", () => {
  it("is used by the daemon, which says so", { timeout: FETCHING_MILLIS }, async () => {
    expect(daemon.log.all("SSH_ML_KEM")[0]?.details.implementation).toBe("@noble/post-quantum");
    await using other = await start(await newerNode());
    expect(other.log.all("SSH_ML_KEM")[0]?.details.implementation).toBe("node:crypto");
    await using client = await SshClient.to(other.target({ password, options: { KexAlgorithms: HYBRID } }));
    expect(await client.run("echo in", { env: newer })).toMatchObject({ code: 0, stdout: "in\n" });
  });

  /** The cases of test/unit/ssh/ml-kem.test.ts, whose digest is published. */
  it("agrees with the published values and with the other one", { timeout: FETCHING_MILLIS }, async () => {
    const input = shake128.create();
    const hex = (value: Uint8Array) => Buffer.from(value).toString("hex");
    const cases = Array.from({ length: 100 }, () => {
      const seed = input.xof(64);
      const { publicKey, secretKey } = ml_kem768.keygen(seed);
      const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, input.xof(32));
      const stranger = input.xof(1088);
      const rejected = ml_kem768.decapsulate(stranger, secretKey);
      return [seed, publicKey, cipherText, sharedSecret, stranger, rejected].map(hex);
    });
    await writeFile(join(home.path, "cases.json"), JSON.stringify(cases));
    const script = join(projectRoot, "test/support/ml-kem-of-node.mjs");
    const module = join(projectRoot, "dist/src/ssh/ml-kem.js");
    const { stdout } = await must(await newerNode(), [script, module, join(home.path, "cases.json")]);
    expect(stdout).toBe("100 agree\n");
  });
});
