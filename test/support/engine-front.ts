/**
 * Stands before a real Engine: sees every request, and may do something before it goes on, or answer it in the Engine's
 * place. For what is hard to make an Engine do at the right moment.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { TestEngine } from "./docker.ts";

export interface EngineRequest {
  readonly method: string;
  /** With the API version and the query. */
  readonly path: string;
  /** Decoded from JSON; undefined where there is none. */
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

export interface EngineAnswer {
  readonly status: number;
  readonly body: object;
}

export interface EngineFront extends AsyncDisposable {
  readonly host: string;
  /** All so far. */
  readonly requests: readonly EngineRequest[];
}

/** The API of Debian's Engine: what requests of every other go on as. */
const REAL_API = "/v1.41/";

/** `decide`: what is to happen before a request goes on; its answer, if there is one, is given instead. */
export const engineFront = async (
  engine: TestEngine,
  decide: (request: EngineRequest) => EngineAnswer | undefined | Promise<EngineAnswer | undefined>,
): Promise<EngineFront> => {
  const requests: EngineRequest[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  };
  const serve = (client: Socket): void => {
    keep(client);
    client.on("error", () => client.destroy());
    let received = Buffer.alloc(0);
    const take = async (chunk: Buffer): Promise<void> => {
      received = Buffer.concat([received, chunk]);
      const request = parse(received);
      if (request === undefined) return;
      client.off("data", take);
      client.pause();
      requests.push(request);
      const answer = await decide(request);
      if (answer !== undefined) {
        client.end(response(answer));
        client.resume();
        return;
      }
      const real = connect({ path: engine.socketPath, allowHalfOpen: true });
      keep(real);
      real.on("error", () => client.destroy());
      real.write(rewritten(request, received));
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
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
};

/** Undefined until the whole request is there; archives are let through while they still come. */
const parse = (bytes: Buffer): EngineRequest | undefined => {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = bytes.toString("latin1", 0, end);
  const [method = "", path = ""] = head.split(" ", 2);
  if (!/^content-type: *application\/json/im.test(head)) return { method, path, body: undefined };
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
  const content = bytes.subarray(end + 4);
  if (content.length < length) return undefined;
  return { method, path, body: length === 0 ? undefined : JSON.parse(content.toString("utf8")) };
};

const rewritten = ({ method, path }: EngineRequest, bytes: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`${method} ${path.replace(/^\/v[\d.]+\//, REAL_API)} `),
    bytes.subarray(`${method} ${path} `.length),
  ]);

const response = ({ status, body }: EngineAnswer): string => {
  const text = JSON.stringify(body);
  return [
    `HTTP/1.1 ${status} Status`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text)}`,
    "Connection: close",
    "",
    text,
  ].join("\r\n");
};
