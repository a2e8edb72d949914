/**
 * What no single value shows: fields that need each other, limits, files that must be there. The rules are those of
 * the reference; sections that are switched off are not looked at.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Duration, Effect, Redacted } from "effect";
import type { Finding, Path } from "./diagnostic.ts";
import type { HttpClient, HttpServer } from "./http.ts";
import { type PemUnreadable, readPem, readSecretPem } from "./pem.ts";
import type { Config, PerConnection } from "./schema.ts";
import type { AuthWebhook } from "./sections/auth.ts";
import type { TlsOptions } from "./tls.ts";

type Findings = ReadonlyArray<Finding>;

/** Everything that is wrong with a configuration, files included. */
export const validate = (config: Config): Effect.Effect<Findings> =>
  Effect.map(
    Effect.all([
      under("ssh", ssh(config.ssh)),
      under("auth", auth(config.auth)),
      under(
        "configserver",
        config.configserver.url === "" ? Effect.succeed([]) : httpClient(config.configserver),
      ),
      under("health", health(config.health)),
      // The configuration server may complete what the file leaves open, so that is judged for each connection.
      Effect.succeed(config.configserver.url === "" ? validatePerConnection(config) : []),
    ]),
    (all) => all.flat(),
  );

/** What is wrong with what one connection gets: of the backends, only the chosen one is looked at. */
export const validatePerConnection = ({ backend, process }: PerConnection): Findings => {
  switch (backend) {
    case "process":
      return prefixed("process", absolutePaths(process));
    default:
      return [];
  }
};

const absolutePaths = ({ shell, home }: Config["process"]): Findings =>
  Object.entries({ shell, home })
    .filter(([, path]) => path !== "" && !path.startsWith("/"))
    .map(([key]) => ({ path: [key], message: "expected an absolute path" }));

const ssh = (config: Config["ssh"]) => {
  const { clientAliveInterval, clientAliveCountMax, loginGraceTime, kex, macs, hostkeys } = config;
  const interval = Duration.toMillis(clientAliveInterval);
  const found: Finding[] = [];
  if (interval !== 0 && interval < 1000) {
    found.push({ path: ["clientAliveInterval"], message: "must be at least 1s, or 0 to switch it off" });
  }
  if (clientAliveCountMax < 1) {
    found.push({ path: ["clientAliveCountMax"], message: "must be at least 1" });
  }
  if (Duration.toMillis(loginGraceTime) < 0) {
    found.push({ path: ["loginGraceTime"], message: "must not be negative; 0 switches it off" });
  }
  found.push(...notEmpty({ kex, macs }));
  const unreadable = hostkeys.map((key, index) => readable(["hostkeys", index], readSecretPem(key)));
  return Effect.map(Effect.all(unreadable), (keys) => [...found, ...keys.flat()]);
};

const auth = ({ password, publicKey, keyboardInteractive, gssapi, authz, users }: Config["auth"]) => {
  const found: Finding[] = [];
  const methods = { password, publicKey };
  if ([password, publicKey, keyboardInteractive, gssapi].every(({ method }) => method === "")) {
    found.push({ path: [], message: "no authentication method is configured: nobody could log in" });
  }
  if (users.length === 0) {
    for (const [name, { method }] of Object.entries(methods)) {
      if (method === "users") {
        found.push({ path: [name, "method"], message: "auth.users lists nobody: nobody could log in" });
      }
    }
  }
  const names = users.map(({ name }) => name);
  names.forEach((name, index) => {
    if (names.indexOf(name) !== index) {
      found.push({ path: ["users", index, "name"], message: "is the name of another user too" });
    }
  });
  const webhooks = Object.entries({ ...methods, authz })
    .filter(([, { method }]) => method === "webhook")
    .map(([name, section]) => under(name, under("webhook", authWebhook(section.webhook))));
  return Effect.map(Effect.all(webhooks), (all) => [...found, ...all.flat()]);
};

const authWebhook = (webhook: AuthWebhook) =>
  Effect.map(httpClient(webhook), (found) => [...found, ...longEnough("authTimeout", webhook.authTimeout)]);

const health = (config: Config["health"]) =>
  config.enable
    ? Effect.map(Effect.all([httpServer(config), under("client", httpClient(config.client))]), (all) =>
        all.flat(),
      )
    : Effect.succeed([]);

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

const notEmpty = (lists: Readonly<Record<string, ReadonlyArray<string>>>): Findings =>
  Object.entries(lists)
    .filter(([, list]) => list.length === 0)
    .map(([key]) => ({ path: [key], message: "must not be an empty list" }));

const longEnough = (key: string, duration: Duration.Duration): Findings =>
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

const readable = (path: Path, read: ReturnType<typeof readSecretPem>): Effect.Effect<Findings> =>
  Effect.match(read, {
    onFailure: ({ message }): Findings => [{ path, message }],
    onSuccess: (): Findings => [],
  });

const prefixed = (key: string, findings: Findings): Findings =>
  findings.map((finding) => ({ ...finding, path: [key, ...finding.path] }));

const under = (key: string, findings: Effect.Effect<Findings>): Effect.Effect<Findings> =>
  Effect.map(findings, (found) => prefixed(key, found));
