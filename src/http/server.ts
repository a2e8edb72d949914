/**
 * An HTTP or HTTPS server with the reference's options, for health checks, metrics, redirects of OAuth2 and the
 * inspector. Clients that are slow, silent or too many cannot hold it up.
 */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer, type Server as SecureServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Duration, Effect, Redacted, Schedule, type Scope } from "effect";
import { formatListenAddress } from "../config/codecs.ts";
import type { HttpServer as HttpServerOptions } from "../config/http.ts";
import { nodeTlsOptions } from "../config/tls.ts";
import { type ListenerLost, lossOf } from "../listener.ts";
import { codes } from "../log/codes.ts";
import type { Logger } from "../log/logger.ts";
import { type CertificateFailure, type Certificates, openCertificates } from "./certificates.ts";
import { HttpCertificateInvalid, HttpListenFailed, reasonOf } from "./failures.ts";

/** Answers a request. If it throws or rejects, the client gets status 500. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** Takes over the socket of a client that asks for another protocol (RFC 9110 section 7.8). */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface ListeningServer {
  /** `host:port` that it really listens on, an IPv6 address in brackets. */
  readonly address: string;
  readonly url: string;
  /** Fails when nobody can connect any more. */
  readonly lost: Effect.Effect<never, ListenerLost>;
}

export interface ServerLimits {
  /** For a TLS handshake, and again for the headers of a request. */
  readonly headers: Duration.Duration;
  /** For a whole request. */
  readonly request: Duration.Duration;
  /** How long requests that are being answered may take when the server is closed. */
  readonly closing: Duration.Duration;
  /** How often certificate files are looked at. */
  readonly certificates: Duration.Duration;
}

export const defaultLimits: ServerLimits = {
  headers: Duration.seconds(10),
  request: Duration.seconds(30),
  closing: Duration.seconds(5),
  certificates: Duration.seconds(10),
};

const maximumConnections = 1024;
const maximumHeaderBytes = 16 * 1024;
const keepAliveMillis = 5_000;

export type HttpServerFailure = HttpListenFailed | CertificateFailure;

/**
 * Listens until the scope closes; then requests that are being answered get a deadline. With `cert` and `key` it
 * speaks TLS, and with `clientcacert` it demands a certificate of these authorities from its clients. Certificate
 * files that change are read again.
 *
 * @example
 * const { url } = yield* serve(config.metrics, (_, response) => void response.end(text()), logger);
 */
export const serve = (
  options: HttpServerOptions,
  handler: HttpHandler,
  logger: Logger,
  limits: ServerLimits = defaultLimits,
  upgrade?: UpgradeHandler,
): Effect.Effect<ListeningServer, HttpServerFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const { clientcacert, cert, key } = options;
    const certificates = yield* openCertificates({ authorities: clientcacert, cert, key }, logger);
    const { pair, authorities } = certificates.initial;
    if (pair === undefined && authorities !== undefined) {
      const message = "clientcacert needs cert and key: without TLS nobody can show a certificate";
      return yield* new HttpCertificateInvalid({ message });
    }
    const listener = guarded(handler, logger);
    const server = pair
      ? yield* secureServer(options, certificates, listener, logger, limits)
      : createHttpServer(commonOptions(limits), listener);
    server.maxConnections = maximumConnections;
    if (upgrade !== undefined) server.on("upgrade", upgrade);
    server.on("request", (_, response) =>
      response.on("close", () => {
        // A closing server does not wait for a further request of a client that has its answer.
        if (!server.listening) server.closeIdleConnections();
      }),
    );
    yield* Effect.acquireRelease(listen(server, options.listen), (sockets) =>
      close(server, sockets, limits.closing),
    );
    server.on("error", (cause) => logger.error(codes.HTTP_SERVER_FAILED, reasonOf(cause)));
    const address = addressOf(server);
    return { address, url: `${pair ? "https" : "http"}://${address}`, lost: lossOf(server) };
  });

const commonOptions = ({ headers, request }: ServerLimits) => ({
  maxHeaderSize: maximumHeaderBytes,
  headersTimeout: Duration.toMillis(headers),
  requestTimeout: Duration.toMillis(request),
  connectionsCheckingInterval: Math.min(1_000, Duration.toMillis(headers)),
  keepAliveTimeout: keepAliveMillis,
});

const secureServer = (
  options: HttpServerOptions,
  certificates: { readonly initial: Certificates; readonly changed: Effect.Effect<Certificates | undefined> },
  listener: RequestListener,
  logger: Logger,
  limits: ServerLimits,
): Effect.Effect<SecureServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const server = createHttpsServer(
      {
        ...commonOptions(limits),
        ...contextOptions(options, certificates.initial),
        handshakeTimeout: Duration.toMillis(limits.headers),
        requestCert: certificates.initial.authorities !== undefined,
        rejectUnauthorized: true,
      },
      listener,
    );
    server.on("tlsClientError", (cause, socket) =>
      logger.debug(codes.HTTP_SERVER_TLS_FAILED, reasonOf(cause), { remoteAddress: socket.remoteAddress }),
    );
    const renew = (found: Certificates) =>
      Effect.sync(() => {
        server.setSecureContext(contextOptions(options, found));
        logger.info(codes.HTTP_CERTIFICATE_CHANGED, "the certificates of an HTTP server were read again");
      });
    yield* certificates.changed.pipe(
      Effect.flatMap((found) => (found === undefined ? Effect.void : renew(found))),
      Effect.repeat(Schedule.spaced(limits.certificates)),
      Effect.forkScoped,
    );
    return server;
  });

const contextOptions = (options: HttpServerOptions, { authorities, pair }: Certificates) => ({
  ...nodeTlsOptions(options),
  honorCipherOrder: true,
  ...(authorities !== undefined && { ca: authorities }),
  ...(pair !== undefined && { cert: pair.cert, key: Redacted.value(pair.key) }),
});

/** Keeps a handler's failure from ending the process or leaving a client without an answer. */
const guarded =
  (handler: HttpHandler, logger: Logger): RequestListener =>
  async (request, response) => {
    response.on("error", (cause) => logger.debug(codes.HTTP_SERVER_RESPONSE_WRITE_FAILED, reasonOf(cause)));
    try {
      await handler(request, response);
    } catch (cause) {
      logger.error(codes.HTTP_SERVER_ENCODE_FAILED, `no answer could be made (${reasonOf(cause)})`);
      if (response.headersSent) response.destroy();
      else response.writeHead(500, { "content-type": "text/plain" }).end("Internal Server Error\n");
    }
  };

/** Succeeds with the sockets of the server's clients, kept up to date. */
const listen = (
  server: Server | SecureServer,
  { host, port }: HttpServerOptions["listen"],
): Effect.Effect<Set<Socket>, HttpListenFailed> =>
  Effect.callback((resume) => {
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    const failed = (cause: Error) => {
      const address = formatListenAddress({ host, port });
      const message = `Failed to listen on ${address} (${reasonOf(cause)})`;
      resume(Effect.fail(new HttpListenFailed({ message, details: { address }, cause })));
    };
    server.once("error", failed);
    server.listen({ port, ...(host !== "" && { host }) }, () => {
      server.off("error", failed);
      resume(Effect.succeed(sockets));
    });
    return Effect.sync(() => server.close());
  });

const addressOf = (server: Server | SecureServer): string => {
  const address = server.address();
  return typeof address === "object" && address !== null
    ? formatListenAddress({ host: address.address, port: address.port })
    : String(address);
};

const close = (
  server: Server | SecureServer,
  sockets: ReadonlySet<Socket>,
  deadline: Duration.Duration,
): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const timer = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, Duration.toMillis(deadline));
    server.close(() => {
      clearTimeout(timer);
      resume(Effect.void);
    });
  });
