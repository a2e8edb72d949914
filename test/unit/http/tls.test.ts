import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SecureVersion, TLSSocket } from "node:tls";
import { Effect, Schema } from "effect";
import { beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { HttpClient as Options } from "../../../src/config/http.ts";
import { httpClient } from "../../../src/http/client.ts";
import { type Authority, certificateAuthority, type Pair } from "../../support/certificates.ts";
import { httpServer, type Respond } from "../../support/http-server.ts";
import { memoryLogger } from "../../support/memory-logger.ts";
import { failureOf, scoped } from "../../support/scoped.ts";
import { fileTemporaryDirectory, temporaryDirectory } from "../../support/temporary.ts";

let authority: Authority;
let stranger: Authority;
let serverPair: Pair;
let clientPair: Pair;
let strangerPair: Pair;

beforeAll(async () => {
  const directory = await fileTemporaryDirectory();
  authority = await certificateAuthority(directory, "authority");
  stranger = await certificateAuthority(directory, "stranger");
  serverPair = await authority.issue("server");
  clientPair = await authority.issue("client");
  strangerPair = await stranger.issue("client");
});

const decoded = (options: typeof Options.Encoded) => Schema.decodeUnknownSync(Options)(options);

const clientOf = async (options: typeof Options.Encoded) => {
  const log = memoryLogger();
  const { value: client } = await scoped(httpClient(decoded(options), log.logger));
  return { ...client, log };
};

/** Answers with what TLS agreed on. */
const tellTls: Respond = (response, { socket }) => {
  const { getPeerCertificate, getProtocol, getCipher } = socket as TLSSocket;
  const told = {
    client: getPeerCertificate.call(socket).subject?.CN ?? null,
    protocol: getProtocol.call(socket),
    cipher: getCipher.call(socket).name,
  };
  // Each request makes a connection of its own, with the certificates of that moment.
  response.writeHead(200, { connection: "close" }).end(JSON.stringify(told));
};

const secureServer = (options = {}) => httpServer(tellTls, { ...serverPair, ...options });

const demandingServer = () =>
  secureServer({ ca: authority.cert, requestCert: true, rejectUnauthorized: true });

describe("the server's certificate", () => {
  it("is verified by the authority given as PEM text", async () => {
    const { url } = await secureServer();
    const { postJson } = await clientOf({ url, cacert: authority.cert });
    expect(await Effect.runPromise(postJson("/", {}))).toMatchObject({
      status: 200,
      body: { client: null, protocol: "TLSv1.3" },
    });
  });

  it("is verified by the authority given as a file", async () => {
    const { url } = await secureServer();
    const cacert = join(await temporaryDirectory(), "ca.pem");
    await writeFile(cacert, authority.cert);
    const { postJson } = await clientOf({ url, cacert });
    expect(await Effect.runPromise(postJson("/", {}))).toMatchObject({ status: 200 });
  });

  it("is verified by the authorities that the system trusts if none is given", async () => {
    const { url } = await secureServer();
    const bundle = join(await temporaryDirectory(), "bundle.pem");
    await writeFile(bundle, `${stranger.cert}${authority.cert}`);
    vi.stubEnv("SSL_CERT_FILE", bundle);
    onTestFinished(() => void vi.unstubAllEnvs());
    const { postJson } = await clientOf({ url });
    expect(await Effect.runPromise(postJson("/", {}))).toMatchObject({ status: 200 });
  });

  it("of an authority nobody named is refused", async () => {
    const { url, received } = await secureServer();
    for (const options of [{}, { cacert: stranger.cert }]) {
      const { postJson } = await clientOf({ url, ...options });
      expect(await failureOf(postJson("/", {}))).toMatchObject({
        code: "HTTP_CLIENT_CONNECTION_FAILED",
        message: expect.stringMatching(/unable to (verify|get)/),
      });
    }
    expect(received).toHaveLength(0);
  });

  it("for another name is refused", async () => {
    const { port, received } = await secureServer();
    const named = await authority.issue("elsewhere.example", []);
    const elsewhere = await httpServer(tellTls, named);
    const { postJson } = await clientOf({ url: elsewhere.url, cacert: authority.cert });
    expect(await failureOf(postJson("/", {}))).toMatchObject({
      code: "HTTP_CLIENT_CONNECTION_FAILED",
      message: expect.stringContaining("ERR_TLS_CERT_ALTNAME_INVALID"),
    });
    const { postJson: byName } = await clientOf({ url: `https://localhost:${port}`, cacert: authority.cert });
    expect(await Effect.runPromise(byName("/", {}))).toMatchObject({ status: 200 });
    expect(received).toHaveLength(1);
  });

  it("does not keep a redirect from going on in the clear: that is refused", async () => {
    const plain = await httpServer((response) => response.end("{}"));
    const location = `${plain.url}/password`;
    const server = await httpServer((response) => response.writeHead(307, { location }).end(), serverPair);
    const { postJson } = await clientOf({ url: server.url, cacert: authority.cert, allowRedirects: true });
    expect(await failureOf(postJson("/password", { password: "hunter2" }))).toMatchObject({
      code: "HTTP_CLIENT_REDIRECTS_DISABLED",
      message: expect.stringContaining("from https to http"),
    });
    expect(plain.received).toHaveLength(0);
  });
});

describe("the client's certificate", () => {
  it("is shown to a server that demands it", async () => {
    const { url } = await demandingServer();
    const { postJson } = await clientOf({ url, cacert: authority.cert, ...clientPair });
    expect(await Effect.runPromise(postJson("/", {}))).toMatchObject({ body: { client: "client" } });
  });

  it("is missed, or not accepted, by a server that demands another", async () => {
    const { url, received } = await demandingServer();
    for (const pair of [{}, strangerPair]) {
      const { postJson } = await clientOf({ url, cacert: authority.cert, ...pair });
      expect(await failureOf(postJson("/", {}))).toMatchObject({ code: "HTTP_CLIENT_CONNECTION_FAILED" });
    }
    expect(received).toHaveLength(0);
  });

  it.each<[string, () => Partial<Pair> & { cacert?: string }]>([
    ["a cert without a key", () => ({ cert: clientPair.cert })],
    ["a key without a cert", () => ({ key: clientPair.key })],
    ["a key of another cert", () => ({ cert: clientPair.cert, key: serverPair.key })],
    [
      "a cert that is none",
      () => ({ cert: "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", key: clientPair.key }),
    ],
    [
      "an authority that is none",
      () => ({ cacert: "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----" }),
    ],
  ])("is refused before anything is asked: %s", async (_name, options) => {
    const failed = await failureOf(
      httpClient(decoded({ url: "https://127.0.0.1:1", ...options() }), memoryLogger().logger),
    );
    expect(failed).toMatchObject({ code: "HTTP_CERTIFICATE_INVALID" });
    expect(`${failed.message}${JSON.stringify(failed)}`).not.toContain("PRIVATE KEY");
  });

  it("must be in the file that is named", async () => {
    const options = decoded({
      url: "https://127.0.0.1:1",
      cert: "/nonexistent.pem",
      key: "/nonexistent.key",
    });
    expect(await failureOf(httpClient(options, memoryLogger().logger))).toMatchObject({
      code: "CORE_CONFIG_ERROR",
      message: expect.stringContaining("/nonexistent.pem"),
    });
  });

  it("is read again when its files change, and stays in use while they do not fit together", async () => {
    const { url } = await demandingServer();
    const directory = await temporaryDirectory();
    const [cert, key] = [join(directory, "tls.crt"), join(directory, "tls.key")];
    await writeFile(cert, clientPair.cert);
    await writeFile(key, clientPair.key);
    const { postJson, log } = await clientOf({ url, cacert: authority.cert, cert, key });
    const shown = () => Effect.runPromise(Effect.map(postJson("/", {}), ({ body }) => body));
    expect(await shown()).toMatchObject({ client: "client" });
    const next = await authority.issue("next");
    const replace = async (file: string, text: string) => {
      await writeFile(`${file}.new`, text);
      await rename(`${file}.new`, file);
    };
    await replace(cert, next.cert);
    expect(await shown()).toMatchObject({ client: "client" });
    expect(log.entries.filter(({ level }) => level === "warning")).toMatchObject([
      {
        code: "HTTP_CERTIFICATE_INVALID",
        message: expect.stringMatching(/^new certificates are not used: /),
      },
    ]);
    expect(await shown()).toMatchObject({ client: "client" });
    await replace(key, next.key);
    expect(await shown()).toMatchObject({ client: "next" });
    expect(log.codes().filter((code) => code.startsWith("HTTP_CERTIFICATE"))).toEqual([
      "HTTP_CERTIFICATE_INVALID",
      "HTTP_CERTIFICATE_CHANGED",
    ]);
  });
});

describe("what TLS may agree on", () => {
  const versions = (minVersion: SecureVersion, maxVersion: SecureVersion) => ({ minVersion, maxVersion });

  it("is version 1.3 unless the configuration says 1.2", async () => {
    const { url, received } = await secureServer(versions("TLSv1.2", "TLSv1.2"));
    const { postJson } = await clientOf({ url, cacert: authority.cert });
    expect(await failureOf(postJson("/", {}))).toMatchObject({ code: "HTTP_CLIENT_CONNECTION_FAILED" });
    expect(received).toHaveLength(0);
    const { postJson: older } = await clientOf({ url, cacert: authority.cert, tlsVersion: "1.2" });
    expect(await Effect.runPromise(older("/", {}))).toMatchObject({ body: { protocol: "TLSv1.2" } });
  });

  it("is a cipher suite of the list", async () => {
    const { url } = await secureServer({
      ...versions("TLSv1.2", "TLSv1.2"),
      ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384",
    });
    const options = { url, cacert: authority.cert, tlsVersion: "1.2" } as const;
    const { postJson } = await clientOf(options);
    expect(await failureOf(postJson("/", {}))).toMatchObject({ code: "HTTP_CLIENT_CONNECTION_FAILED" });
    const cipher = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"];
    const { postJson: other } = await clientOf({ ...options, cipher });
    expect(await Effect.runPromise(other("/", {}))).toMatchObject({
      body: { cipher: "ECDHE-ECDSA-AES256-GCM-SHA384" },
    });
  });

  it("is a curve of the list", async () => {
    const { url } = await secureServer({ ecdhCurve: "secp384r1" });
    const { postJson } = await clientOf({ url, cacert: authority.cert, curves: ["x25519"] });
    expect(await failureOf(postJson("/", {}))).toMatchObject({ code: "HTTP_CLIENT_CONNECTION_FAILED" });
    const { postJson: other } = await clientOf({ url, cacert: authority.cert, curves: ["secp384r1"] });
    expect(await Effect.runPromise(other("/", {}))).toMatchObject({ status: 200 });
  });
});
