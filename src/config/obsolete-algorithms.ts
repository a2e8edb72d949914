/** Warns of algorithms that OpenSSH (10.x) no longer offers by default: few clients agree on them, and nobody should. */
import type { Finding } from "./diagnostic.ts";
import type { Ssh } from "./sections/ssh.ts";

const obsolete: ReadonlySet<string> = new Set([
  "diffie-hellman-group14-sha1",
  "diffie-hellman-group1-sha1",
  "hmac-sha1-96",
  "aes128-cbc",
  "arcfour256",
  "arcfour128",
  "arcfour",
  "tripledescbcID",
]);

/** Paths are relative to the section that has the lists. */
export const obsoleteAlgorithms = ({
  kex,
  macs,
  ciphers,
}: Pick<Ssh, "kex" | "macs" | "ciphers">): readonly Finding[] =>
  Object.entries({ kex, macs, ciphers }).flatMap(([list, names]) =>
    names.flatMap((name, index) =>
      obsolete.has(name)
        ? [
            {
              path: [list, index],
              message: `${name} is not safe, and OpenSSH no longer offers it by default`,
              severity: "warning" as const,
            },
          ]
        : [],
    ),
  );
