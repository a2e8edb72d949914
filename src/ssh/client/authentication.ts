/** The client's half of the SSH authentication protocol (RFC 4252): proves who it is with a key or a password. */
import { Redacted } from "effect";
import type { HostKey } from "../host-key.ts";
import { Message, message, Reader, string } from "../wire.ts";

const SERVICE = "ssh-connection";

/** The proofs there are, tried in this order. Without any, a server that lets everybody in does so. */
export interface ClientCredentials {
  readonly username: string;
  readonly privateKey: HostKey | undefined;
  readonly password: Redacted.Redacted<string> | undefined;
}

/** The server took none of the proofs. */
export class AuthenticationRefused extends Error {
  /** The methods that were tried. */
  readonly tried: readonly string[];
  /** The methods that the server would go on with. */
  readonly offered: readonly string[];

  constructor(tried: readonly string[], offered: readonly string[]) {
    super("the server did not accept the credentials");
    this.tried = tried;
    this.offered = offered;
  }
}

export interface ClientAuthenticationPort {
  readonly send: (payload: Buffer) => void;
  readonly sessionId: () => Buffer;
  /** Signature algorithms that the server said it takes (RFC 8308 section 3.1); undefined when it said nothing. */
  readonly signatureAlgorithms: () => readonly string[] | undefined;
  /** The next message of the authentication protocol; rejects when the connection ends. */
  readonly next: () => Promise<Buffer>;
}

/** Rejects with `AuthenticationRefused`, or with why the connection ended. */
export const authenticate = async (
  port: ClientAuthenticationPort,
  { username, privateKey, password }: ClientCredentials,
): Promise<void> => {
  port.send(message(Message.SERVICE_REQUEST, "ssh-userauth"));
  await port.next();
  const proofs = new Map<string, () => Buffer>();
  if (privateKey !== undefined) proofs.set("publickey", () => signedRequest(port, username, privateKey));
  if (password !== undefined) proofs.set("password", () => passwordRequest(username, password));
  if (proofs.size === 0) proofs.set("none", () => request(username, "none"));
  const tried: string[] = [];
  let offered: readonly string[] | undefined;
  for (const [method, proof] of proofs) {
    if (offered !== undefined && !offered.includes(method)) continue;
    tried.push(method);
    port.send(proof());
    const answer = await verdict(port);
    if (answer === "success") return;
    offered = answer;
  }
  throw new AuthenticationRefused(tried, offered ?? []);
};

/** `success`, or the methods that can continue (section 5.1), also when more than one proof is wanted. */
const verdict = async (port: ClientAuthenticationPort): Promise<"success" | readonly string[]> => {
  const answer = await port.next();
  switch (answer[0]) {
    case Message.USERAUTH_SUCCESS:
      return "success";
    case Message.USERAUTH_FAILURE:
      return new Reader(answer).name().split(",");
    // SSH_MSG_USERAUTH_PASSWD_CHANGEREQ, or an answer to a question that was not asked.
    default:
      return [];
  }
};

const request = (username: string, method: string): Buffer =>
  message(Message.USERAUTH_REQUEST, username, SERVICE, method);

const passwordRequest = (username: string, password: Redacted.Redacted<string>): Buffer =>
  message(Message.USERAUTH_REQUEST, username, SERVICE, "password", false, Redacted.value(password));

/** Section 7: what is signed is the session's identifier and the request itself. */
const signedRequest = (port: ClientAuthenticationPort, username: string, key: HostKey): Buffer => {
  const { algorithm, hash } = signatureOf(key, port.signatureAlgorithms());
  const fields = [username, SERVICE, "publickey", true, algorithm, key.getPublicSSH()] as const;
  const unsigned = message(Message.USERAUTH_REQUEST, ...fields);
  const signature = key.sign(Buffer.concat([string(port.sessionId()), unsigned]), hash);
  return Buffer.concat([unsigned, string(Buffer.concat([string(algorithm), string(signature)]))]);
};

/** RFC 8332: RSA keys sign with SHA-2 where the server says that it understands that. */
const signatureOf = (
  key: HostKey,
  known: readonly string[] | undefined,
): { readonly algorithm: string; readonly hash: string } => {
  if (key.type !== "ssh-rsa") return { algorithm: key.type, hash: "" };
  if (known?.includes("rsa-sha2-512")) return { algorithm: "rsa-sha2-512", hash: "sha512" };
  if (known?.includes("rsa-sha2-256")) return { algorithm: "rsa-sha2-256", hash: "sha256" };
  return { algorithm: "ssh-rsa", hash: "sha1" };
};
