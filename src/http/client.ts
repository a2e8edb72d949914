/**
 * An HTTP client for webhooks, the configuration server and health checks, with the reference's options: JSON or a
 * form to the server, JSON back. An exchange is limited in time (`timeout`, the whole of it) and in the size of the
 * answer, and ends with the effect that runs it.
 */
import { createSecureContext } from "node:tls";
import { Duration, Effect, Redacted, type Scope } from "effect";
import { Agent } from "undici";
import type { HttpClient as HttpClientOptions } from "../config/http.ts";
import { nodeTlsOptions } from "../config/tls.ts";
import { codes } from "../log/codes.ts";
import type { Logger } from "../log/logger.ts";
import {
  type CertificateFailure,
  type Certificates,
  openCertificates,
  systemAuthorities,
} from "./certificates.ts";
import { type Answer, type Exchange, exchange } from "./exchange.ts";
import { HttpConnectionFailed, HttpDecodeFailed, HttpEncodeFailed, type HttpFailure } from "./failures.ts";
import { appended, urlForLog } from "./url.ts";

export interface JsonAnswer {
  readonly status: number;
  /** The decoded JSON; undefined if the status is not one of success and the answer is not JSON. */
  readonly body: unknown;
}

/** Paths are appended to the configured URL as they are. Any status is an answer. */
export interface HttpClient {
  readonly getJson: (path: string) => Effect.Effect<JsonAnswer, HttpFailure>;
  readonly postJson: (path: string, body: unknown) => Effect.Effect<JsonAnswer, HttpFailure>;
  /** Sends `application/x-www-form-urlencoded`. */
  readonly postForm: (
    path: string,
    fields: Readonly<Record<string, string>>,
  ) => Effect.Effect<JsonAnswer, HttpFailure>;
}

/**
 * A client whose connections are kept for further requests until the scope closes. Certificates that are files are
 * read again when they have changed.
 *
 * @example
 * const client = yield* httpClient(config.configserver, logger);
 * const { status, body } = yield* client.postJson("/config", { username: "jane" });
 */
export const httpClient = (
  options: HttpClientOptions,
  logger: Logger,
): Effect.Effect<HttpClient, CertificateFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const log = logger.with({ endpoint: urlForLog(options.url) });
    const agent = yield* rotatingAgent(options, log);
    const ask = (request: Omit<Exchange, "agent" | "options" | "logger">) =>
      agent.pipe(
        Effect.flatMap((current) => exchange({ ...request, agent: current, options, logger: log })),
        Effect.timeoutOrElse({
          duration: options.timeout,
          orElse: () => Effect.fail(timedOut(options, request)),
        }),
        Effect.flatMap(decode),
      );
    return {
      getJson: (path) => ask({ method: "GET", path }),
      postJson: (path, body) =>
        Effect.flatMap(encode(body), (content) =>
          ask({ method: "POST", path, body: { type: "application/json", content } }),
        ),
      postForm: (path, fields) => {
        const content = Redacted.make(new URLSearchParams(fields).toString());
        return ask({ method: "POST", path, body: { type: "application/x-www-form-urlencoded", content } });
      },
    };
  });

const timedOut = (
  { url: base, timeout }: HttpClientOptions,
  { method, path }: Pick<Exchange, "method" | "path">,
) => {
  const url = urlForLog(appended(base, path));
  const reason = `no complete answer within ${Duration.format(timeout)}`;
  return new HttpConnectionFailed({
    message: `HTTP ${method} request to ${url} failed (${reason})`,
    details: { method, url, reason },
  });
};

/** The agent to use now: a new one after certificates have changed, while the old one ends what it has begun. */
const rotatingAgent = (
  options: HttpClientOptions,
  logger: Logger,
): Effect.Effect<Effect.Effect<Agent>, CertificateFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const { cacert, cert, key } = options;
    const certificates = yield* openCertificates({ authorities: cacert, cert, key }, logger);
    const system = cacert.trim() === "" ? yield* systemAuthorities : undefined;
    const agents = new Set<Agent>();
    const make = (found: Certificates): Agent => {
      const agent = agentWith(options, found, system);
      agents.add(agent);
      return agent;
    };
    let current = make(certificates.initial);
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => Promise.all([...agents].map((agent) => agent.destroy()))),
    );
    return Effect.map(certificates.changed, (found) => {
      if (found === undefined) return current;
      const old = current;
      current = make(found);
      logger.info(codes.HTTP_CERTIFICATE_CHANGED, "the certificates of an HTTP client were read again");
      const forget = () => agents.delete(old);
      // It fails only when the agent is gone already.
      void old.close().then(forget, forget);
      return current;
    });
  });

const agentWith = (
  { timeout, ...options }: HttpClientOptions,
  { authorities, pair }: Certificates,
  system: string | undefined,
): Agent => {
  const ca = authorities ?? system;
  const secureContext = createSecureContext({
    ...nodeTlsOptions(options),
    ...(ca !== undefined && { ca }),
    ...(pair !== undefined && { cert: pair.cert, key: Redacted.value(pair.key) }),
  });
  return new Agent({
    // The exchange as a whole has one time limit: only the attempt to connect would outlive it.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { secureContext, timeout: Duration.toMillis(timeout) },
  });
};

const encode = (body: unknown): Effect.Effect<Redacted.Redacted<string>, HttpEncodeFailed> =>
  Effect.try({
    try: () => {
      const content: string | undefined = JSON.stringify(body);
      if (content === undefined) throw new TypeError(`a ${typeof body} has no JSON form`);
      return Redacted.make(content);
    },
    catch: (cause) => new HttpEncodeFailed({ message: "HTTP request encoding failed", cause }),
  });

/**
 * The bytes decide whether an answer is JSON: servers in the field send it under all kinds of content types, those
 * written with the reference's own library as `text/plain`. The type only helps to explain a failure.
 */
const decode = ({ status, type, bytes, details }: Answer): Effect.Effect<JsonAnswer, HttpDecodeFailed> =>
  Effect.suspend(() => {
    try {
      const body: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
      return Effect.succeed({ status, body });
    } catch {
      // The parser's message quotes the answer, which may hold secrets: what the answer claims to be says enough.
      if (status < 200 || status > 299) return Effect.succeed({ status, body: undefined });
      const what = bytes.length === 0 ? "it is empty" : `its content type is ${type}`;
      return new HttpDecodeFailed({
        message: `Failed to decode HTTP response: it is not JSON (${what})`,
        details: { ...details, statusCode: status, contentType: type },
      });
    }
  });
