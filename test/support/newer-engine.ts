/**
 * A real Engine that claims to speak a newer API than it does: requests are recorded as they came and passed on in the
 * API that the Engine knows. Shows what Berth asks of Engines that Debian does not have yet.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { TestEngine } from "./docker.ts";

export interface RecordedRequest {
  readonly method: string;
  /** With the API version. */
  readonly path: string;
  /** Decoded from JSON; undefined where there is none. */
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

export interface NewerEngine extends AsyncDisposable {
  readonly host: string;
  readonly requests: readonly RecordedRequest[];
}

/** The API of Debian's Engine. */
const REAL_API = "v1.41";

export const newerEngine = async (engine: TestEngine, apiVersion: string): Promise<NewerEngine> => {
  const requests: RecordedRequest[] = [];
  const sockets = new Set<Socket>();
  const serve = (client: Socket): void => {
    sockets.add(client);
    client.once("close", () => sockets.delete(client));
    client.on("error", () => client.destroy());
    let received = Buffer.alloc(0);
    const take = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const request = parse(received);
      if (request === undefined) return;
      client.off("data", take);
      client.pause();
      const { method, path, body } = request;
      requests.push({ method, path, body });
      if (path === "/version") {
        const answer = JSON.stringify({ Version: "99.0", ApiVersion: apiVersion, MinAPIVersion: "1.24" });
        client.end(
          `HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\nConnection: close\r\n\r\n${answer}`,
        );
        client.resume();
        return;
      }
      const real = connect({ path: engine.socketPath, allowHalfOpen: true });
      sockets.add(real);
      real.once("close", () => sockets.delete(real));
      real.on("error", () => client.destroy());
      const head = `${method} ${path.replace(/^\/v[\d.]+/, `/${REAL_API}`)} `;
      real.write(Buffer.concat([Buffer.from(head), received.subarray(`${method} ${path} `.length)]));
      client.pipe(real);
      real.pipe(client);
    };
    client.on("data", take);
  };
  // Each of Berth's requests has a connection of its own.
  const server = createServer({ allowHalfOpen: true }, serve).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
};

/** Undefined until the whole request is there. */
const parse = (bytes: Buffer): RecordedRequest | undefined => {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = bytes.toString("latin1", 0, end);
  const [method = "", path = ""] = head.split(" ", 2);
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
  const content = bytes.subarray(end + 4);
  if (content.length < length) return undefined;
  const isJson = length > 0 && /^content-type: *application\/json/im.test(head);
  return { method, path, body: isJson ? JSON.parse(content.toString("utf8")) : undefined };
};
