import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { Agent, get, type IncomingMessage } from "node:http";
import { type RequestOptions, request as secureRequest } from "node:https";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as secureConnect } from "node:tls";
import { Duration, Schema } from "effect";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { HttpServer as Options } from "../../../src/config/http.ts";
import { type HttpHandler, type ServerLimits, serve } from "../../../src/http/server.ts";
import { type Authority, certificateAuthority, type Pair } from "../../support/certificates.ts";
import { memoryLogger } from "../../support/memory-logger.ts";
import { failureOf, scoped } from "../../support/scoped.ts";
import { fileTemporaryDirectory, temporaryDirectory } from "../../support/temporary.ts";

let authority: Authority;
let serverPair: Pair;
let clientPair: Pair;
let strangerPair: Pair;

beforeAll(async () => {
  const directory = await fileTemporaryDirectory();
  authority = await certificateAuthority(directory, "authority");
  serverPair = await authority.issue("server");
  clientPair = await authority.issue("client");
  strangerPair = await (await certificateAuthority(directory, "stranger")).issue("client");
});

const decoded = (options: typeof Options.Encoded) => Schema.decodeUnknownSync(Options)(options);

const limits: ServerLimits = {
  headers: Duration.seconds(10),
  request: Duration.seconds(10),
  closing: Duration.seconds(5),
  certificates: Duration.seconds(10),
};

const hello: HttpHandler = (request, response) => void response.end(`hello ${request.url}`);

const serving = async (
  options: typeof Options.Encoded = {},
  handler: HttpHandler = hello,
  overrides: Partial<ServerLimits> = {},
) => {
  const log = memoryLogger();
  const { value: server, close } = await scoped(
    serve(decoded({ listen: "127.0.0.1:0", ...options }), handler, log.logger, { ...limits, ...overrides }),
  );
  return { ...server, port: Number(server.address.split(":").at(-1)), log, close };
};

const fetched = async (url: string, options: RequestOptions = {}) => {
  const asked = url.startsWith("https:") ? secureRequest(url, options) : get(url, options);
  const [response]: IncomingMessage[] = await once(asked.end(), "response");
  if (response === undefined) throw new Error("unreachable");
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
};

/** A TCP connection, and everything the server says on it until it closes it. */
const dial = async (port: number) => {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  const said: string[] = [];
  socket.setEncoding("utf8").on("data", (data: string) => said.push(data));
  const closed = once(
    socket.on("error", () => {}),
    "close",
  ).then(() => said.join(""));
  return { socket, closed };
};

describe("a server", () => {
  it("says where it listens", async () => {
    const { address, url, port } = await serving();
    expect(port).toBeGreaterThan(0);
    expect(address).toBe(`127.0.0.1:${port}`);
    expect(url).toBe(`http://127.0.0.1:${port}`);
    expect(await fetched(`${url}/path?query`)).toMatchObject({ status: 200, body: "hello /path?query" });
  });

  it("listens on IPv6, and on all addresses", async () => {
    const six = await serving({ listen: "[::1]:0" });
    expect(six.address).toBe(`[::1]:${six.port}`);
    expect(await fetched(`${six.url}/`)).toMatchObject({ status: 200 });
    const all = await serving({ listen: ":0" });
    expect(await fetched(`http://127.0.0.1:${all.port}/`)).toMatchObject({ status: 200 });
  });

  it("fails where it cannot listen, and says why", async () => {
    const { address } = await serving();
    const failed = await failureOf(serve(decoded({ listen: address }), hello, memoryLogger().logger));
    expect(failed).toMatchObject({
      code: "HTTP_LISTEN_FAILED",
      message: expect.stringContaining(`Failed to listen on ${address} (listen EADDRINUSE`),
      details: { address },
    });
  });

  it.each<[string, HttpHandler]>([
    [
      "throws",
      () => {
        throw new Error("bug");
      },
    ],
    ["rejects", () => Promise.reject(new Error("bug"))],
  ])("answers 500 when its handler %s, and goes on", async (_name, handler) => {
    const { url, log } = await serving({}, handler);
    for (const _ of [1, 2]) {
      expect(await fetched(`${url}/`)).toMatchObject({ status: 500, body: "Internal Server Error\n" });
    }
    expect(log.entries).toMatchObject([
      { level: "error", code: "HTTP_SERVER_ENCODE_FAILED", message: expect.stringContaining("bug") },
      { level: "error", code: "HTTP_SERVER_ENCODE_FAILED" },
    ]);
  });

  it("breaks an answer off whose handler fails in the middle", async () => {
    const { url } = await serving({}, async (_, response) => {
      response.writeHead(200, { "content-length": "100" }).write("beginning");
      await Promise.reject(new Error("bug"));
    });
    await expect(fetched(`${url}/`)).rejects.toThrow(/aborted|hang up/);
  });
});

describe("a bad client", () => {
  it.each([
    ["garbage", "\u0000\u0001\u0002 garbage\r\n\r\n", "400 Bad Request"],
    ["headers without end", `GET / HTTP/1.1\r\n${"x: yyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(1_000)}`, "431 "],
    ["an SSH client", "SSH-2.0-OpenSSH_9.2\r\n", "400 Bad Request"],
  ])("that sends %s is answered and let go, and others are served", async (_name, words, answer) => {
    const { port, url } = await serving();
    const { socket, closed } = await dial(port);
    socket.write(words);
    expect(await closed).toContain(`HTTP/1.1 ${answer}`);
    expect(await fetched(`${url}/`)).toMatchObject({ status: 200 });
  });

  it.each([
    ["nothing", ""],
    ["half a request", "GET / HTTP/1.1\r\nHost: "],
    ["headers and half a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"],
  ])("that sends %s is let go when its time is over", async (_name, words) => {
    const consume: HttpHandler = async (request, response) => {
      await text(request);
      response.end("read");
    };
    const { port } = await serving({}, (request, response) => consume(request, response)?.catch(() => {}), {
      headers: Duration.millis(100),
      request: Duration.millis(200),
    });
    const { socket, closed } = await dial(port);
    if (words !== "") socket.write(words);
    expect(await closed).toMatch(/^$|^HTTP\/1.1 408 /);
  });

  it("that goes away before its answer does no harm", async () => {
    let answer = () => {};
    const asked = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { port, url } = await serving({}, async (request, response) => {
      if (request.url === "/slow") {
        answer();
        await once(request.socket, "close");
      }
      response.end("x".repeat(1_000_000));
    });
    const { socket } = await dial(port);
    socket.write("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    await asked;
    socket.destroy();
    expect(await fetched(`${url}/`)).toMatchObject({ status: 200 });
  });
});

describe("TLS", () => {
  it("is spoken with a certificate, in version 1.3 unless the configuration says 1.2", async () => {
    const { url } = await serving({ ...serverPair });
    expect(url).toMatch(/^https:/);
    const ca = authority.cert;
    expect(await fetched(`${url}/`, { ca })).toMatchObject({ status: 200 });
    await expect(fetched(`${url}/`, { ca, maxVersion: "TLSv1.2" })).rejects.toThrow(/protocol version/);
    const older = await serving({ ...serverPair, tlsVersion: "1.2" });
    expect(await fetched(`${older.url}/`, { ca, maxVersion: "TLSv1.2" })).toMatchObject({ status: 200 });
    await expect(
      fetched(`${older.url}/`, { ca, maxVersion: "TLSv1.1", minVersion: "TLSv1" }),
    ).rejects.toThrow();
  });

  it("demands a client's certificate of the authorities it has", async () => {
    const { url, log } = await serving({ ...serverPair, clientcacert: authority.cert });
    const ca = authority.cert;
    expect(await fetched(`${url}/`, { ca, ...clientPair })).toMatchObject({ status: 200 });
    await expect(fetched(`${url}/`, { ca })).rejects.toThrow(/certificate required|ECONNRESET|hang up/);
    await expect(fetched(`${url}/`, { ca, ...strangerPair })).rejects.toThrow(
      /unknown ca|ECONNRESET|hang up/,
    );
    expect(await log.waitFor("HTTP_SERVER_TLS_FAILED")).toMatchObject({ level: "debug" });
  });

  it("does not leave clients unverified because a certificate is missing", async () => {
    const options = decoded({ listen: "127.0.0.1:0", clientcacert: authority.cert });
    expect(await failureOf(serve(options, hello, memoryLogger().logger))).toMatchObject({
      code: "HTTP_CERTIFICATE_INVALID",
      message: expect.stringContaining("clientcacert needs cert and key"),
    });
  });

  it("outlives clients that do not speak it or say nothing", async () => {
    const { port, url, log } = await serving({ ...serverPair }, hello, { headers: Duration.millis(100) });
    const garbage = await dial(port);
    garbage.socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await garbage.closed;
    const silent = await dial(port);
    await silent.closed;
    expect(log.codes().filter((code) => code === "HTTP_SERVER_TLS_FAILED")).toHaveLength(2);
    expect(await fetched(`${url}/`, { ca: authority.cert })).toMatchObject({ status: 200 });
  });

  it("shows a new certificate after its files have changed, and none that is only half there", async () => {
    const directory = await temporaryDirectory();
    const [cert, key] = [join(directory, "tls.crt"), join(directory, "tls.key")];
    const put = async (pair: Pair) => {
      await writeFile(key, pair.key);
      await writeFile(cert, pair.cert);
    };
    await put(serverPair);
    const { port, log } = await serving({ cert, key }, hello, { certificates: Duration.millis(20) });
    const shown = async () => {
      const socket = secureConnect({ port, host: "127.0.0.1", ca: authority.cert });
      await once(socket, "secureConnect");
      const { CN } = socket.getPeerCertificate().subject;
      socket.destroy();
      return CN;
    };
    expect(await shown()).toBe("server");
    await writeFile(key, "");
    await log.waitFor("HTTP_CERTIFICATE_INVALID");
    expect(await shown()).toBe("server");
    await put(await authority.issue("renewed"));
    await log.waitFor("HTTP_CERTIFICATE_CHANGED");
    expect(await shown()).toBe("renewed");
  });
});

describe("closing", () => {
  /** A server whose answers wait for the test. */
  const waiting = async (overrides: Partial<ServerLimits> = {}) => {
    let arrived = (_answer: () => void) => {};
    const asked = new Promise<() => void>((resolve) => {
      arrived = resolve;
    });
    const server = await serving(
      {},
      async (_, response) => {
        await new Promise<void>((answer) => arrived(answer));
        response.end("answered");
      },
      overrides,
    );
    return { ...server, asked };
  };

  const refusedBy = (port: number): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket: Socket = connect(port, "127.0.0.1", () => reject(new Error("connected")));
      socket.on("error", (error) => resolve(error.message));
    });

  it("lets an answer under way be finished, and does not wait for a further request", async () => {
    const { url, port, asked, close } = await waiting({ closing: Duration.minutes(5) });
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const answered = fetched(`${url}/`, { agent });
    const answer = await asked;
    const closed = close();
    expect(await refusedBy(port)).toContain("ECONNREFUSED");
    answer();
    expect(await answered).toMatchObject({ status: 200, body: "answered" });
    await closed;
  });

  it("breaks off what takes longer than its deadline", async () => {
    const { url, asked, close } = await waiting({ closing: Duration.millis(50) });
    const answered = fetched(`${url}/`);
    await Promise.all([asked.then(() => close()), expect(answered).rejects.toThrow(/hang up/)]);
  });

  it("does not wait for a client that has not finished its TLS handshake", async () => {
    const { port, close } = await serving({ ...serverPair }, hello, { closing: Duration.millis(50) });
    const { closed } = await dial(port);
    await close();
    await closed;
  });
});
