/** What is wrong with the options of an HTTP client or server: addresses, limits, certificates and keys that fit. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Duration, Effect, Redacted } from "effect";
import type { Finding } from "./diagnostic.ts";
import type { HttpClient, HttpServer } from "./http.ts";
import { type PemUnreadable, readPem, readSecretPem } from "./pem.ts";
import type { TlsOptions } from "./tls.ts";

export type Findings = ReadonlyArray<Finding>;

/** For every section with an HTTP client that is in use. */
export const httpClient = (client: HttpClient): Effect.Effect<Findings> => {
  const protocol = URL.canParse(client.url) ? new URL(client.url).protocol : undefined;
  const found: Finding[] = [];
  if (protocol !== "http:" && protocol !== "https:") {
    found.push({
      path: ["url"],
      message: client.url === "" ? "is missing" : "expected a URL such as https://auth.example.com/",
    });
  }
  found.push(...longEnough("timeout", client.timeout));
  if (protocol === "https:") {
    found.push(...tls(client));
  }
  return Effect.map(Effect.all([certificates("cacert", client.cacert), keyPair(client)]), (all) => [
    ...found,
    ...all.flat(),
  ]);
};

/** For every section with an HTTP server that is in use. */
export const httpServer = (server: HttpServer): Effect.Effect<Findings> =>
  Effect.map(Effect.all([certificates("clientcacert", server.clientcacert), keyPair(server)]), (all) => [
    ...(server.cert === "" ? [] : tls(server)),
    ...all.flat(),
  ]);

const tls = ({ curves, cipher }: TlsOptions): Findings => notEmpty({ curves, cipher });

export const notEmpty = (lists: Readonly<Record<string, ReadonlyArray<string>>>): Findings =>
  Object.entries(lists)
    .filter(([, list]) => list.length === 0)
    .map(([key]) => ({ path: [key], message: "must not be an empty list" }));

export const longEnough = (key: string, duration: Duration.Duration): Findings =>
  Duration.toMillis(duration) < 100 ? [{ path: [key], message: "must be at least 100ms" }] : [];

const certificates = (key: string, field: string): Effect.Effect<Findings> =>
  Effect.match(readPem(field), {
    onFailure: ({ message }): Findings => [{ path: [key], message }],
    onSuccess: (text) => (text === undefined ? [] : mustBeCertificate(key, text)),
  });

const mustBeCertificate = (key: string, text: string): Findings =>
  certificate(text) === undefined ? [{ path: [key], message: "holds no certificate in PEM format" }] : [];

const keyPair = ({ cert, key }: { readonly cert: string; readonly key: Redacted.Redacted<string> }) =>
  Effect.match(
    Effect.all({ certText: named("cert", readPem(cert)), keyText: named("key", readSecretPem(key)) }),
    {
      onFailure: (finding): Findings => [finding],
      onSuccess: ({ certText, keyText }): Findings => {
        if (certText === undefined || keyText === undefined) {
          return certText === keyText ? [] : [aloneFinding(certText === undefined)];
        }
        const parsedKey = privateKey(keyText);
        if (parsedKey === undefined) {
          return [{ path: ["key"], message: "holds no private key in PEM format without a passphrase" }];
        }
        const parsedCert = certificate(certText);
        if (parsedCert === undefined) {
          return mustBeCertificate("cert", certText);
        }
        return parsedCert.checkPrivateKey(parsedKey)
          ? []
          : [{ path: ["key"], message: "is not the key of cert" }];
      },
    },
  );

const aloneFinding = (isKey: boolean): Finding =>
  isKey
    ? { path: ["key"], message: "there is a key without a cert" }
    : { path: ["cert"], message: "there is a cert without a key" };

const named = <A>(key: string, read: Effect.Effect<A, PemUnreadable>): Effect.Effect<A, Finding> =>
  Effect.mapError(read, ({ message }) => ({ path: [key], message }));

const certificate = (pem: string) => {
  try {
    return new X509Certificate(pem);
  } catch {
    // Why OpenSSL could not read it says less than that it could not.
    return undefined;
  }
};

const privateKey = (pem: Redacted.Redacted<string>) => {
  try {
    return createPrivateKey(Redacted.value(pem));
  } catch {
    // Same as above; and nothing of a key belongs into a message.
    return undefined;
  }
};

export const prefixed = (key: string, findings: Findings): Findings =>
  findings.map((finding) => ({ ...finding, path: [key, ...finding.path] }));

export const under = (key: string, findings: Effect.Effect<Findings>): Effect.Effect<Findings> =>
  Effect.map(findings, (found) => prefixed(key, found));
