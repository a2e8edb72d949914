import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { chmod, chown, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Effect, Redacted } from "effect";
import { describe, expect, test } from "vitest";
import { byAlgorithm, HostKey } from "../../../src/ssh/host-key.ts";
import { loadHostKeys, stateFolder } from "../../../src/ssh/host-keys.ts";
import { generateKey, type KeyOptions, type KeyType } from "../../support/keys.ts";
import { memoryLogger } from "../../support/memory-logger.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { lineOf, readHostKey } from "./scripted.ts";

const load = async (hostkeys: readonly string[], folder = "/nonexistent/folder") => {
  const log = memoryLogger();
  const options = { hostkeys: hostkeys.map((key) => Redacted.make(key)) };
  const keys = await Effect.runPromise(loadHostKeys(options, log.logger, folder));
  return { log, keys, lines: keys.map(lineOf) };
};

const failureOf = async (hostkeys: readonly string[], folder?: string): Promise<Error> => {
  const outcome = await load(hostkeys, folder).catch((error: unknown) => error);
  if (!(outcome instanceof Error)) throw new Error("it did not fail");
  return outcome;
};

describe("configured keys", () => {
  const formats: readonly [KeyType, KeyOptions][] = [
    ["ed25519", {}],
    ["rsa", { bits: 2048 }],
    ["rsa", { bits: 2048, format: "PEM" }],
    ["rsa", { bits: 2048, format: "PKCS8" }],
    ["ecdsa", { bits: 256 }],
    ["ecdsa", { bits: 384, format: "PEM" }],
    ["ecdsa", { bits: 521, format: "PKCS8" }],
  ];

  test.each(formats)("%s %j as text and as a file", async (type, options) => {
    const key = await generateKey(await temporaryDirectory(), "key", type, options);
    expect((await load([key.privateKey])).lines).toEqual([key.publicKey]);
    const { keys, lines, log } = await load([key.file]);
    expect(lines).toEqual([key.publicKey]);
    expect(keys[0]?.fingerprint).toBe(key.fingerprint);
    expect(log.entries).toEqual([]);
  });

  test.each(["PEM", "PKCS8", undefined] as const)(
    "a passphrase is refused with a sentence: %s",
    async (format) => {
      const options = { passphrase: "secret", ...(format === undefined ? {} : { format }) };
      const key = await generateKey(await temporaryDirectory(), "key", "ecdsa", options);
      expect(await failureOf([key.file])).toMatchObject({
        code: "CORE_CONFIG_ERROR",
        message: expect.stringContaining(`ssh.hostkeys[0]: ${key.file} is protected by a passphrase`),
      });
    },
  );

  test.each([
    ["-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----", "is not a private key"],
    [
      "-----BEGIN OPENSSH PRIVATE KEY-----\nbm9uc2Vuc2U=\n-----END OPENSSH PRIVATE KEY-----",
      "is not|passphrase",
    ],
    ["/nonexistent/key", "/nonexistent/key cannot be read: ENOENT"],
    ["", "cannot be read"],
  ])("%j is none", async (text, expected) => {
    const { message } = await failureOf([text]);
    expect(message).toMatch(new RegExp(expected));
    expect(message).not.toContain("nonsense");
  });

  test("a type that SSH doesn't have is refused with a sentence", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
    const { message } = await failureOf([privateKey.export({ type: "pkcs8", format: "pem" }).toString()]);
    expect(message).toContain("use ed25519, ECDSA or RSA");
  });

  test.each(["0644", "0640"])("a file of ours with mode %s is used with a warning", async (mode) => {
    const key = await generateKey(await temporaryDirectory(), "key");
    await chmod(key.file, Number.parseInt(mode, 8));
    const { log, lines } = await load([key.file]);
    expect(lines).toEqual([key.publicKey]);
    expect(log.entries).toMatchObject([
      { level: "warning", code: "SSH_HOST_KEY_EXPOSED", details: { file: key.file, mode } },
    ]);
  });

  test.runIf(process.getuid?.() === 0)(
    "a file of somebody else's may be readable by its group, as Kubernetes mounts a Secret, and by nobody else",
    async () => {
      const key = await generateKey(await temporaryDirectory(), "key");
      await chown(key.file, 10_001, process.getgid?.() ?? 0);
      await chmod(key.file, 0o440);
      expect((await load([key.file])).log.entries).toEqual([]);
      await chmod(key.file, 0o444);
      expect((await load([key.file])).log.entries).toMatchObject([{ code: "SSH_HOST_KEY_EXPOSED" }]);
    },
  );
});

describe("without configured keys", () => {
  test("one is made in the state directory, kept, and used again", async () => {
    const folder = join(await temporaryDirectory(), "state", "berth");
    const first = await load([], folder);
    expect(first.log.entries).toMatchObject([{ level: "notice", code: "CORE_NO_HOST_KEYS" }]);
    expect(first.keys[0]?.type).toBe("ssh-ed25519");
    expect(await readdir(folder)).toEqual(["ssh_host_ed25519_key"]);
    expect((await stat(join(folder, "ssh_host_ed25519_key"))).mode & 0o777).toBe(0o600);
    const second = await load([], folder);
    expect(second.lines).toEqual(first.lines);
    expect(second.log.entries).toMatchObject([{ level: "info", code: "CORE_NO_HOST_KEYS" }]);
  });

  test("processes that start at the same time agree on one", async () => {
    const folder = await temporaryDirectory();
    const loaded = await Promise.all(Array.from({ length: 8 }, () => load([], folder)));
    expect(new Set(loaded.flatMap(({ lines }) => lines)).size).toBe(1);
    expect(await readdir(folder)).toEqual(["ssh_host_ed25519_key"]);
  });

  test("where nothing can be written it lasts for this run", async () => {
    const folder = join(await temporaryDirectory(), "file");
    await writeFile(folder, "");
    const { log, keys } = await load([], join(folder, "berth"));
    expect(keys).toHaveLength(1);
    expect(log.entries).toMatchObject([{ level: "warning", code: "CORE_CONFIG_CANNOT_WRITE_FILE" }]);
  });

  test("a broken file is not replaced by a new key behind the operator's back", async () => {
    const folder = await temporaryDirectory();
    const file = join(folder, "ssh_host_ed25519_key");
    await writeFile(file, "broken", { mode: 0o600 });
    expect((await failureOf([], folder)).message).toContain(file);
    expect(await readFile(file, "utf8")).toBe("broken");
    const other = await temporaryDirectory();
    await mkdir(join(other, "ssh_host_ed25519_key"));
    expect((await failureOf([], other)).message).toContain("EISDIR");
  });

  test("the state directory is where the XDG specification puts it", () => {
    expect(stateFolder({ XDG_STATE_HOME: "/var/lib/state" })).toBe("/var/lib/state/berth");
    expect(stateFolder({ XDG_STATE_HOME: "relative" })).toMatch(/\/\.local\/state\/berth$/);
    expect(stateFolder({})).toMatch(/\/\.local\/state\/berth$/);
  });
});

describe("signing", () => {
  test("RSA keys sign by SHA-2 only; of keys of one type the first counts", () => {
    const pem = (bits: number) =>
      generateKeyPairSync("rsa", { modulusLength: bits })
        .privateKey.export({ type: "pkcs1", format: "pem" })
        .toString();
    const [first, second] = [readHostKey(pem(1024)), readHostKey(pem(1024))];
    const keys = byAlgorithm([first, second]);
    expect(Object.keys(keys)).toEqual(["rsa-sha2-512", "rsa-sha2-256"]);
    expect(keys["rsa-sha2-256"]).toBe(first);
  });

  test("a signature is good", () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    const key = HostKey.read(privateKey.export({ type: "pkcs8", format: "pem" }).toString()) as HostKey;
    const data = Buffer.from("data");
    expect(verify(null, data, createPublicKey(privateKey), key.sign(data))).toBe(true);
  });
});
