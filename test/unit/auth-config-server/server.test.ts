import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { Duration, Effect, Exit, Redacted, Schema, Scope } from "effect";
import { afterEach, describe, expect, test } from "vitest";
import { authenticatorOf } from "../../../src/auth/configured.ts";
import { AuthConfigServerListenFailed, runAuthConfigServer } from "../../../src/auth-config-server/server.ts";
import { Auth } from "../../../src/config/sections/auth.ts";
import { ConfigServer } from "../../../src/config/sections/configserver.ts";
import { requestConfig } from "../../../src/configserver/client.ts";
import { httpClient } from "../../../src/http/client.ts";
import { recordedLog } from "../../support/recorded-log.ts";

const scopes: Scope.Closeable[] = [];
afterEach(async () => {
  for (const scope of scopes.splice(0)) await Effect.runPromise(Scope.close(scope, Exit.void));
});

const serve = async (options: { allowAll?: boolean; port?: number } = {}) => {
  const scope = Effect.runSync(Scope.make());
  scopes.push(scope);
  const lines: string[] = [];
  const url = await Effect.runPromise(
    runAuthConfigServer({
      listen: { host: "127.0.0.1", port: options.port ?? 0 },
      allowAll: options.allowAll ?? false,
      io: { print: (line) => lines.push(line) },
    }).pipe(Scope.provide(scope)),
  );
  const post = async (path: string, body: unknown) => {
    const response = await fetch(url + path, {
      method: "POST",
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  };
  return { url, lines, post, scope };
};

const connection = {
  remoteAddress: "127.0.0.1:50000",
  connectionId: "0123456789ABCDEF",
  clientVersion: "SSH-2.0-test",
};
const password = (username: string) => ({
  username,
  ...connection,
  passwordBase64: Buffer.from("s3cret").toString("base64"),
});
const accepted = (username: string) => ({
  status: 200,
  body: { success: true, authenticatedUsername: username },
});
const refused = { status: 200, body: { success: false } };

describe("who gets in", () => {
  test("foo and busybox with any password", async () => {
    const { post } = await serve();
    expect(await post("/password", password("foo"))).toEqual(accepted("foo"));
    expect(await post("/password", password("busybox"))).toEqual(accepted("busybox"));
    expect(await post("/password", password("bar"))).toEqual(refused);
  });

  test("everybody with any password when all are allowed, and still not with any key", async () => {
    const { post } = await serve({ allowAll: true });
    expect(await post("/password", password("bar"))).toEqual(accepted("bar"));
    const key = { ...connection, publicKey: "ssh-ed25519 AAAA" };
    expect(await post("/pubkey", { ...key, username: "bar" })).toEqual(refused);
    expect(await post("/pubkey", { ...key, username: "foo" })).toEqual(accepted("foo"));
  });

  test("everybody is authorized", async () => {
    const { post } = await serve();
    expect(await post("/authz", { ...connection, username: "bar" })).toEqual(accepted("bar"));
  });
});

test("busybox gets a container of that image, others the daemon's configuration", async () => {
  const { post } = await serve();
  expect(await post("/config", { ...connection, username: "foo" })).toEqual({
    status: 200,
    body: { config: {} },
  });
  expect(await post("/config", { ...connection, username: "busybox" })).toMatchObject({
    body: {
      config: {
        docker: { execution: { container: { image: "busybox" }, disableAgent: true, mode: "session" } },
      },
    },
  });
});

describe("what it prints", () => {
  test("requests and answers, without passwords and sensitive values", async () => {
    const { post, lines } = await serve();
    await post("/password", password("foo"));
    await post("/authz", {
      ...connection,
      username: "foo",
      metadata: { token: { value: "s3cret", sensitive: true }, team: { value: "blue" } },
      files: { "/key": { value: "czNjcmV0", sensitive: true } },
    });
    const printed = lines.join("\n");
    expect(printed).toMatch(/\/password .*"username":"foo".*"success":true/);
    expect(printed).toMatch(/\/authz .*"blue"/);
    expect(printed).not.toMatch(/s3cret|czNjcmV0/);
  });

  test("nothing that moves a terminal's cursor", async () => {
    const { post, lines } = await serve();
    await post("/password", password("foo\u001b[2J\u009b2J\u202e"));
    await post("/%1b%5b2J", {});
    expect(lines.join("")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  test("nothing of a body that can't be read", async () => {
    const { post, lines } = await serve();
    const badRequest = { status: 400, body: { error: "Bad Request" } };
    expect(await post("/password", `s3cret ${JSON.stringify(password("foo"))}`)).toEqual(badRequest);
    expect(await post("/password", { ...password("foo"), passwordBase64: "s3cret!" })).toEqual(badRequest);
    expect(await post("/password", { ...password("foo"), username: ["s3cret"] })).toEqual(badRequest);
    expect(await post("/password", "null")).toEqual(badRequest);
    expect(await post("/password", "")).toEqual(badRequest);
    expect(lines.join()).not.toMatch(/s3cret/);
    expect(lines.filter((line) => line.includes("can't be read"))).toHaveLength(5);
  });
});

test("Berth's own clients understand it", async () => {
  const { url } = await serve();
  const webhook = { method: "webhook", webhook: { url } };
  const auth = Schema.decodeUnknownSync(Auth)({ password: webhook, publicKey: webhook, authz: webhook });
  const configserver = Schema.decodeUnknownSync(ConfigServer)({ url: `${url}/config` });
  const { logger } = recordedLog();
  const login = Effect.gen(function* () {
    const { authenticator, authorize } = yield* authenticatorOf(auth, logger, httpClient);
    const client = yield* httpClient(configserver, logger);
    const attempt = { ...connection, username: "busybox" };
    yield* authenticator.publicKey?.({ ...attempt, key: "ssh-ed25519 AAAA" }) ?? Effect.die("no keys");
    const identity = yield* authenticator.password?.({ ...attempt, password: Redacted.make("s3cret") }) ??
      Effect.die("no passwords");
    const authorized = yield* authorize?.(identity) ?? Effect.die("no authorization");
    return yield* requestConfig(client, configserver, logger)(authorized, Duration.seconds(5));
  });
  expect(await Effect.runPromise(Effect.scoped(login))).toMatchObject({
    config: { docker: { execution: { shellCommand: ["/bin/sh"] } } },
  });
});

test("fields of newer clients don't matter", async () => {
  const { post } = await serve();
  expect(await post("/password", { ...password("foo"), country: "XX" })).toEqual(accepted("foo"));
});

test("other paths are not found", async () => {
  const { post } = await serve();
  expect(await post("/", {})).toMatchObject({ status: 404 });
  expect(await post("//", {})).toMatchObject({ status: 404 });
});

test("a body without end is not read on, and the server lives", async () => {
  const { url, post } = await serve();
  const { port } = new URL(url);
  const socket = connect(Number(port), "127.0.0.1");
  socket.write("POST /password HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n");
  const answer = text(socket).catch(() => "reset");
  for (let sent = 0; sent < 20 && !socket.destroyed; sent++) {
    await new Promise<void>((resolve) => socket.write(Buffer.alloc(1024 * 1024, "x"), () => resolve()));
  }
  expect(await answer).not.toContain("200 OK");
  expect(await post("/password", password("foo"))).toEqual(accepted("foo"));
});

test("an address that is taken is an error that names it", async () => {
  const { url } = await serve();
  const port = Number(new URL(url).port);
  await expect(serve({ port })).rejects.toBeInstanceOf(AuthConfigServerListenFailed);
  await expect(serve({ port })).rejects.toMatchObject({
    code: "HTTP_LISTEN_FAILED",
    message: expect.stringContaining(`127.0.0.1:${port}`),
  });
});

test("closing the scope closes the server, also under a client that keeps its connection", async () => {
  const { url, scope } = await serve();
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
  const gone = new Promise((resolve) => socket.once("close", resolve));
  await Effect.runPromise(Scope.close(scope, Exit.void));
  await gone;
  await expect(fetch(url)).rejects.toThrow();
});
