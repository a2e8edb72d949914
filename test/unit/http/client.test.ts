import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { Effect, Fiber, Schema } from "effect";
import { describe, expect, it, onTestFinished } from "vitest";
import { HttpClient as Options } from "../../../src/config/http.ts";
import { httpClient } from "../../../src/http/client.ts";
import { maximumResponseBytes } from "../../../src/http/exchange.ts";
import { always, httpServer, type Respond } from "../../support/http-server.ts";
import { memoryLogger } from "../../support/memory-logger.ts";
import { failureOf, scoped } from "../../support/scoped.ts";

const clientOf = async (options: typeof Options.Encoded) => {
  const log = memoryLogger();
  const { value: client, close } = await scoped(
    httpClient(Schema.decodeUnknownSync(Options)(options), log.logger),
  );
  return { ...client, log, close };
};

const asking = async (respond: Respond, options: typeof Options.Encoded = {}) => {
  const server = await httpServer(respond);
  return { server, ...(await clientOf({ url: server.url, ...options })) };
};

/** A server that speaks below HTTP. */
const rawServer = async (onSocket: (socket: Socket) => void) => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => {}).resume());
    onSocket(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    const closed = once(server, "close");
    server.close();
    await closed;
  });
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
};

const circle: { self?: unknown } = {};
circle.self = circle;

describe("a request", () => {
  it("carries JSON and asks for JSON", async () => {
    const { server, postJson } = await asking(always('{"success":true}'));
    const answer = await Effect.runPromise(postJson("/password", { username: "jäne" }));
    expect(answer).toEqual({ status: 200, body: { success: true } });
    expect(server.received).toMatchObject([
      {
        method: "POST",
        path: "/password",
        body: '{"username":"jäne"}',
        headers: { "content-type": "application/json", accept: "application/json", "content-length": "20" },
      },
    ]);
  });

  it("carries a form", async () => {
    const { server, postForm } = await asking(always("{}"));
    await Effect.runPromise(postForm("/token", { grant_type: "device code", client_id: "a&b=ü" }));
    expect(server.received).toMatchObject([
      {
        method: "POST",
        body: "grant_type=device+code&client_id=a%26b%3D%C3%BC",
        headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
      },
    ]);
  });

  it("can be a GET", async () => {
    const { server, getJson } = await asking(always('"ok"'));
    expect(await Effect.runPromise(getJson(""))).toEqual({ status: 200, body: "ok" });
    expect(server.received).toMatchObject([{ method: "GET", path: "/", body: "" }]);
  });

  it.each([
    ["", "/password", "/password"],
    ["/", "/password", "/password"],
    ["/auth", "/password", "/auth/password"],
    ["/auth/", "/password", "/auth/password"],
    ["/auth.php?path=", "/password", "/auth.php?path=/password"],
    ["/config", "", "/config"],
  ])("to the URL %s with the path %s asks for %s", async (base, path, expected) => {
    const server = await httpServer(always("{}"));
    const { postJson } = await clientOf({ url: `${server.url}${base}` });
    await Effect.runPromise(postJson(path, {}));
    expect(server.received[0]?.path).toBe(expected);
  });

  it("sends the URL's user name and password as basic authentication, and shows them to nobody", async () => {
    const server = await httpServer(always("<html>", 200, { "content-type": "text/html" }));
    const url = server.url.replace("http://", "http://us%40er:s3cr%3Aet@");
    const { postJson, log } = await clientOf({ url: `${url}/?token=t0ken` });
    const failed = await failureOf(postJson("", { password: "hunter2" }));
    expect(server.received[0]?.headers.authorization).toBe(
      `Basic ${Buffer.from("us@er:s3cr:et").toString("base64")}`,
    );
    const told = `${failed.message}${JSON.stringify(failed)}${log.text()}`;
    expect(told).toContain(`${server.url}/`);
    expect(told).not.toMatch(/us%40er|us@er|s3cr|t0ken|hunter2|html>/);
  });

  it.each([
    ["a bigint", { size: 1n }],
    ["nothing", undefined],
    ["a circle", circle],
  ])("that has no JSON form is not sent: %s", async (_name, body) => {
    const { server, postJson } = await asking(always("{}"));
    expect(await failureOf(postJson("/", body))).toMatchObject({ code: "HTTP_CLIENT_ENCODE_FAILED" });
    expect(server.received).toHaveLength(0);
  });

  it("is logged for debugging, with its answer", async () => {
    const { server, postJson, log } = await asking(always("{}", 418));
    await Effect.runPromise(postJson("/password", {}));
    const endpoint = `${server.url}/`;
    const url = `${server.url}/password`;
    expect(log.entries).toMatchObject([
      { level: "debug", code: "HTTP_CLIENT_REQUEST", details: { endpoint, url, method: "POST" } },
      { level: "debug", code: "HTTP_CLIENT_RESPONSE", details: { endpoint, url, statusCode: 418 } },
    ]);
  });
});

describe("an answer", () => {
  it.each([200, 201, 400, 403, 500, 503])("may have status %d", async (status) => {
    const { postJson } = await asking(always('{"error":"x"}', status));
    expect(await Effect.runPromise(postJson("/", {}))).toEqual({ status, body: { error: "x" } });
  });

  it("of failure need not be JSON", async () => {
    const { postJson } = await asking(always("<h1>Bad gateway</h1>", 502, { "content-type": "text/html" }));
    expect(await Effect.runPromise(postJson("/", {}))).toEqual({ status: 502, body: undefined });
  });

  it.each([
    ["text/plain, as the reference's library sends it", { "content-type": "text/plain; charset=utf-8" }],
    ["text/html, as scripts do", { "content-type": "text/html" }],
    ["no type", {}],
  ])("of success is JSON by its bytes: %s", async (_name, headers) => {
    const { postJson } = await asking(always('{"success":true}', 200, headers));
    expect(await Effect.runPromise(postJson("/", {}))).toEqual({ status: 200, body: { success: true } });
  });

  it("may be null", async () => {
    const { postJson } = await asking(always("null"));
    expect(await Effect.runPromise(postJson("/", {}))).toEqual({ status: 200, body: null });
  });

  it.each([
    ["HTML", "<!doctype html>s3cret", "text/html"],
    ["half of JSON", '{"password":"s3cret"', "application/json"],
    ["two answers", '{"a":"s3cret"}{"a":"s3cret"}', "application/json"],
    ["bytes that are not UTF-8", Buffer.from([0x22, 0xff, 0x22]), "application/json"],
    ["nothing", "", "application/json"],
  ])("of success that is %s is a failure that does not quote it", async (_name, body, type) => {
    const { server, postJson, log } = await asking(always(body, 200, { "content-type": type }));
    const failed = await failureOf(postJson("/password", {}));
    expect(failed).toMatchObject({
      code: "HTTP_CLIENT_DECODE_FAILED",
      details: { method: "POST", url: `${server.url}/password`, statusCode: 200, contentType: type },
    });
    expect(`${JSON.stringify(failed)}${failed.message}${String(failed.cause)}${log.text()}`).not.toContain(
      "s3cret",
    );
  });

  it("may be as large as the limit", async () => {
    const text = JSON.stringify("x".repeat(maximumResponseBytes - 2));
    const { postJson } = await asking(always(text), { timeout: "10s" });
    const { body } = await Effect.runPromise(postJson("/", {}));
    expect(body).toHaveLength(maximumResponseBytes - 2);
  });

  it("of 100 MB is cut off", async () => {
    const chunk = Buffer.alloc(1024 * 1024, " ");
    let sent = 0;
    const { server, postJson } = await asking(
      (response) => {
        const more = () => {
          if (sent === 100) response.end("{}");
          else if (!response.destroyed) {
            sent += 1;
            response.write(chunk, more);
          }
        };
        response.writeHead(200, { "content-type": "application/json" });
        more();
      },
      { timeout: "10s" },
    );
    expect(await failureOf(postJson("/", {}))).toMatchObject({
      code: "HTTP_CLIENT_RESPONSE_TOO_LARGE",
      details: { url: `${server.url}/` },
    });
    expect(await server.received[0]?.leftEarly).toBe(true);
    expect(sent).toBeLessThan(100);
  });
});

describe("a server that does not answer", () => {
  it("because nobody listens is told with the system's reason", async () => {
    const { server, url } = await rawServer(() => {});
    const closed = once(server, "close");
    server.close();
    await closed;
    const { postJson } = await clientOf({ url });
    expect(await failureOf(postJson("/password", {}))).toMatchObject({
      code: "HTTP_CLIENT_CONNECTION_FAILED",
      message: expect.stringMatching(/^HTTP POST request to http:.*\/password failed \(.*ECONNREFUSED/),
      details: { method: "POST", url: `${url}/password` },
    });
  });

  it.each<[string, (socket: Socket) => void]>([
    ["says nothing", () => {}],
    ["says the head and no more", (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")],
    [
      "says a letter at a time",
      (socket) => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        const drip = setInterval(() => socket.write(" "), 10);
        socket.on("close", () => clearInterval(drip));
      },
    ],
  ])("in time fails, and the connection is gone: it %s", async (_name, onSocket) => {
    const { server, url } = await rawServer(onSocket);
    const connection = once(server, "connection");
    const { postJson } = await clientOf({ url, timeout: "150ms" });
    expect(await failureOf(postJson("/", {}))).toMatchObject({
      code: "HTTP_CLIENT_CONNECTION_FAILED",
      details: { reason: "no complete answer within 150ms" },
    });
    const [socket]: Socket[] = await connection;
    // Writing to who is gone is an error, for which events.once would not wait for the end.
    if (socket?.closed === false) await new Promise((resolve) => socket.once("close", resolve));
  });

  it.each<[string, string]>([
    ["closes at once", ""],
    ["closes in the head", "HTTP/1.1 200 OK\r\nContent-Le"],
    ["closes in the body", 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"success": true'],
    ["closes in a chunk", 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f\r\n{"success": true}'],
    ["does not speak HTTP", "220 mail.example.com ESMTP\r\n"],
    [
      "sends endless headers",
      `HTTP/1.1 200 OK\r\n${"x-a: aaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(2_000)}\r\n{}`,
    ],
  ])("as HTTP wants fails: it %s", async (_name, words) => {
    const { url } = await rawServer((socket) => socket.once("data", () => socket.end(words)));
    const { postJson } = await clientOf({ url });
    expect(await failureOf(postJson("/", {}))).toMatchObject({ code: "HTTP_CLIENT_CONNECTION_FAILED" });
  });

  it("is left when the effect is interrupted", async () => {
    const { server, postJson } = await asking(() => {}, { timeout: "1m" });
    const asked = Effect.runFork(postJson("/", {}));
    const received = await server.nextReceived();
    await Effect.runPromise(Fiber.interrupt(asked));
    expect(await received.leftEarly).toBe(true);
  });
});

describe("redirects", () => {
  const redirecting =
    (status: number, location: string): Respond =>
    (response, { path }) => {
      if (path === "/new") response.writeHead(200).end("{}");
      else response.writeHead(status, { location }).end("moved");
    };

  it.each([301, 302, 303, 307, 308])("are refused by default: %d", async (status) => {
    const { server, postJson } = await asking(
      redirecting(status, "http://user:s3cret@127.0.0.1:1/new?s3cret"),
    );
    const failed = await failureOf(postJson("/password", {}));
    expect(failed).toMatchObject({
      code: "HTTP_CLIENT_REDIRECTS_DISABLED",
      details: { url: `${server.url}/password`, redirect: "http://127.0.0.1:1/new" },
    });
    expect(`${failed.message}${JSON.stringify(failed)}`).not.toContain("s3cret");
    expect(server.received).toHaveLength(1);
  });

  it("without a target are an answer", async () => {
    const { postJson } = await asking(always("", 302, {}));
    expect(await Effect.runPromise(postJson("/", {}))).toEqual({ status: 302, body: undefined });
  });

  it.each([
    [301, "GET", ""],
    [302, "GET", ""],
    [303, "GET", ""],
    [307, "POST", '{"a":1}'],
    [308, "POST", '{"a":1}'],
  ])("are followed where they are allowed: %d as %s", async (status, method, body) => {
    const { server, postJson, log } = await asking(redirecting(status, "/new"), { allowRedirects: true });
    expect(await Effect.runPromise(postJson("/old", { a: 1 }))).toEqual({ status: 200, body: {} });
    expect(server.received[1]).toMatchObject({ path: "/new", method, body });
    expect(await log.waitFor("HTTP_CLIENT_REDIRECT")).toMatchObject({
      details: { redirect: `${server.url}/new` },
    });
  });

  it("are followed ten times", async () => {
    const { server, postJson } = await asking(always("", 307, { location: "/again" }), {
      allowRedirects: true,
    });
    expect(await failureOf(postJson("/", {}))).toMatchObject({ code: "HTTP_CLIENT_REDIRECTS_DISABLED" });
    expect(server.received).toHaveLength(11);
  });

  it.each(["ftp://127.0.0.1/", "javascript:alert(1)", "http://["])(
    "are never followed to %s",
    async (location) => {
      const { postJson } = await asking(always("", 307, { location }), { allowRedirects: true });
      expect(await failureOf(postJson("/", {}))).toMatchObject({ code: "HTTP_CLIENT_REDIRECTS_DISABLED" });
    },
  );

  it("take the password of a URL along to the same server only", async () => {
    const other = await httpServer(always("{}"));
    const server = await httpServer((response, { path }) => {
      const location = path === "/old" ? "/new" : `${other.url}/`;
      response.writeHead(307, { location }).end();
    });
    const url = server.url.replace("http://", "http://user:s3cret@");
    const { postJson } = await clientOf({ url, allowRedirects: true });
    await Effect.runPromise(postJson("/old", {}));
    expect(server.received.map(({ headers }) => headers.authorization)).toEqual([
      expect.stringMatching(/^Basic /),
      expect.stringMatching(/^Basic /),
    ]);
    expect(other.received[0]?.headers.authorization).toBeUndefined();
  });
});

describe("connections", () => {
  it("are used again, and closed with the scope", async () => {
    const { server, postJson, close } = await asking(always("{}"));
    for (let asked = 0; asked < 20; asked++) await Effect.runPromise(postJson("/", {}));
    const sockets = new Set(server.received.map(({ socket }) => socket));
    // A request may come a moment before the connection of the one before it is free.
    expect(sockets.size).toBeLessThanOrEqual(2);
    const closed = [...sockets].map((socket) => once(socket, "close"));
    await close();
    await Promise.all(closed);
    expect(await failureOf(postJson("/", {}))).toMatchObject({ code: "HTTP_CLIENT_CONNECTION_FAILED" });
  });

  it("are closed with the scope also in the middle of a request", async () => {
    const { server, postJson, close } = await asking(() => {}, { timeout: "1m" });
    const asked = failureOf(postJson("/", {}));
    const received = await server.nextReceived();
    await close();
    expect(await asked).toMatchObject({ code: "HTTP_CLIENT_CONNECTION_FAILED" });
    expect(await received.leftEarly).toBe(true);
  });
});
