/** The algorithms of the configuration, by the names that ssh2 has for them. */

import { Effect } from "effect";
import constants from "ssh2/lib/protocol/constants.js";
import type { Ssh } from "../config/sections/ssh.ts";
import { failure } from "../failure.ts";
import { HYBRID_KEX } from "./hybrid-key-exchange.ts";
import type { Algorithms } from "./ssh2-extension.ts";

export class AlgorithmUnavailable extends failure(
  "AlgorithmUnavailable",
  "CORE_CONFIG_ERROR",
  "The server is not configured correctly. Please ask your administrator.",
) {}

/** The reference's documentation calls it by the name of a constant in Go's library. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  tripledescbcID: ["3des-cbc"],
  // The same method by its old and its standard name (RFC 8731): clients know one or the other.
  "curve25519-sha256@libssh.org": ["curve25519-sha256", "curve25519-sha256@libssh.org"],
};

const supported = (
  option: string,
  names: readonly string[],
  known: readonly string[],
): Effect.Effect<readonly string[], AlgorithmUnavailable> => {
  const found = [...new Set(names.flatMap((name) => ALIASES[name] ?? [name]))];
  const missing = found.find((name) => !known.includes(name));
  return missing === undefined
    ? Effect.succeed(found)
    : Effect.fail(
        new AlgorithmUnavailable({
          message: `ssh.${option}: "${missing}" is not available: it is not safe any more, and the OpenSSL of Node.js has left it out. Remove it from the list.`,
          details: { option: `ssh.${option}`, algorithm: missing },
        }),
      );
};

/** What is offered to clients. Fails with the first name that cannot be offered, and what to do about it. */
export const algorithmsOf = ({
  kex,
  ciphers,
  macs,
}: Pick<Ssh, "kex" | "ciphers" | "macs">): Effect.Effect<Algorithms, AlgorithmUnavailable> =>
  Effect.all({
    kex: supported("kex", kex, [HYBRID_KEX, ...constants.SUPPORTED_KEX]),
    ciphers: supported("ciphers", ciphers, constants.SUPPORTED_CIPHER),
    macs: supported("macs", macs, constants.SUPPORTED_MAC),
  });
