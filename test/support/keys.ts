/** SSH keys for tests, made by OpenSSH's ssh-keygen. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { must } from "./command.ts";

export type KeyType = "ed25519" | "rsa" | "ecdsa";

export interface Key {
  /** Path of the private key, in OpenSSH's format; the public key is beside it with `.pub`. */
  readonly file: string;
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA…`, without a comment. */
  readonly publicKey: string;
  /** `SHA256:…` of the public key. */
  readonly fingerprint: string;
}

export interface KeyOptions {
  readonly bits?: number;
  readonly passphrase?: string;
  /** Format of the private key; default is OpenSSH's own. */
  readonly format?: "PEM" | "PKCS8";
}

/** Makes a key pair in a directory; the file is called `name`. */
export const generateKey = async (
  directory: string,
  name: string,
  type: KeyType = "ed25519",
  { bits, passphrase = "", format }: KeyOptions = {},
): Promise<Key> => {
  const file = join(directory, name);
  await must("ssh-keygen", [
    // Some keys that end without a comment and without padding are taken for broken by paramiko.
    ...["-q", "-t", type, "-N", passphrase, "-C", "comment", "-f", file],
    ...(bits === undefined ? [] : ["-b", String(bits)]),
    ...(format === undefined ? [] : ["-m", format]),
  ]);
  const publicKey = (await readFile(`${file}.pub`, "utf8")).split(" ", 2).join(" ");
  const { stdout } = await must("ssh-keygen", ["-l", "-f", `${file}.pub`]);
  return {
    file,
    privateKey: await readFile(file, "utf8"),
    publicKey,
    fingerprint: stdout.split(" ")[1] ?? "",
  };
};
