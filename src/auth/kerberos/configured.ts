/** The logins by Kerberos that a configuration asks for, each checked before anybody may try. */
import { Duration, Effect, type Scope } from "effect";
import type { Auth } from "../../config/sections/auth.ts";
import type { Kerberos } from "../../config/sections/kerberos.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import { notOpened } from "./failures.ts";
import { type KerberosLibrary, kerberosLibrary } from "./library.ts";
import { replayCacheDirectory, replayCacheIn } from "./replay-cache.ts";

export interface KerberosSource {
  readonly options: Kerberos;
  readonly library: KerberosLibrary;
}

/** Missing where a way to log in is not for Kerberos. */
export interface KerberosLogins {
  readonly password: KerberosSource | undefined;
  readonly gssapi: KerberosSource | undefined;
}

/** Fails when the library is missing, or cannot use the configuration or the keytab. */
export const kerberosLogins = (
  { password, gssapi }: Pick<Auth, "password" | "gssapi">,
  logger: Logger,
): Effect.Effect<KerberosLogins, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    // Only tickets are remembered: a password proves itself.
    const replayCache =
      gssapi.method === "kerberos"
        ? yield* replayCacheDirectory("auth.gssapi.kerberos", process.env)
        : undefined;
    const libraries = new Map<string, KerberosLibrary>();
    const source = (name: "password" | "gssapi", options: Kerberos) =>
      Effect.gen(function* () {
        const path = `auth.${name}.kerberos`;
        const key = settingsKey(options);
        const { library, principals } = yield* Effect.mapError(
          Effect.gen(function* () {
            const library = libraries.get(key) ?? (yield* kerberosLibrary(options, replayCache, logger));
            return { library, ...(yield* library.call("open", {})) };
          }),
          (refused) => notOpened(path, refused),
        );
        libraries.set(key, library);
        logger.info("KRB_AVAILABLE", "Kerberos logins are possible", {
          section: path,
          keytab: options.keytab,
          principals: principals.join(" "),
          ...(name === "gssapi" && replayCache !== undefined && { replayCache: replayCacheIn(replayCache) }),
        });
        return { options, library };
      });
    return {
      password: password.method === "kerberos" ? yield* source("password", password.kerberos) : undefined,
      gssapi: gssapi.method === "kerberos" ? yield* source("gssapi", gssapi.kerberos) : undefined,
    };
  });

const settingsKey = ({ keytab, acceptor, configPath, clockSkew }: Kerberos): string =>
  JSON.stringify([keytab, acceptor, configPath, Duration.toMillis(clockSkew)]);
