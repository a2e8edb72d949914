/** A real HTTP server on a free port that answers as a test says and keeps what it was asked. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { onTestFinished } from "vitest";

export interface Asked {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
  /** Settles when the exchange is over, with whether the client went away before it had its answer. */
  readonly aborted: Promise<boolean>;
}

export interface WebhookServer {
  readonly url: string;
  readonly asked: readonly Asked[];
  /** Settles when the server has been asked `count` times. */
  readonly askedTimes: (count: number) => Promise<void>;
}

/** What to do with a request; a plain value is answered as JSON with status 200. */
export type Behaviour = (response: ServerResponse, asked: Asked, count: number) => void;

export const answer =
  (
    body: unknown,
    status = 200,
    headers: Record<string, string> = { "content-type": "application/json" },
  ): Behaviour =>
  (response) => {
    response.writeHead(status, headers);
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };

/** Behaves by the path that was asked for; others are not found. */
export const byPath =
  (behaviours: Readonly<Record<string, Behaviour>>): Behaviour =>
  (response, asked, count) =>
    (behaviours[asked.path ?? ""] ?? answer({ error: "Not Found" }, 404))(response, asked, count);

/**
 * For use inside a test, at whose end the server is closed.
 *
 * @example const server = await webhookServer(answer({ success: true }));
 */
export const webhookServer = async (behaviour: Behaviour): Promise<WebhookServer> => {
  const server = await openWebhookServer(behaviour);
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
};

/** For use by several tests. */
export const openWebhookServer = async (
  behaviour: Behaviour,
  port = 0,
): Promise<WebhookServer & AsyncDisposable> => {
  const asked: Asked[] = [];
  const waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  const server = createServer((request, response) => {
    const aborted = new Promise<boolean>((resolve) =>
      response.once("close", () => resolve(!response.writableFinished)),
    );
    json(request).then(
      (body) => {
        const one = { method: request.method, path: request.url, headers: request.headers, body, aborted };
        asked.push(one);
        for (const { count, resolve } of waiting) if (asked.length >= count) resolve();
        behaviour(response, one, asked.length);
      },
      () => response.destroy(),
    );
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    askedTimes: (count) =>
      asked.length >= count
        ? Promise.resolve()
        : new Promise<void>((resolve) => waiting.push({ count, resolve })),
  };
};

/** Answers that are none, for every client of a webhook: nobody may take one for a yes. */
export const uselessAnswers: ReadonlyArray<readonly [name: string, behaviour: Behaviour]> = [
  ["status 500 with a yes", answer({ success: true, config: {} }, 500)],
  ["status 201 with a yes", answer({ success: true, config: {} }, 201)],
  ["status 204", answer("", 204)],
  ["status 403", answer({ error: "Forbidden" }, 403)],
  ["a redirect", answer("", 307, { location: "/elsewhere" })],
  ["silence", () => {}],
  ["a head and then silence", (response) => response.writeHead(200).flushHeaders()],
  ["an early end of the connection", (response) => response.destroy()],
  [
    "an end of the connection in the middle",
    (response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write('{"success": true', () => response.destroy());
    },
  ],
  [
    "100 MB",
    (response) => {
      const chunk = Buffer.alloc(1024 * 1024, " ");
      let left = 100;
      const more = (): void => {
        if (response.destroyed) return;
        if (left-- === 0) response.end('{"success": true, "config": {}}');
        else response.write(chunk, more);
      };
      response.writeHead(200, { "content-type": "application/json" });
      more();
    },
  ],
  ["null", answer("null")],
  ["nothing", answer("")],
  ["HTML", answer("<!doctype html><title>yes</title>", 200, { "content-type": "text/html" })],
  ["half of JSON", answer('{"success": true')],
  ["two answers", answer('{"success": true}{"success": true}')],
  ["a list", answer([{ success: true }])],
  ["a text", answer('"true"')],
  ["true", answer("true")],
  ["a field that nobody knows", answer({ success: true, config: {}, sucess: true })],
  ["metadata of a wrong type", answer({ success: true, config: {}, metadata: { a: "b" } })],
  ["a variable named A=B", answer({ success: true, config: {}, environment: { "A=B": { value: "" } } })],
  ["a file with a relative path", answer({ success: true, config: {}, files: { x: { value: "" } } })],
];
