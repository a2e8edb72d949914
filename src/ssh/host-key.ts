/** A private key that the server proves its identity with (RFC 4253 section 8). */
import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import ssh2 from "ssh2";
import type { SigningKey } from "ssh2/lib/protocol/Protocol.js";
import { fingerprintOf, signEcdsa, writePublicKey } from "./public-key.ts";

export class HostKey implements SigningKey {
  readonly type: string;
  /** `SHA256:…` as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly #blob: Buffer;
  readonly #key: KeyObject;

  private constructor(type: string, blob: Buffer, key: KeyObject) {
    this.type = type;
    this.fingerprint = fingerprintOf(blob);
    this.#blob = blob;
    this.#key = key;
  }

  /** Reads a private key in PEM (PKCS#1, SEC1, PKCS#8) or OpenSSH's format. A text says what is wrong with it. */
  static read(pem: string): HostKey | string {
    if (isEncrypted(pem)) {
      return "is protected by a passphrase, and nobody is there to type it: remove it with ssh-keygen -p";
    }
    const key = readPrivateKey(pem);
    if (key === undefined) return "is not a private key in PEM or OpenSSH format";
    const publicKey = writePublicKey(key);
    return publicKey === undefined
      ? "is of a type that is not supported: use ed25519, ECDSA or RSA"
      : new HostKey(publicKey.type, publicKey.blob, key);
  }

  getPublicSSH(): Buffer {
    return this.#blob;
  }

  /** A signature as it is sent, without the algorithm's name in front. `hash` is for RSA keys. */
  sign(data: Buffer, hash = "sha512"): Buffer {
    switch (this.#key.asymmetricKeyType) {
      case "ed25519":
        return sign(null, data, this.#key);
      case "rsa":
        return sign(hash, data, this.#key);
      default:
        return signEcdsa(this.#key, data);
    }
  }
}

/** By the algorithms that they sign with, in the order of the list; of keys of one type the first counts. */
export const byAlgorithm = (keys: readonly HostKey[]): Readonly<Record<string, HostKey>> => {
  const found: Record<string, HostKey> = {};
  for (const key of keys) {
    const algorithms = key.type === "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256"] : [key.type];
    for (const algorithm of algorithms) found[algorithm] ??= key;
  }
  return found;
};

const OPENSSH_HEADER = "-----BEGIN OPENSSH PRIVATE KEY-----";

const isEncrypted = (pem: string): boolean => {
  if (!pem.includes(OPENSSH_HEADER)) return /ENCRYPTED/.test(pem);
  // OpenSSH's PROTOCOL.key: a magic text, then the cipher's name as a string.
  const content = Buffer.from(pem.replace(/-----[^-]*-----/g, ""), "base64");
  return (
    content.subarray(0, 15).toString() === "openssh-key-v1\0" &&
    !content.subarray(19).toString().startsWith("none")
  );
};

const readPrivateKey = (pem: string): KeyObject | undefined => {
  try {
    if (!pem.includes(OPENSSH_HEADER)) return createPrivateKey(pem);
    const parsed: unknown = ssh2.utils.parseKey(pem);
    const [key] = Array.isArray(parsed) ? parsed : [parsed];
    return key instanceof Error ? undefined : createPrivateKey(key.getPrivatePEM());
  } catch {
    // OpenSSL's reasons name its own functions; what is wrong is that this is no key.
    return undefined;
  }
};
