import { Duration, Effect, Redacted, Schema } from "effect";
import { describe, expect, test } from "vitest";
import type { Identity } from "../../../machines/facts.ts";
import { ConfigServer } from "../../../src/config/sections/configserver.ts";
import { ConfigBackendFailed, requestConfig } from "../../../src/configserver/client.ts";
import { httpClient } from "../../../src/http/client.ts";
import { recordedLog } from "../../support/recorded-log.ts";
import { revealed } from "../../support/revealed.ts";
import { answer, type Behaviour, uselessAnswers, webhookServer } from "../../support/webhook-server.ts";

const text = (value: string, sensitive = false) => ({ value: Redacted.make(value), sensitive });
const connection = {
  connectionId: "0123456789ABCDEF",
  remoteAddress: "127.0.0.1:50000",
  clientVersion: "SSH-2.0-test",
  username: "jane",
  authenticatedUsername: "jane@example.com",
};
const jane: Identity = {
  ...connection,
  metadata: { team: text("blue"), token: text("hush1", true) },
  environment: { A: text("1"), B: text("hush2", true) },
  files: { "/key": { content: Redacted.make(Buffer.from("hush3")), sensitive: true } },
};

interface Options {
  readonly deadline?: Duration.Input;
  readonly timeout?: string;
  readonly transmitSensitiveMetadata?: boolean;
}

const asking = async (
  behaviour: Behaviour,
  { deadline = "5 seconds", timeout = "2s", transmitSensitiveMetadata = false }: Options = {},
) => {
  const server = await webhookServer(behaviour);
  const log = recordedLog();
  const config = Schema.decodeUnknownSync(ConfigServer)({
    url: `${server.url}/config`,
    timeout,
    transmitSensitiveMetadata,
  });
  const request = Effect.scoped(
    Effect.gen(function* () {
      const client = yield* httpClient(config, log.logger);
      return yield* requestConfig(client, config, log.logger)(jane, Duration.fromInputUnsafe(deadline));
    }),
  );
  return { server, log, request };
};

const publicRequest = {
  ...connection,
  metadata: { team: { value: "blue", sensitive: false } },
  environment: { A: { value: "1", sensitive: false } },
};

describe("the request", () => {
  test("goes to the configured URL itself with everything that is not sensitive", async () => {
    const { server, log, request } = await asking(answer({ config: {} }));
    await Effect.runPromise(request);
    expect(server.asked).toMatchObject([{ method: "POST", path: "/config" }]);
    expect(server.asked[0]?.body).toEqual(publicRequest);
    expect(log.codes().filter((code) => code.startsWith("CONFIG"))).toEqual([
      "CONFIG_REQUEST",
      "CONFIG_RESPONSE",
    ]);
    expect(log.text()).not.toContain("hush");
  });

  test("holds what is sensitive when the operator wants it to", async () => {
    const { server, log, request } = await asking(answer({ config: {} }), {
      transmitSensitiveMetadata: true,
    });
    await Effect.runPromise(request);
    expect(server.asked[0]?.body).toEqual({
      ...publicRequest,
      metadata: { ...publicRequest.metadata, token: { value: "hush1", sensitive: true } },
      environment: { ...publicRequest.environment, B: { value: "hush2", sensitive: true } },
      files: { "/key": { value: Buffer.from("hush3").toString("base64"), sensitive: true } },
    });
    expect(log.text()).not.toContain("hush");
  });
});

describe("the answer", () => {
  test("is handed on with what it adds; the configuration is not decoded here", async () => {
    const { request } = await asking(
      answer({
        config: { docker: { execution: { container: { image: "busybox" } } }, unknwon: 1 },
        authenticatedUsername: "jane.doe",
        metadata: { floor: { value: "2" } },
        environment: { D: { value: "4", sensitive: true } },
        files: { "/etc/motd": { value: "aGk=" } },
      }),
    );
    expect(revealed(await Effect.runPromise(request))).toEqual({
      config: { docker: { execution: { container: { image: "busybox" } } }, unknwon: 1 },
      additions: {
        authenticatedUsername: "jane.doe",
        metadata: { floor: { value: "2", sensitive: false } },
        environment: { D: { value: "4", sensitive: true } },
        files: { "/etc/motd": { content: "hi", sensitive: false } },
      },
    });
  });

  test.each([
    ["no config", {}],
    ["a config that is null", { config: null }],
    [
      "zero values, as the reference's Go library sends",
      { config: {}, remoteAddress: "<nil>:0", username: "" },
    ],
  ])("may have %s", async (_, body) => {
    const { request } = await asking(answer(body, 200, { "content-type": "text/plain" }));
    expect(await Effect.runPromise(request)).toEqual({
      config: {},
      additions: { authenticatedUsername: "", metadata: {}, environment: {}, files: {} },
    });
  });
});

describe("an answer that is none", () => {
  test.each(uselessAnswers)("%s", async (_, behaviour) => {
    const { log, request } = await asking(behaviour, { deadline: "250 millis", timeout: "100ms" });
    const failed = await Effect.runPromise(Effect.flip(request));
    expect(failed).toBeInstanceOf(ConfigBackendFailed);
    expect(failed).toMatchObject({
      code: "CONFIG_BACKEND_ERROR",
      userMessage: expect.stringContaining("can't be configured"),
    });
    expect(log.codes()).not.toContain("CONFIG_RESPONSE");
  });

  test.each([
    ["CONFIG_INVALID_STATUS_CODE", answer({ config: {} }, 500)],
    ["HTTP_CLIENT_DECODE_FAILED", answer({ config: {}, environment: 7 })],
    ["HTTP_CLIENT_CONNECTION_FAILED", ((response) => response.destroy()) as Behaviour],
  ])("is logged with %s", async (reason, behaviour) => {
    const { log, request } = await asking(behaviour, { deadline: "600 millis" });
    expect(await Effect.runPromise(Effect.flip(request))).toMatchObject({ details: { reason } });
    const [first] = log.entries.filter(({ code }) => code === "CONFIG_BACKEND_ERROR");
    expect(first).toMatchObject({
      level: "debug",
      details: { reason, username: "jane", connectionId: connection.connectionId },
    });
  });
});

test("a blip of the server costs a moment", async () => {
  const { server, request } = await asking((response, asked, count) =>
    (count === 1 ? answer("", 503) : answer({ config: {} }))(response, asked, count),
  );
  const [duration] = await Effect.runPromise(Effect.timed(request));
  expect(Duration.toMillis(duration)).toBeLessThan(1500);
  expect(server.asked).toHaveLength(2);
});

test("a connection that ends aborts the request", async () => {
  const { server, request } = await asking(() => {}, { deadline: "60 seconds", timeout: "60s" });
  const stop = new AbortController();
  const login = Effect.runPromise(request, { signal: stop.signal });
  await server.askedTimes(1);
  stop.abort();
  await expect(login).rejects.toThrow();
  expect(await server.asked[0]?.aborted).toBe(true);
});
