/**
 * Tells clients about all host keys and proves possession of them, so that a client knows a new key before the old
 * one goes (OpenSSH's PROTOCOL, section 2.5: hostkeys-00@openssh.com and hostkeys-prove-00@openssh.com).
 */
import type { SigningKey } from "ssh2/lib/protocol/Protocol.js";
import { Message, message, type Reader, string } from "./wire.ts";

export const HOST_KEYS_PROVE = "hostkeys-prove-00@openssh.com";
/** Signatures cost time: no client needs more of them than there are keys. */
const MOST_PROOFS = 8;

type HostKeys = Readonly<Record<string, SigningKey>>;

/** SSH_MSG_GLOBAL_REQUEST with every host key. */
export const hostKeysMessage = (hostKeys: HostKeys): Buffer =>
  Buffer.concat([
    message(Message.GLOBAL_REQUEST, "hostkeys-00@openssh.com", false),
    ...[...new Set(Object.values(hostKeys))].map((key) => string(key.getPublicSSH())),
  ]);

/** Answers a request to prove keys; undefined when it names a key that is not ours. */
export const hostKeysProof = (
  hostKeys: HostKeys,
  negotiatedHostKey: string,
  sessionId: Buffer,
  reader: Reader,
): Buffer | undefined => {
  const proofs: Buffer[] = [];
  while (!reader.isAtEnd) {
    const blob = reader.string();
    const key = Object.values(hostKeys).find((ours) => ours.getPublicSSH().equals(blob));
    if (key === undefined || proofs.length >= MOST_PROOFS) return undefined;
    const algorithm = signatureAlgorithmOf(key, negotiatedHostKey);
    const signed = Buffer.concat([string(HOST_KEYS_PROVE), string(sessionId), string(blob)]);
    const signature = key.sign(signed, algorithm === "rsa-sha2-256" ? "sha256" : "sha512");
    if (signature instanceof Error) return undefined;
    proofs.push(string(Buffer.concat([string(algorithm), string(signature)])));
  }
  return proofs.length === 0 ? undefined : Buffer.concat([message(Message.REQUEST_SUCCESS), ...proofs]);
};

/** The client expects an RSA key to sign as it did in the key exchange. */
const signatureAlgorithmOf = ({ type }: SigningKey, negotiated: string): string => {
  if (type !== "ssh-rsa") return type;
  return negotiated.startsWith("rsa-") ? negotiated : "rsa-sha2-512";
};
