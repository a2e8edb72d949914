/** What the options of the `sshproxy` section demand of each other, for the server and for each jump host. */
import { Effect, Redacted } from "effect";
import type { Path } from "./diagnostic.ts";
import { obsoleteAlgorithms } from "./obsolete-algorithms.ts";
import { readSecretPem } from "./pem.ts";
import type { SshProxy, SshProxyHop } from "./sections/sshproxy.ts";
import { type Findings, longEnough, notEmpty } from "./validate-http.ts";

/** Paths are relative to the section. */
export const sshProxyFindings = (section: SshProxy): Findings => {
  const { ciphers, kex, macs, hostKeyAlgos, timeout } = section;
  return [
    ...hopsOf(section).flatMap(({ path, hop }) => hopFindings(path, hop)),
    ...notEmpty({ ciphers, kex, macs, hostKeyAlgos }),
    ...obsoleteAlgorithms(section),
    ...longEnough("timeout", timeout),
  ];
};

/** Private keys in files that cannot be read. */
export const sshProxyKeys = (section: SshProxy): Effect.Effect<Findings> =>
  Effect.map(
    Effect.all(
      hopsOf(section).map(({ path, hop }) =>
        Effect.match(readSecretPem(hop.privateKey), {
          onFailure: ({ message }): Findings => [{ path: [...path, "privateKey"], message }],
          onSuccess: (): Findings => [],
        }),
      ),
    ),
    (all) => all.flat(),
  );

/** In the order in which they are dialed. */
const hopsOf = (section: SshProxy): readonly { readonly path: Path; readonly hop: SshProxyHop }[] => [
  ...section.jumpHosts.map((hop, index) => ({ path: ["jumpHosts", index], hop })),
  { path: [], hop: section },
];

const hopFindings = (path: Path, hop: SshProxyHop): Findings => {
  const { server, username, usernamePassThrough, allowedHostKeyFingerprints, password, privateKey } = hop;
  const found: { path: Path; message: string; severity?: "warning" }[] = [];
  if (server === "") found.push({ path: [...path, "server"], message: "is missing" });
  if (username === "" && !usernamePassThrough) {
    found.push({ path: [...path, "username"], message: "is missing, and usernamePassThrough is not set" });
  }
  if (allowedHostKeyFingerprints.length === 0) {
    const message = "is empty: without the fingerprint of its host key, the server would not be trusted";
    found.push({ path: [...path, "allowedHostKeyFingerprints"], message });
  }
  if (Redacted.value(password) === "" && Redacted.value(privateKey).trim() === "") {
    const message = "is missing, and so is password: the server has to let everybody in";
    found.push({ path: [...path, "privateKey"], message, severity: "warning" });
  }
  return found;
};
