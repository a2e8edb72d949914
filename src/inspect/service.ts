/**
 * The inspector's HTTP server: the page, its WebSocket, and a small JSON API. The page's files hold no secret and are
 * for everybody; for all the rest whoever asks must have the token.
 *
 * - `GET /api/connections`: rows of all connections, live and finished.
 * - `GET /api/connections/REFERENCE`: the trace of one, by its ID or the beginning of it.
 * - `POST /api/connections/ID/disconnect`: ends it, where `inspect.allowControl` says so.
 * - `GET /api/daemon`: the trace of the daemon and its services.
 * - `GET /api/statistics`: counts since the start, with every state that was entered and transition that was taken.
 * - `/inspect`: the WebSocket.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { fileURLToPath } from "node:url";
import { Effect, type Scope } from "effect";
import send from "send";
import { WebSocketServer } from "ws";
import type { Refusal } from "../../machines/facts.ts";
import type { Inspect } from "../config/sections/inspect.ts";
import { defaultLimits, type HttpServerFailure, type ListeningServer, serve } from "../http/server.ts";
import type { Logger } from "../log/logger.ts";
import { Clients } from "./clients.ts";
import { SUBPROTOCOL } from "./format.ts";
import type { Recorder } from "./recorder.ts";
import { mayAsk, mayConnect, type Token } from "./token.ts";
import { traceJson } from "./traces.ts";

export interface InspectorOptions {
  readonly config: Inspect;
  readonly recorder: Recorder;
  readonly token: Token;
  readonly version: string;
  readonly logger: Logger;
  readonly disconnect: (connectionId: string, refusal: Refusal) => boolean;
}

/** How many clients may look at once. */
const MOST_CLIENTS = 64;
const LONGEST_MESSAGE_BYTES = 4096;
const PAGE = fileURLToPath(new URL("./page/", import.meta.url));
const DIAGRAMS = fileURLToPath(new URL("../../diagrams/", import.meta.url));

const securityHeaders = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** Listens until the scope closes. */
export const inspectorService = (
  options: InspectorOptions,
): Effect.Effect<ListeningServer, HttpServerFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const { config, recorder, logger, version } = options;
    const clients = new Clients({ recorder, logger, version, allowControl: config.allowControl });
    const upgrade = upgraderTo(clients, options);
    const server = yield* serve(config, handlerOf(options), logger, defaultLimits, upgrade);
    yield* Effect.addFinalizer(() => Effect.sync(() => clients.close()));
    return server;
  });

const remoteAddressOf = ({ socket }: IncomingMessage): string => socket.remoteAddress ?? "";

const upgraderTo = (clients: Clients, { token, logger }: InspectorOptions) => {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: LONGEST_MESSAGE_BYTES,
    perMessageDeflate: false,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });
  return (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const remoteAddress = remoteAddressOf(request);
    const refuse = (status: string): void =>
      void socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
    socket.on("error", ({ message: error }) =>
      logger.debug("INSPECT_REFUSED", "A client of the inspector is gone", { remoteAddress, error }),
    );
    if (pathOf(request) !== "/inspect") return refuse("404 Not Found");
    if (!mayConnect(token, request)) {
      tellRefused(logger, request);
      return refuse("401 Unauthorized\r\nWWW-Authenticate: Bearer");
    }
    if (clients.count >= MOST_CLIENTS) return refuse("503 Service Unavailable");
    sockets.handleUpgrade(request, socket, head, (client) => {
      if (client.protocol === SUBPROTOCOL) clients.addPage(client, remoteAddress);
      else clients.addStately(client, remoteAddress);
    });
  };
};

const pathOf = ({ url = "/" }: IncomingMessage): string => url.split("?", 1)[0] ?? "/";

const tellRefused = (logger: Logger, request: IncomingMessage): void =>
  logger.notice("INSPECT_REFUSED", "Somebody asked the inspector without the right token", {
    remoteAddress: remoteAddressOf(request),
    path: pathOf(request),
  });

const handlerOf =
  (options: InspectorOptions) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value);
    const path = pathOf(request);
    if (!path.startsWith("/api/")) return file(request, response, path, options.logger);
    if (!mayAsk(options.token, request)) {
      tellRefused(options.logger, request);
      return problem(response.setHeader("www-authenticate", "Bearer"), 401, "the token is missing or wrong");
    }
    api(options, request, response, path);
  };

const api = (
  options: InspectorOptions,
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
): void => {
  const { recorder } = options;
  const [, , what = "", reference = "", action = "", ...more] = path.split("/");
  if (more.length > 0) return problem(response, 404, "there is nothing");
  if (what === "connections" && action === "disconnect") {
    return request.method === "POST"
      ? disconnect(options, request, response, reference)
      : problem(response.setHeader("allow", "POST"), 405, "only POST is allowed");
  }
  if (request.method !== "GET")
    return problem(response.setHeader("allow", "GET"), 405, "only GET is allowed");
  if (action !== "") return problem(response, 404, "there is nothing");
  switch (what) {
    case "connections": {
      if (reference === "")
        return json(response, 200, JSON.stringify({ connections: recorder.traces.rows() }));
      const owner = recorder.traces.find(reference);
      return owner === undefined
        ? problem(response, 404, "no connection with this reference is kept")
        : json(response, 200, traceJson(owner));
    }
    case "daemon":
      return json(response, 200, traceJson(recorder.traces.daemon));
    case "statistics":
      return json(response, 200, JSON.stringify({ ...recorder.statistics(), machines: recorder.visits() }));
    default:
      return problem(response, 404, "there is nothing");
  }
};

const disconnected: Refusal = {
  code: "INSPECT_DISCONNECT",
  level: "notice",
  userMessage: "An administrator has ended this connection.",
  message: "The connection was ended at the inspector",
  details: {},
};

const disconnect = (
  options: InspectorOptions,
  request: IncomingMessage,
  response: ServerResponse,
  connectionId: string,
): void => {
  if (!options.config.allowControl) return problem(response, 403, "inspect.allowControl is off");
  const details = { connectionId, by: remoteAddressOf(request), certificate: certificateOf(request) };
  if (!options.disconnect(connectionId, disconnected))
    return problem(response, 404, "there is no such connection");
  options.logger.notice("INSPECT_DISCONNECT", "Somebody at the inspector ended the connection", details);
  json(response, 200, "{}");
};

/** Whose certificate a client has shown, where `clientcacert` asks for one. */
const certificateOf = ({ socket }: IncomingMessage): string | undefined => {
  if (!(socket instanceof TLSSocket)) return undefined;
  const name = socket.getPeerCertificate().subject?.CN;
  return Array.isArray(name) ? name.join(", ") : name;
};

const json = (response: ServerResponse, status: number, body: string): void =>
  void response
    .writeHead(status, { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" })
    .end(body);

const problem = (response: ServerResponse, status: number, error: string): void =>
  json(response, status, JSON.stringify({ error }));

/** The page and the diagrams, which are part of the build. */
const file = (request: IncomingMessage, response: ServerResponse, path: string, logger: Logger): void => {
  const isDiagram = path.startsWith("/diagrams/");
  const root = isDiagram ? DIAGRAMS : PAGE;
  send(request, isDiagram ? path.slice("/diagrams".length) : path, { root, dotfiles: "deny", maxAge: 0 })
    .on("directory", () => problem(response, 404, "there is nothing"))
    .on("error", ({ status = 500 }: { readonly status?: number }) => {
      if (path === "/")
        logger.error("INSPECT_PAGE_MISSING", "The inspector's page is not there: build it", {});
      problem(response, status, "there is nothing");
    })
    .pipe(response);
};
