/** What sources have to say about their part of a configuration, before anything is started. */
import { Effect, Redacted } from "effect";
import { readTemplate } from "./auth/oauth2/redirect.ts";
import { usersFindings } from "./auth/users.ts";
import type { Check } from "./config/load.ts";
import { readSecretPem } from "./config/pem.ts";
import { prefixed } from "./config/validate-http.ts";
import { algorithmsOf, hostKeyAlgorithmsOf } from "./ssh/algorithms.ts";
import { HostKey } from "./ssh/host-key.ts";

export const checks: readonly Check[] = [
  ({ ssh }) =>
    Effect.match(algorithmsOf(ssh), {
      onSuccess: () => [],
      onFailure: ({ message }) => [{ path: ["ssh"], message }],
    }),
  ({ backend, sshproxy }) =>
    Effect.match(
      Effect.all(
        backend === "sshproxy" ? [algorithmsOf(sshproxy, "sshproxy"), hostKeyAlgorithmsOf(sshproxy)] : [],
      ),
      { onSuccess: () => [], onFailure: ({ message }) => [{ path: ["sshproxy"], message }] },
    ),
  ({ auth: { keyboardInteractive } }) => {
    const { method, oauth2 } = keyboardInteractive;
    const { webroot } = oauth2.redirect;
    if (method !== "oauth2" || webroot === "") return Effect.succeed([]);
    return Effect.match(readTemplate(webroot), {
      onSuccess: () => [],
      onFailure: ({ message }) => [
        { path: ["auth", "keyboardInteractive", "oauth2", "redirect", "webroot"], message },
      ],
    });
  },
  ({ ssh: { hostkeys } }) =>
    Effect.map(
      Effect.forEach(hostkeys, (hostkey) =>
        // A file that can't be read is told of already.
        Effect.catch(readSecretPem(hostkey), () => Effect.succeed(undefined)),
      ),
      (pems) =>
        pems.flatMap((pem, index) => {
          const key = pem === undefined ? undefined : HostKey.read(Redacted.value(pem));
          return typeof key === "string" ? [{ path: ["ssh", "hostkeys", index], message: key }] : [];
        }),
    ),
  ({ auth: { users } }) => Effect.succeed(prefixed("auth", prefixed("users", usersFindings(users)))),
];
