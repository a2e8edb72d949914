/** The same HTTP client in the form of `fetch`, for libraries that speak a protocol on top of HTTP and bring no client. */
import { Effect, Redacted, type Scope } from "effect";
import type { HttpClient as HttpClientOptions } from "../config/http.ts";
import type { Logger } from "../log/logger.ts";
import { rotatingAgent } from "./agent.ts";
import type { CertificateFailure } from "./certificates.ts";
import { type Answer, type Body, exchange, type Method } from "./exchange.ts";
import { notInTime } from "./failures.ts";
import { urlForLog } from "./url.ts";

export interface FetchInit {
  readonly method: string;
  /** Of these, the content type and the authorization are sent. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** Rejects with an `HttpFailure`. Redirects, the size of an answer and its time are limited as everywhere. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

/**
 * Its connections are kept for further requests until the scope closes. The `url` of the options is not used.
 *
 * @example
 * const fetch = yield* httpFetch(config.oidc, logger);
 */
export const httpFetch = (
  options: HttpClientOptions,
  logger: Logger,
): Effect.Effect<Fetch, CertificateFailure, Scope.Scope> =>
  Effect.map(rotatingAgent(options, logger), (agent) => (url, init) => {
    const answer = Effect.gen(function* () {
      return yield* exchange({
        agent: yield* agent,
        options: { ...options, url },
        logger: logger.with({ endpoint: urlForLog(url) }),
        path: "",
        method: methodOf(init),
        authorization: authorizationOf(init),
        body: bodyOf(init),
      });
    });
    const inTime = Effect.timeoutOrElse(answer, {
      duration: options.timeout,
      orElse: () => Effect.fail(notInTime(init.method, urlForLog(url), options.timeout)),
    });
    return Effect.runPromise(Effect.map(inTime, responseOf), { signal: init.signal });
  });

const methodOf = ({ method }: FetchInit): Method => {
  if (method === "GET" || method === "POST" || method === "DELETE") return method;
  throw new TypeError(`an HTTP request with the method ${method} is not expected`);
};

const headerOf = ({ headers }: FetchInit, name: string): string | undefined =>
  Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];

const authorizationOf = (init: FetchInit): Redacted.Redacted<string> | undefined => {
  const authorization = headerOf(init, "authorization");
  return authorization === undefined ? undefined : Redacted.make(authorization);
};

const bodyOf = (init: FetchInit): Body | undefined => {
  const { body } = init;
  if (body === undefined || body === null) return undefined;
  if (typeof body !== "string" && !(body instanceof URLSearchParams)) {
    throw new TypeError("the body of an HTTP request is expected to be text");
  }
  const type = body instanceof URLSearchParams ? "application/x-www-form-urlencoded" : "text/plain";
  return { type: headerOf(init, "content-type") ?? type, content: Redacted.make(String(body)) };
};

/** Statuses that have no body (RFC 9110 section 15), for which `Response` takes none. */
const isBodiless = (status: number): boolean => [204, 205, 304].includes(status);

const responseOf = ({ status, bytes, headers }: Answer): Response =>
  new Response(isBodiless(status) ? null : new Uint8Array(bytes), {
    status,
    headers: Object.entries(headers).flatMap(([name, value]): [string, string][] =>
      [value ?? []].flat().map((text) => [name, text]),
    ),
  });
