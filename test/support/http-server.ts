/** A plain HTTP(S) server on loopback for one test, which keeps what it was asked. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer, type ServerOptions } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { text } from "node:stream/consumers";
import { onTestFinished } from "vitest";

export interface Received {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly socket: Socket;
  /** When the client is gone or has its answer: whether it left before. */
  readonly leftEarly: Promise<boolean>;
}

export type Respond = (response: ServerResponse, received: Received) => void;

export interface TestServer {
  readonly port: number;
  readonly url: string;
  readonly received: ReadonlyArray<Received>;
  /** The next request, or the first if there was none yet. */
  readonly nextReceived: () => Promise<Received>;
}

export const httpServer = async (respond: Respond, tls?: ServerOptions): Promise<TestServer> => {
  const received: Received[] = [];
  let taken = 0;
  let arrived = () => {};
  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const { method, url: path, headers, socket } = request;
    const leftEarly = once(response, "close").then(() => !response.writableFinished);
    const one = { method, path, headers, body: await text(request), socket, leftEarly };
    received.push(one);
    respond(response, one);
    arrived();
  };
  const server = tls ? createSecureServer(tls, listener) : createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `${tls ? "https" : "http"}://127.0.0.1:${port}`,
    received,
    nextReceived: async () => {
      for (;;) {
        const next = received[taken];
        if (next !== undefined) {
          taken += 1;
          return next;
        }
        await new Promise<void>((resolve) => {
          arrived = resolve;
        });
      }
    },
  };
};

/** Answers always the same. */
export const always =
  (
    body: string | Uint8Array,
    status = 200,
    headers: Record<string, string> = { "content-type": "application/json" },
  ): Respond =>
  (response) =>
    response.writeHead(status, headers).end(body);
