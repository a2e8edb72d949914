/** Lines of OpenSSH's authorized_keys format (sshd(8), AUTHORIZED_KEYS FILE FORMAT). */
import { publicKeyTypes, readPublicKey } from "../ssh/public-key.ts";

/** A key, and nothing else of the line. */
export interface AuthorizedKey {
  /** The key's blob (RFC 4253 section 6.6) in base64: equal for equal keys, whatever their comments. */
  readonly blob: string;
}

/**
 * Reads `type key [comment]`; what is wrong with it is a text for the operator. Options before the type (`from=`,
 * `command=`, `restrict`) limit what a key may do: a key is refused rather than let in without its limits.
 */
export const readAuthorizedKey = (line: string): AuthorizedKey | string => {
  const [type = "", base64 = ""] = line.trim().split(/\s+/, 2);
  if (line.includes("PRIVATE KEY")) {
    return "is a private key: give the public one, the file that ends with .pub";
  }
  if (/[\r\n]/.test(line.trim())) {
    return "holds more than one line: list each key by itself";
  }
  if (!publicKeyTypes.includes(type)) {
    return publicKeyTypes.some((known) => line.includes(known))
      ? "has options before the key type: they are not supported, and without them the key could do more than it should"
      : `expected a line that begins with one of ${publicKeyTypes.join(", ")}`;
  }
  const blob = Buffer.from(base64, "base64");
  const isWhole = blob.toString("base64") === base64 && readPublicKey(blob)?.type === type;
  return isWhole ? { blob: base64 } : "is not a complete key";
};

/** The blob of a key as an `Attempt` names it, `type base64`. */
export const blobOf = (key: string): string => key.split(" ")[1] ?? "";
