/**
 * An HTTP client for webhooks, the configuration server and health checks, with the reference's options: JSON or a
 * form to the server, JSON back. An exchange is limited in time (`timeout`, the whole of it) and in the size of the
 * answer, and ends with the effect that runs it.
 */
import { Effect, Redacted, type Scope } from "effect";
import type { HttpClient as HttpClientOptions } from "../config/http.ts";
import type { Logger } from "../log/logger.ts";
import { rotatingAgent } from "./agent.ts";
import type { CertificateFailure } from "./certificates.ts";
import { type Answer, type Exchange, exchange } from "./exchange.ts";
import { HttpDecodeFailed, HttpEncodeFailed, type HttpFailure, notInTime } from "./failures.ts";
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
          orElse: () =>
            Effect.fail(
              notInTime(request.method, urlForLog(appended(options.url, request.path)), options.timeout),
            ),
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
