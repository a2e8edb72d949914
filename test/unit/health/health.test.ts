import { once } from "node:events";
import { get, type IncomingMessage, request } from "node:http";
import { createServer } from "node:net";
import { text } from "node:stream/consumers";
import { Effect, Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Health } from "../../../src/config/sections/health.ts";
import { askHealth } from "../../../src/health/client.ts";
import { healthService } from "../../../src/health/service.ts";
import { certificateAuthority } from "../../support/certificates.ts";
import { always, httpServer } from "../../support/http-server.ts";
import { memoryLogger } from "../../support/memory-logger.ts";
import { freePort } from "../../support/ports.ts";
import { failureOf, scoped } from "../../support/scoped.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const config = (options: typeof Health.Encoded): Health => Schema.decodeUnknownSync(Health)(options);

const serving = async (options: typeof Health.Encoded = {}) => {
  const log = memoryLogger();
  const state = { healthy: true };
  const enabled = config({ enable: true, listen: "127.0.0.1:0", ...options });
  const { value, close } = await scoped(healthService(enabled, () => state.healthy, log.logger));
  return { ...value, state, log, close };
};

const asked = async (url: string, accept?: string) => {
  const [response]: IncomingMessage[] = await once(
    get(url, { headers: accept ? { accept } : {} }),
    "response",
  );
  if (response === undefined) throw new Error("unreachable");
  return { status: response.statusCode, type: response.headers["content-type"], body: await text(response) };
};

describe("the health endpoint", () => {
  it("says on every path whether all services run", async () => {
    const { url, state } = await serving();
    const ok = { status: 200, type: "application/json", body: '"ok"' };
    const notOk = { status: 503, type: "application/json", body: '"not ok"' };
    expect(await asked(`${url}/`)).toEqual(ok);
    expect(await asked(`${url}/anything?else`)).toEqual(ok);
    state.healthy = false;
    expect(await asked(`${url}/`)).toEqual(notOk);
    state.healthy = true;
    expect(await asked(`${url}/`)).toEqual(ok);
  });

  it.each([
    ["text/plain", "text/plain; charset=utf-8", "ok"],
    ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/plain; charset=utf-8", "ok"],
    ["application/json;q=0.5, text/*", "text/plain; charset=utf-8", "ok"],
    ["text/plain;q=0.5, application/json", "application/json", '"ok"'],
    ["text/plain;q=0, */*", "application/json", '"ok"'],
    ["*/*", "application/json", '"ok"'],
    ["image/png", "application/json", '"ok"'],
    [";;q=,=", "application/json", '"ok"'],
  ])("answers a client that accepts %s with %s", async (accept, type, body) => {
    const { url } = await serving();
    expect(await asked(`${url}/`, accept)).toEqual({ status: 200, type, body });
  });

  it("answers HEAD and POST too", async () => {
    const { url, state } = await serving();
    state.healthy = false;
    for (const method of ["HEAD", "POST"]) {
      const [response]: IncomingMessage[] = await once(request(url, { method }).end("body"), "response");
      expect(response?.statusCode).toBe(503);
      response?.resume();
    }
  });

  it("logs where it is", async () => {
    const { url, log } = await serving();
    expect(log.entries).toMatchObject([
      { level: "info", code: "HEALTH_AVAILABLE", message: `Health check endpoint available at ${url}` },
    ]);
  });

  it("is gone with its scope", async () => {
    const { url, close } = await serving();
    await close();
    await expect(asked(url)).rejects.toThrow("ECONNREFUSED");
  });
});

describe("the health check", () => {
  const checking = (url: string, options: typeof Health.Encoded.client = {}) => {
    const log = memoryLogger();
    const health = config({ enable: true, client: { url, timeout: "200ms", ...options } });
    return { log, check: askHealth(health, log.logger) };
  };

  it("succeeds while the daemon is healthy, and fails while it is not", async () => {
    const { url, state } = await serving();
    await Effect.runPromise(checking(url).check);
    state.healthy = false;
    expect(await failureOf(checking(url).check)).toMatchObject({
      code: "CORE_HEALTH_CHECK_FAILED",
      details: { statusCode: 503 },
    });
  });

  it("succeeds where health checks are not enabled, as the reference's", async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const health = config({ enable: false, client: { url } });
    await Effect.runPromise(askHealth(health, memoryLogger().logger));
  });

  it("fails when nobody listens, and warns why", async () => {
    const { check, log } = checking(`http://127.0.0.1:${await freePort()}`);
    expect(await failureOf(check)).toMatchObject({ code: "CORE_HEALTH_CHECK_FAILED" });
    expect(log.entries.filter(({ level }) => level === "warning")).toMatchObject([
      { code: "HEALTH_REQUEST_FAILED", message: expect.stringContaining("ECONNREFUSED") },
    ]);
  });

  it("fails when nobody answers in time", async () => {
    const silent = createServer((socket) => socket.on("error", () => {}).resume()).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const address = silent.address();
    if (address === null || typeof address === "string") throw new Error("unreachable");
    const { check, log } = checking(`http://127.0.0.1:${address.port}`);
    expect(await failureOf(check)).toMatchObject({ code: "CORE_HEALTH_CHECK_FAILED" });
    expect(log.codes()).toContain("HEALTH_REQUEST_FAILED");
    const closed = once(silent, "close");
    silent.close();
    await closed;
  });

  it("is not taken in by other servers", async () => {
    for (const respond of [
      always('"ok"', 404),
      always("<h1>Welcome to nginx!</h1>", 200, { "content-type": "text/html" }),
      always("", 302, { location: "/login" }),
    ]) {
      const { url } = await httpServer(respond);
      expect(await failureOf(checking(url).check)).toMatchObject({ code: "CORE_HEALTH_CHECK_FAILED" });
    }
  });

  it("asks over TLS with a client certificate where the endpoint demands one", async () => {
    const authority = await certificateAuthority(await temporaryDirectory(), "authority");
    const pair = await authority.issue("berth");
    const { url } = await serving({ ...pair, clientcacert: authority.cert });
    await Effect.runPromise(checking(url, { cacert: authority.cert, ...pair, timeout: "5s" }).check);
    const { check } = checking(url, { cacert: authority.cert, timeout: "5s" });
    expect(await failureOf(check)).toMatchObject({ code: "CORE_HEALTH_CHECK_FAILED" });
  });
});
