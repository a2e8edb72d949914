import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  canSignWith,
  fingerprintOf,
  isSignatureOf,
  readPublicKey,
  signatureAlgorithms,
  writePublicKey,
} from "../../../src/ssh/public-key.ts";
import { string, uint32 } from "../../../src/ssh/wire.ts";
import { generateKey } from "../../support/keys.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const DATA = Buffer.from("what is signed");
const APPLICATION = "ssh:";

const sha256 = (bytes: Buffer | string): Buffer => createHash("sha256").update(bytes).digest();

/** A signature as an authenticator makes it (OpenSSH's PROTOCOL.u2f, SSH U2F Signatures). */
const authenticatorSignature = (
  algorithm: string,
  key: KeyObject,
  flags: number,
  hash: string | null,
): Buffer => {
  const rest = Buffer.concat([Buffer.of(flags), uint32(7)]);
  const signed = Buffer.concat([sha256(APPLICATION), rest, sha256(DATA)]);
  const raw = sign(hash, signed, { key, dsaEncoding: "ieee-p1363" });
  const proof = hash === null ? raw : Buffer.concat([mpint(raw.subarray(0, 32)), mpint(raw.subarray(32))]);
  return Buffer.concat([string(algorithm), string(proof), rest]);
};

const mpint = (digits: Buffer): Buffer =>
  string((digits[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits);

/** The parts of a key's blob behind its type. */
const bodyOf = (key: KeyObject): Buffer => {
  const { type = "", blob = Buffer.alloc(0) } = writePublicKey(key) ?? {};
  return blob.subarray(string(type).length);
};

describe("keys that OpenSSH made", () => {
  test.each([
    ["ed25519", 256],
    ["rsa", 2048],
    ["ecdsa", 256],
    ["ecdsa", 384],
    ["ecdsa", 521],
  ] as const)("%s %d: read, written and fingerprinted alike", async (type, bits) => {
    const key = await generateKey(await temporaryDirectory(), "key", type, { bits });
    const blob = Buffer.from(key.publicKey.split(" ")[1] ?? "", "base64");
    expect(readPublicKey(blob)?.type).toBe(key.publicKey.split(" ")[0]);
    expect(fingerprintOf(blob)).toBe(key.fingerprint);
    const pem = await generateKey(await temporaryDirectory(), "key", type === "ed25519" ? "rsa" : type, {
      format: "PEM",
    });
    const written = writePublicKey(createPrivateKey(pem.privateKey));
    expect(`${written?.type} ${written?.blob.toString("base64")}`).toBe(pem.publicKey);
  });
});

describe("keys in FIDO authenticators", () => {
  const authenticators = [
    ["sk-ssh-ed25519@openssh.com", generateKeyPairSync("ed25519").privateKey, null],
    [
      "sk-ecdsa-sha2-nistp256@openssh.com",
      generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey,
      "sha256",
    ],
  ] as const;

  test.each(authenticators)("%s", (algorithm, privateKey, hash) => {
    const key = readPublicKey(Buffer.concat([string(algorithm), bodyOf(privateKey), string(APPLICATION)]));
    if (key === undefined) throw new Error("the key was not read");
    const touched = authenticatorSignature(algorithm, privateKey, 0x01, hash);
    expect(isSignatureOf(key, algorithm, touched, DATA)).toBe(true);
    expect(isSignatureOf(key, algorithm, touched, Buffer.from("something else"))).toBe(false);
    const untouched = authenticatorSignature(algorithm, privateKey, 0x00, hash);
    expect(isSignatureOf(key, algorithm, untouched, DATA)).toBe(false);
    const elsewhere = { ...key, application: Buffer.from("other:") };
    expect(isSignatureOf(elsewhere, algorithm, touched, DATA)).toBe(false);
  });
});

describe("signatures", () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const blob = writePublicKey(privateKey)?.blob ?? Buffer.alloc(0);
  const key = readPublicKey(blob);
  if (key === undefined) throw new Error("the key was not read");

  test("an RSA signature that lost its leading zeros is accepted, as OpenSSH does", () => {
    let raw = sign("sha256", DATA, privateKey);
    let data = DATA;
    for (let count = 0; raw[0] !== 0; count++) {
      data = Buffer.from(`try ${count}`);
      raw = sign("sha256", data, privateKey);
    }
    const signature = Buffer.concat([string("rsa-sha2-256"), string(raw.subarray(1))]);
    expect(isSignatureOf(key, "rsa-sha2-256", signature, data)).toBe(true);
  });

  test.each([
    ["nothing", Buffer.alloc(0)],
    ["a name only", string("rsa-sha2-256")],
    ["an empty one", Buffer.concat([string("rsa-sha2-256"), string("")])],
    ["one that is too long", Buffer.concat([string("rsa-sha2-256"), string(Buffer.alloc(300, 1))])],
    ["SHA-1", Buffer.concat([string("ssh-rsa"), string(sign("sha1", DATA, privateKey))])],
  ])("%s proves nothing", (_, signature) => {
    expect(isSignatureOf(key, "rsa-sha2-256", signature, DATA)).toBe(false);
    expect(isSignatureOf(key, "ssh-rsa", signature, DATA)).toBe(false);
  });

  test("SHA-1, DSA and certificates are not among the algorithms", () => {
    expect(signatureAlgorithms).toEqual([
      "ssh-ed25519",
      "ecdsa-sha2-nistp256",
      "ecdsa-sha2-nistp384",
      "ecdsa-sha2-nistp521",
      "sk-ssh-ed25519@openssh.com",
      "sk-ecdsa-sha2-nistp256@openssh.com",
      "rsa-sha2-512",
      "rsa-sha2-256",
    ]);
    expect(canSignWith(key, "ssh-rsa")).toBe(false);
  });
});

describe("broken keys", () => {
  const point = Buffer.alloc(65, 1);
  test.each([
    ["a point at infinity", [string("nistp256"), string(Buffer.of(0))]],
    ["a compressed point", [string("nistp256"), string(Buffer.concat([Buffer.of(2), Buffer.alloc(32)]))]],
    ["a point off the curve", [string("nistp256"), string(Buffer.concat([Buffer.of(4), point.subarray(1)]))]],
    ["another curve's name", [string("nistp384"), string(point)]],
  ])("%s is no ECDSA key", (_, fields) => {
    expect(readPublicKey(Buffer.concat([string("ecdsa-sha2-nistp256"), ...fields]))).toBeUndefined();
  });

  test("an Ed25519 key of the wrong length is none", () => {
    expect(readPublicKey(Buffer.concat([string("ssh-ed25519"), string(Buffer.alloc(31))]))).toBeUndefined();
  });

  test("an RSA key with an even or tiny exponent and modulus is none", () => {
    const numbers = [string(Buffer.of(0)), string(Buffer.of(0))];
    expect(readPublicKey(Buffer.concat([string("ssh-rsa"), ...numbers]))).toBeUndefined();
  });
});
