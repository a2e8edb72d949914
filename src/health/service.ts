/**
 * The health check endpoint (documentation of the reference: Health check endpoint): `ok` with status 200 while all
 * services run, otherwise `not ok` with status 503, on every path.
 */
import type { IncomingMessage } from "node:http";
import { Effect, type Scope } from "effect";
import type { Health } from "../config/sections/health.ts";
import { type HttpServerFailure, type ListeningServer, serve } from "../http/server.ts";
import { codes } from "../log/codes.ts";
import type { Logger } from "../log/logger.ts";

/**
 * Listens until the scope closes.
 *
 * As in the reference, clients that ask for text get `ok`, and those that do not say or take anything get the JSON
 * string `"ok"`.
 */
export const healthService = (
  config: Health,
  isHealthy: () => boolean,
  logger: Logger,
): Effect.Effect<ListeningServer, HttpServerFailure, Scope.Scope> =>
  serve(
    config,
    (request, response) => {
      const healthy = isHealthy();
      const word = healthy ? "ok" : "not ok";
      const [type, body] = prefersText(request)
        ? ["text/plain; charset=utf-8", word]
        : ["application/json", JSON.stringify(word)];
      response
        .writeHead(healthy ? 200 : 503, { "content-type": type, "cache-control": "no-store" })
        .end(body);
    },
    logger,
  ).pipe(
    Effect.tap((server) =>
      Effect.sync(() =>
        logger.info(codes.HEALTH_AVAILABLE, `Health check endpoint available at ${server.url}`, {
          url: server.url,
        }),
      ),
    ),
  );

/** Whether text comes before JSON in what a client accepts (RFC 9110 section 12.5.1). */
const prefersText = ({ headers }: IncomingMessage): boolean => {
  const best = (headers.accept ?? "")
    .split(",")
    .map((range) => {
      const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
      const weight = parameters.find((parameter) => parameter.startsWith("q="));
      return { type, weight: weight === undefined ? 1 : Number(weight.slice(2)) };
    })
    .filter(({ type, weight }) => weight > 0 && (textTypes.has(type) || jsonTypes.has(type)))
    .sort((one, other) => other.weight - one.weight)[0];
  return best !== undefined && textTypes.has(best.type);
};

const textTypes: ReadonlySet<string> = new Set(["text/plain", "text/html", "text/*"]);
const jsonTypes: ReadonlySet<string> = new Set(["application/json", "application/*", "*/*"]);
