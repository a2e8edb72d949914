import { Duration, Effect, Redacted, Schema } from "effect";
import { describe, expect, test } from "vitest";
import type { Identity } from "../../../machines/facts.ts";
import {
  AuthBackendFailed,
  AuthorizationRefused,
  PasswordRefused,
  PublicKeyRefused,
} from "../../../src/auth/authenticator.ts";
import { authenticatorOf } from "../../../src/auth/configured.ts";
import { Auth } from "../../../src/config/sections/auth.ts";
import { httpClient } from "../../../src/http/client.ts";
import { recordedLog } from "../../support/recorded-log.ts";
import { revealed } from "../../support/revealed.ts";
import { answer, type Behaviour, uselessAnswers, webhookServer } from "../../support/webhook-server.ts";

const connection = {
  connectionId: "0123456789ABCDEF",
  remoteAddress: "127.0.0.1:50000",
  clientVersion: "SSH-2.0-test",
};
const attempt = { ...connection, username: "jane" };
const password = Redacted.make("s3cret pässwörd");
const passwordBase64 = Buffer.from("s3cret pässwörd").toString("base64");
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIquCtMDQh9QpaDFDSuA3GBZlZJfGfDBt9FEBDUYWzlp";

const text = (value: string, sensitive = false) => ({ value: Redacted.make(value), sensitive });
const jane: Identity = {
  ...attempt,
  authenticatedUsername: "jane@example.com",
  metadata: { team: text("blue"), token: text("hush1", true) },
  environment: { A: text("1"), B: text("hush2", true) },
  files: { "/key": { content: Redacted.make(Buffer.from("hush3")), sensitive: true } },
};

interface Options {
  readonly path?: string;
  readonly authTimeout?: string;
  readonly timeout?: string;
}

/** The three questions, asked of a server that behaves so; what was asked and logged. */
const asking = async (
  behaviour: Behaviour,
  { path = "", authTimeout = "5s", timeout = "2s" }: Options = {},
) => {
  const server = await webhookServer(behaviour);
  const log = recordedLog();
  const method = { method: "webhook", webhook: { url: server.url + path, authTimeout, timeout } };
  const config = Schema.decodeUnknownSync(Auth)({ password: method, publicKey: method, authz: method });
  const ask = <A, E>(
    question: (auth: Effect.Success<ReturnType<typeof authenticatorOf>>) => Effect.Effect<A, E> | undefined,
  ) =>
    Effect.scoped(
      Effect.gen(function* () {
        const auth = yield* authenticatorOf(config, log.logger, httpClient);
        const answered = question(auth);
        if (answered === undefined) throw new Error("the method is not configured");
        return yield* answered;
      }),
    );
  return {
    server,
    log,
    password: ask((auth) => auth.authenticator.password?.({ ...attempt, password })),
    publicKey: ask((auth) => auth.authenticator.publicKey?.({ ...attempt, key })),
    authorize: ask((auth) => auth.authorize?.(jane)),
  };
};

const failureOf = <E>(effect: Effect.Effect<unknown, E>) => Effect.runPromise(Effect.flip(effect));

describe("requests are those of the reference", () => {
  test("a password goes to /password in base64", async () => {
    const { server, password, log } = await asking(answer({ success: true }));
    expect(await Effect.runPromise(password)).toMatchObject({ authenticatedUsername: "jane" });
    expect(server.asked).toMatchObject([
      {
        method: "POST",
        path: "/password",
        headers: { "content-type": "application/json", accept: "application/json" },
        body: { ...attempt, passwordBase64 },
      },
    ]);
    expect(log.codes().filter((code) => code.startsWith("AUTH"))).toEqual(["AUTH", "AUTH_SUCCESSFUL"]);
    expect(log.entries.find(({ code }) => code === "AUTH")?.details).toMatchObject({
      connectionId: attempt.connectionId,
      username: "jane",
      url: `${server.url}/`,
      authtype: "password",
    });
  });

  test("a key goes to /pubkey as in authorized_keys", async () => {
    const { server, publicKey } = await asking(answer({ success: true }));
    expect(await Effect.runPromise(publicKey)).toMatchObject({ authenticatedUsername: "jane" });
    expect(server.asked).toMatchObject([{ path: "/pubkey" }]);
    expect(server.asked[0]?.body).toEqual({ ...attempt, publicKey: key });
  });

  test("authorization goes to /authz with everything that is not sensitive", async () => {
    const { server, authorize } = await asking(answer({ success: true }));
    await Effect.runPromise(authorize);
    expect(server.asked).toMatchObject([{ path: "/authz" }]);
    expect(server.asked[0]?.body).toEqual({
      ...attempt,
      authenticatedUsername: "jane@example.com",
      metadata: { team: { value: "blue", sensitive: false } },
      environment: { A: { value: "1", sensitive: false } },
    });
  });

  test("paths are put after the configured URL", async () => {
    const { server, password } = await asking(answer({ success: true }), { path: "/hooks/" });
    await Effect.runPromise(password);
    expect(server.asked[0]?.path).toBe("/hooks/password");
  });
});

describe("a yes", () => {
  const yes = answer({
    success: true,
    authenticatedUsername: "jane.doe",
    metadata: { floor: { value: "2" } },
    environment: { A: { value: "2" }, C: { value: "3", sensitive: true } },
    files: { "/etc/motd": { value: Buffer.from("hi").toString("base64") } },
  });

  test("to a password brings what the server knows about the user", async () => {
    expect(revealed(await Effect.runPromise((await asking(yes)).password))).toEqual({
      ...attempt,
      authenticatedUsername: "jane.doe",
      metadata: { floor: { value: "2", sensitive: false } },
      environment: { A: { value: "2", sensitive: false }, C: { value: "3", sensitive: true } },
      files: { "/etc/motd": { content: "hi", sensitive: false } },
    });
  });

  test("of authorization adds and overrides, and drops nothing, sensitive or not", async () => {
    expect(revealed(await Effect.runPromise((await asking(yes)).authorize))).toEqual({
      ...attempt,
      authenticatedUsername: "jane.doe",
      metadata: {
        team: { value: "blue", sensitive: false },
        token: { value: "hush1", sensitive: true },
        floor: { value: "2", sensitive: false },
      },
      environment: {
        A: { value: "2", sensitive: false },
        B: { value: "hush2", sensitive: true },
        C: { value: "3", sensitive: true },
      },
      files: {
        "/key": { content: "hush3", sensitive: true },
        "/etc/motd": { content: "hi", sensitive: false },
      },
    });
  });

  test("may come as text/plain: servers written with the reference's Go library send it so", async () => {
    const echo = { remoteAddress: "127.0.0.1:50000", connectionId: "x", clientVersion: "", username: "root" };
    const { password } = await asking(
      answer({ ...echo, success: true, authenticatedUsername: "jane" }, 200, {
        "content-type": "text/plain",
      }),
    );
    expect(await Effect.runPromise(password)).toMatchObject({ ...attempt, authenticatedUsername: "jane" });
  });
});

describe("a no", () => {
  test.each([
    ["success: false", { success: false, authenticatedUsername: "jane" }],
    ["no success", { authenticatedUsername: "jane" }],
    ["success: null", { success: null }],
    ["an empty object", {}],
  ])("by %s is asked for once, and each question has its own sentence", async (_, body) => {
    const { server, log, password, publicKey, authorize } = await asking(answer(body));
    const refusals = [await failureOf(password), await failureOf(publicKey), await failureOf(authorize)];
    expect(refusals[0]).toBeInstanceOf(PasswordRefused);
    expect(refusals[1]).toBeInstanceOf(PublicKeyRefused);
    expect(refusals[2]).toBeInstanceOf(AuthorizationRefused);
    expect(refusals).toMatchObject([
      { code: "AUTH_FAILED", userMessage: expect.stringContaining("password not accepted") },
      { code: "AUTH_FAILED", userMessage: expect.stringContaining("key is not accepted") },
      { code: "AUTHZ_FAILED", userMessage: expect.stringContaining("not allowed") },
    ]);
    expect(server.asked).toHaveLength(3);
    expect(log.codes().filter((code) => code === "AUTH_FAILED")).toHaveLength(3);
  });
});

describe("an answer that is none lets nobody in", () => {
  const useless = [
    ...uselessAnswers,
    ['success: "true"', answer({ success: "true" })],
    ["success: 1", answer({ success: 1 })],
    ["a wrong type beside a yes", answer({ success: true, authenticatedUsername: ["jane"] })],
  ] as const;

  test.each(useless)("%s", async (_, behaviour) => {
    const { log, password, publicKey, authorize } = await asking(behaviour, {
      authTimeout: "250ms",
      timeout: "100ms",
    });
    for (const failed of await Promise.all([password, publicKey, authorize].map(failureOf))) {
      expect(failed).toBeInstanceOf(AuthBackendFailed);
      expect(failed).toMatchObject({
        code: "AUTH_BACKEND_ERROR",
        userMessage: expect.stringContaining("can't be checked"),
      });
    }
    expect(log.codes()).not.toContain("AUTH_SUCCESSFUL");
    expect(log.text()).not.toMatch(/s3cret|hush/);
    expect(log.text()).not.toContain(passwordBase64);
  });

  test.each([
    ["AUTH_INVALID_STATUS", answer({ success: true }, 500)],
    ["HTTP_CLIENT_DECODE_FAILED", answer({ success: "true" })],
    ["HTTP_CLIENT_DECODE_FAILED", answer("<html>")],
    ["HTTP_CLIENT_CONNECTION_FAILED", ((response) => response.destroy()) as Behaviour],
    ["HTTP_CLIENT_REDIRECTS_DISABLED", answer("", 307, { location: "/elsewhere" })],
  ])("the log says %s", async (reason, behaviour) => {
    const { log, password } = await asking(behaviour, { authTimeout: "600ms" });
    expect(await failureOf(password)).toMatchObject({ details: { reason } });
    const [first] = log.entries.filter(({ code }) => code === "AUTH_BACKEND_ERROR");
    expect(first).toMatchObject({ level: "debug", details: { reason, username: "jane" } });
  });

  test("and neither does a server that isn't there", async () => {
    const config = Schema.decodeUnknownSync(Auth)({
      password: { method: "webhook", webhook: { url: "http://127.0.0.1:1", authTimeout: "600ms" } },
    });
    const asked = Effect.gen(function* () {
      const { authenticator } = yield* authenticatorOf(config, recordedLog().logger, httpClient);
      return yield* authenticator.password?.({ ...attempt, password }) ?? Effect.die("not configured");
    });
    expect(await failureOf(Effect.scoped(asked))).toMatchObject({
      code: "AUTH_BACKEND_ERROR",
      details: { reason: "HTTP_CLIENT_CONNECTION_FAILED" },
    });
  });
});

describe("trying again", () => {
  test("a blip of the server costs a moment", async () => {
    const { server, password, log } = await asking((response, asked, count) =>
      (count === 1 ? answer("", 503) : answer({ success: true }))(response, asked, count),
    );
    const [duration] = await Effect.runPromise(Effect.timed(password));
    expect(Duration.toMillis(duration)).toBeLessThan(1500);
    expect(server.asked).toHaveLength(2);
    expect(server.asked[1]?.body).toEqual(server.asked[0]?.body);
    expect(log.codes().filter((code) => code.startsWith("AUTH"))).toEqual([
      "AUTH",
      "AUTH_BACKEND_ERROR",
      "AUTH",
      "AUTH_SUCCESSFUL",
    ]);
  });

  test("ends at authTimeout, even while a request is under way", async () => {
    const { password } = await asking(() => {}, { authTimeout: "300ms", timeout: "60s" });
    const [duration, failed] = await Effect.runPromise(Effect.timed(Effect.flip(password)));
    expect(failed).toMatchObject({ code: "AUTH_BACKEND_ERROR", details: { tries: 1 } });
    expect(Duration.toMillis(duration)).toBeGreaterThan(250);
    expect(Duration.toMillis(duration)).toBeLessThan(2000);
  });

  test("a login that is given up aborts the request", async () => {
    const { server, password } = await asking(() => {}, { authTimeout: "60s", timeout: "60s" });
    const stop = new AbortController();
    const login = Effect.runPromise(password, { signal: stop.signal });
    await server.askedTimes(1);
    stop.abort();
    await expect(login).rejects.toThrow();
    expect(await server.asked[0]?.aborted).toBe(true);
    expect(server.asked).toHaveLength(1);
  });
});

test("a password in the webhook's URL stays out of the log", async () => {
  const server = await webhookServer(answer({ success: true }, 500));
  const url = server.url.replace("http://", "http://berth:urlsecret@");
  const config = Schema.decodeUnknownSync(Auth)({
    password: { method: "webhook", webhook: { url, authTimeout: "100ms" } },
  });
  const log = recordedLog();
  const asked = Effect.gen(function* () {
    const { authenticator } = yield* authenticatorOf(config, log.logger, httpClient);
    return yield* authenticator.password?.({ ...attempt, password }) ?? Effect.die("not configured");
  });
  const failed = await failureOf(Effect.scoped(asked));
  expect(log.text() + JSON.stringify(failed)).not.toContain("urlsecret");
});

describe("what the configuration asks for", () => {
  const methods = async (config: unknown) => {
    const built = authenticatorOf(Schema.decodeUnknownSync(Auth)(config), recordedLog().logger, httpClient);
    const { authenticator, authorize } = await Effect.runPromise(Effect.scoped(built));
    return [...Object.keys(authenticator), ...(authorize === undefined ? [] : ["authorize"])];
  };
  const webhook = { method: "webhook", webhook: { url: "http://127.0.0.1:1" } };

  test("is all that is there", async () => {
    expect(await methods({})).toEqual([]);
    expect(await methods({ password: webhook })).toEqual(["password"]);
    expect(await methods({ publicKey: webhook, authz: webhook })).toEqual(["publicKey", "authorize"]);
    expect(await methods({ password: webhook, publicKey: { method: "users" } })).toEqual([
      "password",
      "publicKey",
    ]);
    expect(await methods({ users: [{ name: "jane" }] })).toEqual([]);
  });

  test("fails when a user can't be used", async () => {
    await expect(methods({ users: [{ name: "jane", passwordHash: "x" }] })).rejects.toMatchObject({
      code: "AUTH_CONFIG_ERROR",
    });
  });
});
