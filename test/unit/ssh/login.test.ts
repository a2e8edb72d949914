import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytes, digestOf } from "../../support/bytes.ts";
import { transcriptOf } from "../../support/command.ts";
import { generateKey, type Key } from "../../support/keys.ts";
import { dbclient, paramiko, plink } from "../../support/other-clients.ts";
import { SshClient, type SshOptions } from "../../support/ssh.ts";
import { PASSWORD } from "../../support/wire-client.ts";
import { readHostKey, type ScriptedOptions, type ScriptedServer, serve } from "./scripted.ts";

let directory: string;
const keys: Record<string, Key> = {};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "berth-keys-"));
  keys.ed25519 = await generateKey(directory, "ed25519", "ed25519");
  keys.rsa = await generateKey(directory, "rsa", "rsa", { bits: 2048 });
  for (const bits of [256, 384, 521]) {
    keys[`ecdsa ${bits}`] = await generateKey(directory, `ecdsa${bits}`, "ecdsa", { bits });
  }
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const asJane = (server: ScriptedServer, options: SshOptions = {}) =>
  SshClient.to({ ...server, username: "jane", password: PASSWORD, options });

const logIn = async (options: ScriptedOptions = {}, clientOptions: SshOptions = {}) => {
  const server = await serve(options);
  return { server, client: await asJane(server, clientOptions) };
};

describe("OpenSSH's client", () => {
  test("logs in with a password and gets output, errors and an exit status", async () => {
    const { client } = await logIn();
    await using _ = client;
    const result = await client.run("cat; echo oops >&2; exit 3", { stdin: "hi\n" });
    expect(result).toMatchObject({ stdout: "hi\n", stderr: "oops\n", code: 3 });
  });

  test.each(["ed25519", "rsa", "ecdsa 256", "ecdsa 384", "ecdsa 521"])(
    "logs in with a key: %s",
    async (type) => {
      const server = await serve();
      const identityFile = keys[type]?.file ?? "";
      await using client = await SshClient.to({ ...server, username: "jane", identityFile });
      expect(await client.run("echo hi")).toMatchObject({ stdout: "hi\n", code: 0 });
      const { credential } = await (await server.connection()).event("authentication.requested");
      expect(credential).toBeUndefined();
      const events = (await server.connection()).events;
      expect(events.some((event) => "credential" in event && event.credential?.method === "publickey")).toBe(
        true,
      );
      const offered = events.flatMap((event) =>
        event.type === "authentication.requested" && event.credential?.method === "publickey"
          ? [[event.credential.fingerprint, event.credential.key]]
          : [],
      );
      expect(offered).toEqual([
        [keys[type]?.fingerprint, keys[type]?.publicKey],
        [keys[type]?.fingerprint, keys[type]?.publicKey],
      ]);
    },
  );

  test("is told why it is disconnected", async () => {
    const { client } = await logIn({
      script: {
        authenticate: (_, link) => link.disconnect("byApplication", "The server is closed on Sundays."),
      },
    });
    await using _ = client;
    const { code, stderr } = await client.run("true");
    expect(code).toBe(255);
    expect(stderr).toContain("The server is closed on Sundays.");
  });

  test("learns the signature algorithms", async () => {
    const { client } = await logIn({}, { LogLevel: "DEBUG1" });
    await using _ = client;
    const { stderr } = await client.run("true");
    expect(stderr).toContain(
      "server-sig-algs=<ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,",
    );
    expect(stderr).not.toContain("ssh-rsa,");
  });

  test("uses strict key exchange", async () => {
    const { client } = await logIn({}, { LogLevel: "DEBUG3" });
    await using _ = client;
    expect((await client.run("true")).stderr).toContain("will use strict KEX ordering");
  });

  test.each([
    ["Ciphers", "chacha20-poly1305@openssh.com"],
    ["Ciphers", "aes128-gcm@openssh.com"],
    ["Ciphers", "aes256-gcm@openssh.com"],
    ["Ciphers", "aes128-ctr"],
    ["Ciphers", "aes192-ctr"],
    ["Ciphers", "aes256-ctr"],
    ["Ciphers", "aes128-cbc"],
    ["Ciphers", "3des-cbc"],
    ["KexAlgorithms", "curve25519-sha256"],
    ["KexAlgorithms", "curve25519-sha256@libssh.org"],
    ["KexAlgorithms", "ecdh-sha2-nistp256"],
    ["KexAlgorithms", "ecdh-sha2-nistp384"],
    ["KexAlgorithms", "ecdh-sha2-nistp521"],
    ["KexAlgorithms", "diffie-hellman-group14-sha1"],
    ["MACs", "hmac-sha2-256-etm@openssh.com"],
    ["MACs", "hmac-sha2-256"],
    ["MACs", "hmac-sha1"],
    ["MACs", "hmac-sha1-96"],
  ])("%s %s carries data both ways", async (option, name) => {
    const everything = {
      ciphers:
        "chacha20-poly1305@openssh.com aes128-gcm@openssh.com aes256-gcm@openssh.com aes128-ctr aes192-ctr aes256-ctr aes128-cbc tripledescbcID".split(
          " ",
        ),
      kex: "curve25519-sha256@libssh.org ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521 diffie-hellman-group14-sha1".split(
        " ",
      ),
      macs: "hmac-sha2-256-etm@openssh.com hmac-sha2-256 hmac-sha1 hmac-sha1-96".split(" "),
    };
    // MACs matter to ciphers that don't authenticate themselves.
    const ciphers = option === "MACs" ? { Ciphers: "aes128-ctr" } : {};
    const { client, server } = await logIn({ config: everything }, { ...ciphers, [option]: name });
    await using _ = client;
    const text = "0123456789".repeat(20_000);
    expect((await client.run("cat", { stdin: text })).stdout).toBe(text);
    const { algorithms } = await (await server.connection()).event("handshake.completed");
    expect(algorithms.split(" ")).toContain(name);
  });

  test("20 MB are the same after both ways, with new keys again and again by either side", async () => {
    const { client } = await logIn({ bytesPerKey: 3_000_000 }, { RekeyLimit: "5M" });
    await using _ = client;
    const sent = bytes(20_000_000);
    const cat = client.start("cat");
    sent.stream.pipe(cat.stdin);
    const received = await digestOf(cat.stdout);
    expect(received).toEqual({ count: 20_000_000, digest: sent.digest() });
    expect(await cat.ending).toEqual({ code: 0, signal: null });
  });

  test("a program's signal arrives", async () => {
    const { client } = await logIn({}, { LogLevel: "DEBUG1" });
    await using _ = client;
    const { code, stderr } = await client.run("kill -TERM $$");
    expect(stderr).toContain("client_input_channel_req: channel 0 rtype exit-signal");
    expect(code).not.toBe(0);
  });

  test("several sessions share a connection", async () => {
    const { client, server } = await logIn();
    await using _ = client;
    await using shared = await client.multiplexed();
    const results = await Promise.all(
      [1, 2, 3, 4, 5].map((n) => shared.run(`cat; exit ${n}`, { stdin: `${n}` })),
    );
    expect(results.map(({ stdout, code }) => [stdout, code])).toEqual(
      [1, 2, 3, 4, 5].map((n) => [`${n}`, n]),
    );
    expect(server.connections).toHaveLength(1);
  });

  test("forwarding is refused without ending the session", async () => {
    const { client } = await logIn();
    await using _ = client;
    const options = { RemoteForward: "0 127.0.0.1:1", ForwardAgent: "yes", ExitOnForwardFailure: "no" };
    expect(await client.run("echo hi", { options })).toMatchObject({ stdout: "hi\n", code: 0 });
  });

  test("learns a second host key by itself", async () => {
    const hostKeys = ["ed25519", "ecdsa 256", "rsa"].map((name) => readHostKey(keys[name]?.privateKey ?? ""));
    const server = await serve({ hostKeys });
    const known = { ...server, hostKeys: server.hostKeys.slice(0, 1) };
    const options = { UpdateHostKeys: "yes", LogLevel: "VERBOSE" };
    await using client = await SshClient.to({ ...known, username: "jane", password: PASSWORD, options });
    const session = client.start("cat");
    const told = transcriptOf(session.stderr);
    await told.waitFor(/Adding new key .* ecdsa-sha2-nistp256/);
    await told.waitFor(/Adding new key .* ssh-rsa/);
    session.stdin.end();
    await session.ending;
    for (const HostKeyAlgorithms of ["rsa-sha2-256", "ecdsa-sha2-nistp256"]) {
      const options = { HostKeyAlgorithms, UpdateHostKeys: "no" };
      expect((await client.run("true", { options })).code).toBe(0);
    }
  });
});

test.each([
  ["paramiko", paramiko],
  ["PuTTY's plink", plink],
  ["dropbear's dbclient", dbclient],
])("%s logs in with a password and with a key", async (_, client) => {
  const server = await serve();
  const identityFile = keys.ed25519?.file ?? "";
  for (const proof of [{ password: PASSWORD }, { identityFile }]) {
    const result = await client({ ...server, username: "jane", ...proof }, "cat; exit 3", { stdin: "hi\n" });
    expect(result).toMatchObject({ stdout: "hi\n", code: 3 });
  }
});
