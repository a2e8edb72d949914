/**
 * The server that browsers come back to (documentation of the reference: Redirect server): it shows the code that the
 * user types into the SSH login, on a page of ours or of the operator's.
 */
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { Effect, Redacted, type Scope } from "effect";
import send from "send";
import type { Redirect } from "../../config/sections/oauth2.ts";
import { failure } from "../../failure.ts";
import { type HttpServerFailure, type ListeningServer, serve } from "../../http/server.ts";
import type { Logger } from "../../log/logger.ts";
import { codePage, declinedPage, nothingPage, overPage, type Page } from "./page.ts";
import type { Arrival, Returns } from "./returns.ts";
import { filled, notUnderstood } from "./template.ts";

/** The operator's own page can't be shown. */
export class WebrootInvalid extends failure(
  "WebrootInvalid",
  "AUTH_CONFIG_ERROR",
  "Logging in with a browser is not configured correctly. Please ask your administrator.",
) {}

/** Addresses are short: what is longer is nobody's who came back from a provider. */
const LONGEST_ADDRESS = 8192;

/**
 * Listens until the scope closes. The page is at `/`, and at the path of the redirect URI.
 *
 * @param redirectUri where the provider sends browsers to; empty where the provider knows that by itself.
 */
export const redirectService = (
  config: Redirect,
  redirectUri: string,
  returns: Returns,
  logger: Logger,
): Effect.Effect<ListeningServer, HttpServerFailure | WebrootInvalid, Scope.Scope> =>
  Effect.gen(function* () {
    if (config.webroot !== "") yield* readTemplate(config.webroot);
    const paths = new Set(["/", redirectUri === "" ? "/" : new URL(redirectUri).pathname]);
    return yield* serve(config, handlerOf(config.webroot, paths, returns, logger), logger);
  });

/** What is wrong with a webroot's page, if there is one. */
export const readTemplate = (webroot: string): Effect.Effect<string, WebrootInvalid> =>
  Effect.gen(function* () {
    const path = join(webroot, "index.html");
    const template = yield* Effect.tryPromise({
      try: () => readFile(path, "utf8"),
      catch: (cause) => new WebrootInvalid({ message: `${path} can't be read`, details: { path }, cause }),
    });
    const action = notUnderstood(template);
    if (action === undefined) return template;
    const message = `${path} uses ${action}, and only {{ .Code }} is understood`;
    return yield* new WebrootInvalid({ message, details: { path } });
  });

const handlerOf =
  (webroot: string, paths: ReadonlySet<string>, returns: Returns, logger: Logger) =>
  async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method, url = "/" } = request;
    if (method !== "GET" && method !== "HEAD") return refuse(response.setHeader("allow", "GET, HEAD"), 405);
    if (url.length > LONGEST_ADDRESS) return refuse(response, 414);
    const [path = "/"] = url.split("?");
    if (!paths.has(path) && path !== "/index.html") {
      return webroot === "" ? refuse(response, 404) : sendFile(request, response, webroot, path);
    }
    const parameters = new URLSearchParams(url.slice(path.length + 1));
    const destination = returns.destination(parameters);
    if (destination !== undefined) return sendAway(response, Redacted.value(destination));
    const arrival = returns.arrived(parameters);
    logger.debug("AUTH", "A browser came back from the provider", { outcome: arrival.kind });
    if (arrival.kind !== "code" || webroot === "") return sendPage(request, response, arrival);
    const page = await Effect.runPromise(readTemplate(webroot));
    sendHtml(request, response, 200, filled(page, Redacted.value(arrival.code)), "frame-ancestors 'none'");
  };

const pages: Readonly<Record<Exclude<Arrival["kind"], "code">, readonly [status: number, page: Page]>> = {
  declined: [403, declinedPage],
  over: [410, overPage],
  nothing: [400, nothingPage],
};

const sendPage = (request: IncomingMessage, response: ServerResponse, arrival: Arrival): void => {
  const [status, page] =
    arrival.kind === "code" ? [200, codePage(Redacted.value(arrival.code))] : pages[arrival.kind];
  sendHtml(request, response, status, page.html, page.contentSecurityPolicy);
};

/** The address of these pages is as secret as the code in it: nobody else gets to know it, and nothing keeps it. */
const sendHtml = (
  { method }: IncomingMessage,
  response: ServerResponse,
  status: number,
  html: string,
  contentSecurityPolicy: string,
): void => {
  response.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": contentSecurityPolicy,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  });
  response.end(method === "HEAD" ? undefined : html);
};

const sendAway = (response: ServerResponse, location: string): void => {
  response.writeHead(302, { location, "cache-control": "no-store", "referrer-policy": "no-referrer" }).end();
};

const refuse = (response: ServerResponse, status: number): void => {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(`${status}\n`);
};

/** The other files of the operator's webroot. Those whose names begin with a dot are not for others. */
const sendFile = (request: IncomingMessage, response: ServerResponse, root: string, path: string): void => {
  send(request, path, { root, dotfiles: "ignore", index: false, cacheControl: false })
    .on("headers", (headed: ServerResponse) => void headed.setHeader("x-content-type-options", "nosniff"))
    .on("directory", () => refuse(response, 404))
    .on("error", ({ status }: { status?: number }) => refuse(response, status ?? 500))
    .pipe(response);
};
