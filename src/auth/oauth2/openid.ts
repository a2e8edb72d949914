/**
 * How providers are talked with: openid-client, whose validation stays on, over our HTTP client. What it throws is
 * sorted here, and what it throws along (answers with tokens in them) ends here.
 */
import { type Duration, Effect, Redacted } from "effect";
import {
  allowInsecureRequests,
  type ClientAuth,
  ClientError,
  ClientSecretBasic,
  ClientSecretPost,
  Configuration,
  customFetch,
  discovery,
  enableNonRepudiationChecks,
  ResponseBodyError,
  type ServerMetadata,
  WWWAuthenticateChallengeError,
} from "openid-client";
import {
  HttpConnectionFailed,
  type HttpFailure,
  HttpRedirectRefused,
  HttpResponseTooLarge,
} from "../../http/failures.ts";
import type { Fetch } from "../../http/fetch.ts";
import { pauses } from "../../http/webhook.ts";
import { Problem, type ProblemKind } from "./failures.ts";

/** Who we are to a provider. */
export interface OAuth2Client {
  readonly clientId: string;
  readonly clientSecret: Redacted.Redacted<string>;
  readonly fetch: Fetch;
  /** How long a request that gets no answer is tried again. */
  readonly patience: Duration.Duration;
  /** Whether the operator wrote an address without TLS. */
  readonly isInsecure: boolean;
}

/** Our HTTP client has its own limit for a request: this one only has to be longer. */
const LONGEST_REQUEST_SECONDS = 3600;

/**
 * Asks a provider. Interrupting it breaks the request off.
 *
 * @example
 * const grant = yield* ask(client, provider.server, (configuration) => fetchUserInfo(configuration, token, subject));
 */
export const ask = <A>(
  client: OAuth2Client,
  server: ServerMetadata,
  request: (configuration: Configuration) => Promise<A>,
): Effect.Effect<A, Problem> =>
  Effect.tryPromise({
    try: (signal) => {
      const { clientId, clientSecret } = client;
      const configuration = new Configuration(server, clientId, {}, authentication(server, clientSecret));
      configuration[customFetch] = (url, init) => client.fetch(url, { ...init, signal });
      configuration.timeout = LONGEST_REQUEST_SECONDS;
      for (const extension of extensions(client)) extension(configuration);
      return request(configuration);
    },
    catch: problemOf,
  });

/** Reads a provider's own description, and believes it only if it is the description of this issuer. */
export const describe = (client: OAuth2Client, issuer: URL): Effect.Effect<ServerMetadata, Problem> =>
  Effect.tryPromise({
    try: async (signal) => {
      const configuration = await discovery(issuer, client.clientId, {}, undefined, {
        [customFetch]: (url, init) => client.fetch(url, { ...init, signal }),
        execute: extensions(client),
        timeout: LONGEST_REQUEST_SECONDS,
      });
      return { ...configuration.serverMetadata() };
    },
    catch: problemOf,
  });

/** Asks again, with growing pauses, as long as there is no answer and the client's patience lasts. */
export const insistently = <A>(
  client: OAuth2Client,
  request: Effect.Effect<A, Problem>,
): Effect.Effect<A, Problem> =>
  Effect.suspend(() => {
    let last: Problem | undefined;
    return request.pipe(
      Effect.tapError((problem) =>
        Effect.sync(() => {
          last = problem;
        }),
      ),
      Effect.retry({ schedule: pauses, while: ({ kind }) => kind === "unreachable" }),
      Effect.timeoutOrElse({
        duration: client.patience,
        orElse: () => Effect.suspend(() => Effect.fail(last ?? unreachable("no answer in time"))),
      }),
    );
  });

/** How an answer of status 200 that holds an object in JSON is to be read. */
export type Translation = (body: object) => { readonly status: number; readonly body: object };

/** For servers whose answers are not quite those of the protocol. What is no JSON is for openid-client to judge. */
export const translated =
  (fetch: Fetch, translate: Translation): Fetch =>
  async (url, init) => {
    const response = await fetch(url, init);
    if (response.status !== 200) return response;
    const text = await response.text();
    const { headers } = response;
    const original = objectIn(text);
    if (original === undefined) return new Response(text, { headers });
    const { status, body } = translate(original);
    return new Response(JSON.stringify(body), { status, headers });
  };

const objectIn = (text: string): object | undefined => {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? body : undefined;
  } catch {
    return undefined;
  }
};

/** ID tokens are verified by their signature too, where the protocol would trust the connection. */
const extensions = ({ isInsecure }: OAuth2Client) => [
  enableNonRepudiationChecks,
  ...(isInsecure ? [allowInsecureRequests] : []),
];

/** Basic, as the reference does it and RFC 6749 section 2.3.1 demands it of servers, unless one rules it out. */
const authentication = (
  { token_endpoint_auth_methods_supported: supported }: ServerMetadata,
  secret: Redacted.Redacted<string>,
): ClientAuth =>
  supported?.includes("client_secret_post") && !supported.includes("client_secret_basic")
    ? ClientSecretPost(Redacted.value(secret))
    : ClientSecretBasic(Redacted.value(secret));

const unreachable = (reason: string): Problem => new Problem({ kind: "unreachable", reason });

/** Sorts what openid-client throws. @internal */
export const problemOf = (thrown: unknown): Problem => {
  const http = httpFailureOf(thrown);
  if (http instanceof HttpConnectionFailed) return unreachable(http.message);
  if (http !== undefined) return new Problem({ kind: "malformed", reason: http.message });
  if (thrown instanceof ResponseBodyError) {
    const { status, error_description: description, cause } = thrown;
    const error = errorCode(thrown.error);
    const words = description === undefined ? "" : ` (${readable(description)})`;
    return new Problem({
      kind: kindOf(status),
      reason: `the provider answered ${error} with status ${status}${words}`,
      error,
      status,
      ...(typeof cause.interval === "number" && { interval: cause.interval }),
    });
  }
  if (thrown instanceof WWWAuthenticateChallengeError) {
    const { status } = thrown;
    const error = thrown.cause.map(({ parameters }) => parameters.error).find((code) => code !== undefined);
    return new Problem({
      kind: kindOf(status),
      reason: `the provider answered with status ${status} and a wish for other credentials`,
      status,
      ...(error !== undefined && { error: errorCode(error) }),
    });
  }
  if (thrown instanceof ClientError && thrown.cause instanceof Response) {
    const { status } = thrown.cause;
    return new Problem({ kind: kindOf(status), reason: `${thrown.message} (status ${status})`, status });
  }
  if (thrown instanceof ClientError) {
    const words = thrown.cause instanceof Error ? thrown.cause.message : thrown.message;
    return new Problem({ kind: "unverified", reason: words });
  }
  return new Problem({ kind: "unverified", reason: thrown instanceof Error ? thrown.message : "unknown" });
};

const kindOf = (status: number): ProblemKind => {
  if (status >= 500) return "unreachable";
  return status >= 400 ? "refused" : "malformed";
};

/** The failure of our HTTP client, which openid-client hands on as the cause of its own error. */
const httpFailureOf = (thrown: unknown): HttpFailure | undefined => {
  if (isHttpFailure(thrown)) return thrown;
  return thrown instanceof Error ? httpFailureOf(thrown.cause) : undefined;
};

const isHttpFailure = (thrown: unknown): thrown is HttpFailure =>
  thrown instanceof HttpConnectionFailed ||
  thrown instanceof HttpRedirectRefused ||
  thrown instanceof HttpResponseTooLarge;

/** An error code of the protocol; whatever else stands in its place is not repeated. */
const errorCode = (error: string): string => (/^[a-z][a-z_]{0,63}$/.test(error) ? error : "another_error");

/** A provider's own words, short and in one line, without what could be a code or a token. */
const readable = (words: string): string =>
  words
    .replace(/[^\x20-\x7e]+/g, " ")
    .replace(/[\w.~+/=-]{20,}/g, "…")
    .slice(0, 200);
