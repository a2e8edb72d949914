/** Lines of OpenSSH's authorized_keys format (sshd(8), AUTHORIZED_KEYS FILE FORMAT). */
import ssh2, { type ParsedKey } from "ssh2";

/** A key, and nothing else of the line. */
export interface AuthorizedKey {
  /** The key's blob (RFC 4253 section 6.6) in base64: equal for equal keys, whatever their comments. */
  readonly blob: string;
}

const keyTypes = [
  "ssh-ed25519",
  "ssh-rsa",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
];

/**
 * Reads `type key [comment]`; what is wrong with it is a text for the operator. Options before the type (`from=`,
 * `command=`, `restrict`) limit what a key may do: a key is refused rather than let in without its limits.
 */
export const readAuthorizedKey = (line: string): AuthorizedKey | string => {
  const [type = ""] = line.trim().split(/\s+/, 1);
  if (line.includes("PRIVATE KEY")) {
    return "is a private key: give the public one, the file that ends with .pub";
  }
  if (/[\r\n]/.test(line.trim())) {
    return "holds more than one line: list each key by itself";
  }
  if (!keyTypes.includes(type)) {
    return keyTypes.some((known) => line.includes(known))
      ? "has options before the key type: they are not supported, and without them the key could do more than it should"
      : `expected a line that begins with one of ${keyTypes.join(", ")}`;
  }
  const parsed = ssh2.utils.parseKey(line.trim().replace(/\s+/, " "));
  return parsed instanceof Error || !isOfType(parsed, type)
    ? "is not a complete key"
    : { blob: parsed.getPublicSSH().toString("base64") };
};

const isOfType = (key: ParsedKey, type: string) => key.type === type && !key.isPrivateKey();

/** The blob of a key as an `Attempt` names it, `type base64`. */
export const blobOf = (key: string): string => key.split(" ")[1] ?? "";
