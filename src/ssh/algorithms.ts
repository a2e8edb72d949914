/** The algorithms of the configuration, by the names that ssh2 has for them. */

import { Effect } from "effect";
import constants from "ssh2/lib/protocol/constants.js";
import type { Ssh } from "../config/sections/ssh.ts";
import type { SshProxy } from "../config/sections/sshproxy.ts";
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

/** The reference's name of RSA keys, for which it took signatures with SHA-1 only: those with SHA-2 come first. */
const RSA = ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"];

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
          message: `${option}: "${missing}" is not available: it is not safe any more, and the OpenSSL of Node.js has left it out. Remove it from the list.`,
          details: { option, algorithm: missing },
        }),
      );
};

/**
 * What is offered to clients, or in the section `sshproxy` to servers. Fails with the first name that cannot be
 * offered, and what to do about it.
 */
export const algorithmsOf = (
  { kex, ciphers, macs }: Pick<Ssh, "kex" | "ciphers" | "macs">,
  section: "ssh" | "sshproxy" = "ssh",
): Effect.Effect<Algorithms, AlgorithmUnavailable> =>
  Effect.all({
    kex: supported(`${section}.kex`, kex, [HYBRID_KEX, ...constants.SUPPORTED_KEX]),
    ciphers: supported(`${section}.ciphers`, ciphers, constants.SUPPORTED_CIPHER),
    macs: supported(`${section}.macs`, macs, constants.SUPPORTED_MAC),
  });

/**
 * What a server may prove itself with, RSA keys last, for they would bring SHA-1 along. Certificates and DSA keys,
 * which the reference's default names too, are left out. Fails when nothing remains.
 */
export const hostKeyAlgorithmsOf = ({
  hostKeyAlgos,
}: Pick<SshProxy, "hostKeyAlgos">): Effect.Effect<readonly string[], AlgorithmUnavailable> => {
  const option = "sshproxy.hostKeyAlgos";
  const known = constants.SUPPORTED_SERVER_HOST_KEY.filter((name) => name !== "ssh-dss");
  const others = hostKeyAlgos.filter((name) => name !== "ssh-rsa");
  const found = [...others, ...(hostKeyAlgos.length === others.length ? [] : RSA)];
  const usable = [...new Set(found)].filter((name) => known.includes(name));
  return usable.length > 0
    ? Effect.succeed(usable)
    : Effect.fail(
        new AlgorithmUnavailable({
          message: `${option}: neither certificates nor DSA keys are supported. Add ssh-ed25519, ssh-rsa or an ecdsa-sha2 one to the list.`,
          details: { option },
        }),
      );
};
