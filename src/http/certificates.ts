/**
 * Certificates and keys of HTTP clients and servers: PEM text, or files that are read again when they change, so
 * that a rotated certificate needs no restart.
 */
import { X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import { Effect, Redacted } from "effect";
import { isPemText, type PemUnreadable, readPem, readSecretPem } from "../config/pem.ts";
import { codes } from "../log/codes.ts";
import type { Logger } from "../log/logger.ts";
import { HttpCertificateInvalid, reasonOf } from "./failures.ts";

/** The fields of a configuration. */
export interface CertificateFields {
  /** Authorities to trust. */
  readonly authorities: string;
  readonly cert: string;
  readonly key: Redacted.Redacted<string>;
}

/** What the fields hold or name, in PEM. */
export interface Certificates {
  readonly authorities: string | undefined;
  readonly pair: { readonly cert: string; readonly key: Redacted.Redacted<string> } | undefined;
}

export interface RotatingCertificates {
  readonly initial: Certificates;
  /**
   * The certificates, if their files have changed since this was last asked. If what is there now cannot be used
   * (half of a rotation, say) a warning tells it, and what was in use stays in use.
   */
  readonly changed: Effect.Effect<Certificates | undefined>;
}

export type CertificateFailure = HttpCertificateInvalid | PemUnreadable;

export const openCertificates = (
  fields: CertificateFields,
  logger: Logger,
): Effect.Effect<RotatingCertificates, CertificateFailure> =>
  Effect.gen(function* () {
    const files = [fields.authorities, fields.cert, Redacted.value(fields.key)].filter(isFile);
    let version = yield* versionOf(files);
    const initial = yield* readCertificates(fields);
    const changed = Effect.gen(function* () {
      const found = yield* versionOf(files);
      if (found === version) return undefined;
      version = found;
      return yield* Effect.catch(readCertificates(fields), (failed) =>
        Effect.sync(() => {
          const message = `new certificates are not used: ${failed.message}`;
          logger.warning(codes.HTTP_CERTIFICATE_INVALID, message, failed.details);
          return undefined;
        }),
      );
    });
    return { initial, changed: files.length === 0 ? Effect.succeed(undefined) : changed };
  });

const isFile = (field: string): boolean => field.trim() !== "" && !isPemText(field);

/** Differs when a file does; a file that is missing is a version of its own. */
const versionOf = (files: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.promise(async () => {
    const stats = await Promise.all(files.map((file) => stat(file, { bigint: true }).catch(() => undefined)));
    return stats.map((found) => (found ? `${found.ino} ${found.size} ${found.mtimeNs}` : "missing")).join();
  });

const readCertificates = (fields: CertificateFields): Effect.Effect<Certificates, CertificateFailure> =>
  Effect.gen(function* () {
    const authorities = yield* readPem(fields.authorities);
    const cert = yield* readPem(fields.cert);
    const key = yield* readSecretPem(fields.key);
    if ((cert === undefined) !== (key === undefined)) {
      const message = cert === undefined ? "there is a key without a cert" : "there is a cert without a key";
      return yield* new HttpCertificateInvalid({ message });
    }
    const pair = cert !== undefined && key !== undefined ? { cert, key } : undefined;
    yield* usable({ authorities, pair });
    return { authorities, pair };
  });

/** OpenSSL ignores authorities it cannot read: here they are an error before anybody relies on them. */
const usable = ({ authorities, pair }: Certificates): Effect.Effect<void, HttpCertificateInvalid> =>
  Effect.try({
    try: () => {
      if (authorities !== undefined) new X509Certificate(authorities);
      if (pair !== undefined) createSecureContext({ cert: pair.cert, key: Redacted.value(pair.key) });
    },
    catch: (cause) =>
      new HttpCertificateInvalid({ message: `a certificate or key cannot be used (${reasonOf(cause)})` }),
  });

/** Where systems keep the authorities they trust: Debian, Fedora, SUSE, Alpine. */
const systemBundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * The authorities that the system trusts, which the reference trusts too, or those of the file that the environment
 * variable `SSL_CERT_FILE` names; undefined leaves it to those that come with Node.js.
 */
export const systemAuthorities: Effect.Effect<string | undefined> = Effect.promise(async () => {
  const { SSL_CERT_FILE } = process.env;
  for (const bundle of SSL_CERT_FILE ? [SSL_CERT_FILE] : systemBundles) {
    const found = await readFile(bundle, "utf8").catch(() => undefined);
    if (found !== undefined) return found;
  }
  return undefined;
});
