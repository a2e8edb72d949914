/** What is wrong with a `kerberos` section: files that must be there, paths and times that make no sense. */
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { Duration, Effect } from "effect";
import type { Finding } from "./diagnostic.ts";
import type { Kerberos } from "./sections/kerberos.ts";
import type { Findings } from "./validate-http.ts";

const KEYS = ["keytab", "configPath"] as const;

/** @param isAuthorized whether somebody else decides who may have which user name */
export const kerberos = (options: Kerberos, isAuthorized: boolean): Effect.Effect<Findings> => {
  const { configPath, credentialCachePath, clockSkew, enforceUsername } = options;
  const found: Finding[] = [];
  if (!enforceUsername && !isAuthorized) {
    found.push({
      path: ["enforceUsername"],
      message: "is off and there is no auth.authz to decide: every Kerberos user can log in as every user",
      code: "KRB_USERNAME_NOT_ENFORCED",
      severity: "warning",
    });
  }
  // The library takes a list of files with colons between them.
  if (configPath.includes(":")) found.push({ path: ["configPath"], message: "must not contain a colon" });
  if (!/^(\/[^/\0]+)+$/.test(credentialCachePath)) {
    found.push({ path: ["credentialCachePath"], message: "expected an absolute path of a file" });
  }
  if (Duration.toMillis(clockSkew) < 1000) {
    found.push({ path: ["clockSkew"], message: "must be at least 1s" });
  }
  return Effect.map(Effect.all(KEYS.map((key) => readable(key, options[key]))), (files) => [
    ...found,
    ...files.flat(),
  ]);
};

const readable = (key: string, path: string): Effect.Effect<Findings> =>
  Effect.promise(() =>
    access(path, constants.R_OK).then(
      () => [],
      (error: NodeJS.ErrnoException) => [
        { path: [key], message: `cannot read ${path}: ${error.code ?? "unknown error"}` },
      ],
    ),
  );
