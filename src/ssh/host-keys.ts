/** Host keys: read from the configuration, or made once and kept in the user's state directory. */
import { createPrivateKey, generateKeyPair, type KeyObject, sign } from "node:crypto";
import { link, mkdir, open, readFile, stat, unlink } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Effect, Redacted } from "effect";
import ssh2 from "ssh2";
import type { SigningKey } from "ssh2/lib/protocol/Protocol.js";
import { isPemText, type PemUnreadable, readSecretPem } from "../config/pem.ts";
import type { Ssh } from "../config/sections/ssh.ts";
import { failure } from "../failure.ts";
import type { Logger } from "../log/logger.ts";
import { fingerprintOf, mpint, writePublicKey } from "./public-key.ts";

export class HostKeyUnusable extends failure(
  "HostKeyUnusable",
  "CORE_CONFIG_ERROR",
  "The server is not configured correctly. Please ask your administrator.",
) {}

export class HostKeyNotMade extends failure(
  "HostKeyNotMade",
  "CORE_HOST_KEY_GENERATION_FAILED",
  "The server has no host key. Please ask your administrator.",
) {}

/** A private key that the server proves its identity with. */
export class HostKey implements SigningKey {
  readonly type: string;
  /** `SHA256:…` */
  readonly fingerprint: string;
  readonly #blob: Buffer;
  readonly #key: KeyObject;

  private constructor(type: string, blob: Buffer, key: KeyObject) {
    this.type = type;
    this.#blob = blob;
    this.#key = key;
    this.fingerprint = fingerprintOf(blob);
  }

  /** Reads a private key in PEM (PKCS#1, SEC1, PKCS#8) or OpenSSH's format. A text says what is wrong with it. */
  static read(pem: string): HostKey | string {
    if (isEncrypted(pem)) {
      return "is protected by a passphrase, and nobody is there to type it: remove it with ssh-keygen -p";
    }
    const key = readPrivateKey(pem);
    if (key === undefined) {
      return "is not a private key in PEM or OpenSSH format";
    }
    const publicKey = writePublicKey(key);
    return publicKey === undefined
      ? "is of a type that is not supported: use ed25519, ECDSA or RSA"
      : new HostKey(publicKey.type, publicKey.blob, key);
  }

  getPublicSSH(): Buffer {
    return this.#blob;
  }

  /** A signature as it is sent, without the algorithm's name. `hash` is for RSA. */
  sign(data: Buffer, hash?: string): Buffer | Error {
    try {
      switch (this.#key.asymmetricKeyType) {
        case "ed25519":
          return sign(null, data, this.#key);
        case "rsa":
          return sign(hash ?? "sha512", data, this.#key);
        default:
          return signEcdsa(this.#key, data);
      }
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }
}

const isEncrypted = (pem: string): boolean =>
  /BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(pem) ||
  /encrypted/i.test(errorOf(ssh2.utils.parseKey(pem))?.message ?? "");

const errorOf = (value: unknown): Error | undefined => (value instanceof Error ? value : undefined);

/** Node.js reads PEM; OpenSSH's own format is read by ssh2, which writes it as PEM. */
const readPrivateKey = (pem: string): KeyObject | undefined => {
  const parsed = ssh2.utils.parseKey(pem);
  for (const text of [pem, parsed instanceof Error ? null : parsed.getPrivatePEM()]) {
    try {
      if (typeof text === "string") return createPrivateKey(text);
    } catch {
      // Not this format: the next one is tried, and the caller says so when none fits.
    }
  }
  return undefined;
};

const ecdsaHashes: Readonly<Record<string, string>> = {
  prime256v1: "sha256",
  secp384r1: "sha384",
  secp521r1: "sha512",
};

/** RFC 5656 section 3.1.2: r and s as mpints. */
const signEcdsa = (key: KeyObject, data: Buffer): Buffer => {
  const hash = ecdsaHashes[key.asymmetricKeyDetails?.namedCurve ?? ""] ?? "sha256";
  const digits = sign(hash, data, { key, dsaEncoding: "ieee-p1363" });
  return Buffer.concat([
    mpint(digits.subarray(0, digits.length / 2)),
    mpint(digits.subarray(digits.length / 2)),
  ]);
};

/** By the algorithms that they sign with, in the order of the list; of keys of one type the first counts. */
export const byAlgorithm = (keys: readonly HostKey[]): Readonly<Record<string, HostKey>> => {
  const found: Record<string, HostKey> = {};
  for (const key of keys) {
    const algorithms = key.type === "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256"] : [key.type];
    for (const algorithm of algorithms) found[algorithm] ??= key;
  }
  return found;
};

/** The host keys of the configuration; without any, one that was made on this machine and is kept. */
export const loadHostKeys = (
  { hostkeys }: Pick<Ssh, "hostkeys">,
  logger: Logger,
): Effect.Effect<readonly HostKey[], HostKeyUnusable | HostKeyNotMade | PemUnreadable> =>
  hostkeys.length > 0
    ? Effect.forEach(hostkeys, (field, index) => configuredKey(Redacted.value(field), index, logger))
    : Effect.map(keptKey(logger), (key) => [key]);

const configuredKey = (
  field: string,
  index: number,
  logger: Logger,
): Effect.Effect<HostKey, HostKeyUnusable | PemUnreadable> =>
  Effect.gen(function* () {
    const name = isPemText(field) ? `ssh.hostkeys[${index}]` : field;
    const pem = yield* readSecretPem(Redacted.make(field));
    if (!isPemText(field)) yield* warnOfOpenFile(field, logger);
    const key = HostKey.read(pem === undefined ? "" : Redacted.value(pem));
    return typeof key === "string"
      ? yield* new HostKeyUnusable({ message: `The host key ${name} ${key}`, details: { hostKey: name } })
      : key;
  });

/** OpenSSH refuses such a key; the reference takes it, and so do we, but not silently. */
const warnOfOpenFile = (path: string, logger: Logger): Effect.Effect<void> =>
  Effect.promise(async () => {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      logger.warning("SSH_HOST_KEY_READABLE", "Other users of this machine may read a host key: chmod 600", {
        hostKey: path,
      });
    }
  });

/** `$XDG_STATE_HOME/berth`, by default `~/.local/state/berth`. */
const stateDirectory = (): string =>
  join(process.env.XDG_STATE_HOME || join(homedir(), ".local", "state"), "berth");

const keptKey = (logger: Logger): Effect.Effect<HostKey, HostKeyUnusable | HostKeyNotMade> =>
  Effect.gen(function* () {
    const path = join(stateDirectory(), "ssh_host_ed25519_key");
    const pem = yield* Effect.tryPromise({
      try: () => readOrMake(path, logger),
      catch: (cause) =>
        new HostKeyNotMade({
          message: `A host key could not be kept at ${path}: ${errorOf(cause)?.message ?? String(cause)}`,
          details: { hostKey: path },
          cause,
        }),
    });
    const key = HostKey.read(pem);
    return typeof key === "string"
      ? yield* new HostKeyUnusable({ message: `The host key ${path} ${key}`, details: { hostKey: path } })
      : key;
  });

const makeKeyPair = promisify(generateKeyPair);

const readOrMake = async (path: string, logger: Logger): Promise<string> => {
  const kept = await readFile(path, "utf8").catch(absent);
  if (kept !== undefined) return kept;
  const { privateKey } = await makeKeyPair("ed25519");
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  await mkdir(stateDirectory(), { recursive: true, mode: 0o700 });
  // Written beside and linked into place, so that two daemons that start at once agree on one key.
  const fresh = `${path}.${process.pid}`;
  const file = await open(fresh, "wx", 0o600);
  try {
    await file.writeFile(pem);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(fresh, path);
    logger.notice("CORE_NO_HOST_KEYS", `No host key is configured: one was made and is kept at ${path}`, {
      hostKey: path,
    });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  } finally {
    await unlink(fresh);
  }
  return readFile(path, "utf8");
};

const absent = (error: NodeJS.ErrnoException): undefined => {
  if (error.code !== "ENOENT") throw error;
};
