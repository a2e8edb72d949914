/** How the API server is reached and who we are there: every way the configuration knows, and files that change. */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Duration, Effect, Schema } from "effect";
import { beforeAll, describe, expect, it } from "vitest";
import { ClusterAccess } from "../../../../src/backend/kubernetes/access.ts";
import { podApi } from "../../../../src/backend/kubernetes/api.ts";
import { Throttle } from "../../../../src/backend/kubernetes/throttle.ts";
import { Kubernetes } from "../../../../src/config/sections/kubernetes.ts";
import { type Authority, certificateAuthority, type Pair } from "../../../support/certificates.ts";
import { testApi } from "../../../support/kubernetes-api/server.ts";
import { memoryLogger } from "../../../support/memory-logger.ts";
import { fileTemporaryDirectory, temporaryDirectory } from "../../../support/temporary.ts";

let authority: Authority;
let server: Pair;
let client: Pair;
beforeAll(async () => {
  authority = await certificateAuthority(await fileTemporaryDirectory(), "authority");
  server = await authority.issue("api.example.com");
  client = await authority.issue("berth");
});

const connection = (options: object) =>
  Schema.decodeUnknownSync(Kubernetes)({ connection: options }).connection;

/** Asks for a list of pods; the code of what went wrong, or `ok`. */
const asks = (access: ClusterAccess): Promise<string> => {
  const api = podApi({
    access,
    throttle: new Throttle(-1, 1),
    timeout: Duration.seconds(5),
    logger: memoryLogger().logger,
  });
  return Effect.runPromise(
    Effect.match(api.list("default", "berth-mode"), { onSuccess: () => "ok", onFailure: ({ code }) => code }),
  );
};

/** As rotation does it: the new file takes the old one's place. */
const replace = async (path: string, text: string): Promise<void> => {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
};

describe("credentials", () => {
  it.each([
    [{ username: "jane", password: "s3cret" }, `Basic ${Buffer.from("jane:s3cret").toString("base64")}`],
    [{ bearerToken: "t0ken" }, "Bearer t0ken"],
    [{}, undefined],
  ])("%j are sent", async (options, authorization) => {
    const api = await testApi();
    expect(await asks(ClusterAccess.from(connection({ host: api.url, ...options })))).toBe("ok");
    expect(api.requests.at(-1)?.authorization).toBe(authorization);
  });

  it("are read again from a token's file", async () => {
    const api = await testApi();
    const file = join(await temporaryDirectory(), "token");
    const access = ClusterAccess.from(connection({ host: api.url, bearerTokenFile: file }));
    expect(await asks(access)).toBe("KUBERNETES_CONFIG_ERROR");
    for (const token of ["first", "second"]) {
      await replace(file, `${token}\n`);
      expect(await asks(access)).toBe("ok");
      expect(api.requests.at(-1)?.authorization).toBe(`Bearer ${token}`);
    }
  });

  it("are those of the service account where nothing is configured", async () => {
    const api = await testApi({ tls: server });
    const { hostname, port } = new URL(api.url);
    const account = await temporaryDirectory();
    await writeFile(join(account, "ca.crt"), authority.cert);
    await writeFile(join(account, "token"), "mounted");
    const environment = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
    const access = ClusterAccess.from(connection({}), environment, account);
    expect(await asks(access)).toBe("ok");
    await replace(join(account, "token"), "renewed");
    expect(await asks(access)).toBe("ok");
    expect(api.requests.map(({ authorization }) => authorization)).toEqual([
      "Bearer mounted",
      "Bearer renewed",
    ]);
  });

  it("are those of a kubeconfig file, also after it was replaced", async () => {
    const api = await testApi();
    const file = join(await temporaryDirectory(), "config");
    const kubeconfig = (token: string) =>
      JSON.stringify({
        clusters: [{ name: "a", cluster: { server: api.url, "insecure-skip-tls-verify": true } }],
        users: [{ name: "b", user: { token } }],
        contexts: [{ name: "c", context: { cluster: "a", user: "b" } }],
        "current-context": "c",
      });
    await writeFile(file, kubeconfig("first"));
    const access = ClusterAccess.from(connection({ kubeconfig: file }));
    expect(await asks(access)).toBe("ok");
    await replace(file, kubeconfig("another"));
    expect(await asks(access)).toBe("ok");
    expect(api.requests.map(({ authorization }) => authorization)).toEqual([
      "Bearer first",
      "Bearer another",
    ]);
    await replace(file, "{}");
    expect(await asks(access)).toBe("KUBERNETES_CONFIG_ERROR");
  });
});

describe("TLS", () => {
  it("verifies the server by an authority's file, which is read again", async () => {
    const api = await testApi({ tls: server });
    const folder = await temporaryDirectory();
    const stranger = await certificateAuthority(folder, "stranger");
    const file = join(folder, "ca.crt");
    await writeFile(file, stranger.cert);
    const access = ClusterAccess.from(connection({ host: api.url, cacertFile: file }));
    expect(await asks(access)).toBe("KUBERNETES_API_UNAVAILABLE");
    await replace(file, authority.cert);
    expect(await asks(access)).toBe("ok");
  });

  it("proves who we are by certificates, in files that are read again or as text", async () => {
    const api = await testApi({ tls: { ...server, ca: authority.cert } });
    const folder = join(await temporaryDirectory(), "pki");
    await mkdir(folder);
    const stranger = await (await certificateAuthority(folder, "stranger")).issue("berth");
    const [certFile, keyFile] = [join(folder, "tls.crt"), join(folder, "tls.key")];
    await writeFile(certFile, stranger.cert);
    await writeFile(keyFile, stranger.key);
    const trusting = { host: api.url, cacert: authority.cert };
    const access = ClusterAccess.from(connection({ ...trusting, certFile, keyFile }));
    expect(await asks(access)).toBe("KUBERNETES_API_UNAVAILABLE");
    await replace(certFile, client.cert);
    await replace(keyFile, client.key);
    expect(await asks(access)).toBe("ok");
    expect(await asks(ClusterAccess.from(connection({ ...trusting, ...client })))).toBe("ok");
    expect(await asks(ClusterAccess.from(connection(trusting)))).toBe("KUBERNETES_API_UNAVAILABLE");
  });

  it("expects the name that is configured", async () => {
    const api = await testApi({ tls: await authority.issue("api.example.com", []) });
    const trusting = { host: api.url, cacert: authority.cert };
    expect(await asks(ClusterAccess.from(connection(trusting)))).toBe("KUBERNETES_API_UNAVAILABLE");
    const named = connection({ ...trusting, serverName: "api.example.com" });
    expect(await asks(ClusterAccess.from(named))).toBe("ok");
  });
});

describe("the limit of requests", () => {
  it("lets a burst through and then so many each second", async () => {
    let now = 0;
    const throttle = new Throttle(10, 3, () => now);
    const waits = () => Effect.runPromise(throttle.take);
    expect([await waits(), await waits(), await waits()]).toEqual([0, 0, 0]);
    expect(await Promise.all([waits(), waits()])).toEqual([100, 200]);
    now += 1000;
    expect([await waits(), await waits(), await waits()]).toEqual([0, 0, 0]);
  });

  it("gives back what somebody does not wait for any more", async () => {
    const throttle = new Throttle(10, 1, () => 0);
    await Effect.runPromise(throttle.take);
    const abort = new AbortController();
    const leaving = Effect.runPromise(throttle.take, { signal: abort.signal });
    abort.abort();
    await expect(leaving).rejects.toThrow();
    expect(await Effect.runPromise(throttle.take)).toBe(100);
  });

  it("is none below zero", async () => {
    const throttle = new Throttle(-1, 1, () => 0);
    expect(await Promise.all([1, 2, 3].map(() => Effect.runPromise(throttle.take)))).toEqual([0, 0, 0]);
  });
});
