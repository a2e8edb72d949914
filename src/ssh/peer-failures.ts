/** Why connections end that their clients ended, for the connection machine and the log. */
import type { Negotiated } from "ssh2/lib/protocol/Protocol.js";
import type { Refusal } from "../../machines/facts.ts";

export const keepAliveLost: Refusal = {
  code: "SSH_KEEPALIVE_NORESP",
  level: "info",
  userMessage: "Your SSH client does not answer any more.",
  message: "The client did not give a sign of life",
  details: {},
};

/** How far a client had come when it broke the protocol. */
export interface Progress {
  readonly clientVersion: string;
  readonly hasKeys: boolean;
  /** The authentication method in whose middle it was. */
  readonly conversation: string | undefined;
}

/**
 * What was thrown while a client's bytes were read. Before the first keys it is the internet's usual noise; later,
 * ssh2 marks what goes wrong when keys are exchanged again.
 */
export const brokenBy = (error: unknown, { clientVersion, hasKeys, conversation }: Progress): Refusal => {
  const failed: Error & { readonly level?: unknown } =
    error instanceof Error ? error : new Error(String(error));
  const details = { error: failed.message, clientVersion };
  // Other classes of errors (TypeError and its like) are not the client's doing.
  const isBug = failed.name !== "Error";
  return hasKeys && failed.level !== "handshake"
    ? {
        code: "SSH_DECODE_FAILED",
        level: isBug ? "error" : "notice",
        userMessage: "Your SSH client sent something that this server does not understand.",
        message: `The client broke the SSH protocol${conversation === undefined ? "" : ` in the middle of ${conversation}`}`,
        details: { ...details, ...(conversation !== undefined && { method: conversation }) },
      }
    : {
        code: "SSH_HANDSHAKE_FAILED",
        level: isBug ? "error" : "info",
        userMessage: "The key exchange failed. Please check that your SSH client is up to date.",
        message: "The client broke off or broke the key exchange",
        details,
      };
};

/** For the log: key exchange, host key, then cipher and MAC of each direction when they differ. */
export const describe = ({ kex, serverHostKey, cs, sc }: Negotiated): string => {
  const direction = ({ cipher, mac }: Negotiated["cs"]) =>
    /gcm|poly1305/.test(cipher) ? cipher : `${cipher} ${mac}`;
  const [up, down] = [direction(cs), direction(sc)];
  return `${kex} ${serverHostKey} ${up === down ? up : `${up} ${down}`}`;
};
