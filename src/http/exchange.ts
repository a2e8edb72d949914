/** One request and its answer, over redirects where they are allowed. */
import { Effect, Redacted } from "effect";
import { type Agent, type Dispatcher, request } from "undici";
import type { HttpClient as HttpClientOptions } from "../config/http.ts";
import { codes } from "../log/codes.ts";
import type { Logger } from "../log/logger.ts";
import {
  HttpConnectionFailed,
  type HttpFailure,
  HttpRedirectRefused,
  HttpResponseTooLarge,
  reasonOf,
} from "./failures.ts";
import { appended, urlForLog } from "./url.ts";

/** A larger answer is cut off: a configuration is some kilobytes, and files in it seldom a megabyte. */
export const maximumResponseBytes = 4 * 1024 * 1024;

/** Go's number, and so the reference's. */
const maximumRedirects = 10;

export type Method = "GET" | "POST" | "DELETE";

export interface Body {
  readonly type: string;
  readonly content: Redacted.Redacted<string>;
}

export interface Exchange {
  readonly agent: Agent;
  readonly options: HttpClientOptions;
  readonly logger: Logger;
  readonly method: Method;
  /** Appended to the configured URL. */
  readonly path: string;
  /** Instead of what the URL may hold of a user name and password. */
  readonly authorization?: Redacted.Redacted<string> | undefined;
  readonly body?: Body | undefined;
}

export interface Answer {
  readonly status: number;
  /** The content type as the server wrote it, `none` if it did not. */
  readonly type: string;
  readonly bytes: Uint8Array;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** What was asked of whom, for failures. */
  readonly details: { readonly method: string; readonly url: string };
}

/** What is sent next: the request, or what a redirect made of it. */
interface Step {
  readonly method: Method;
  readonly url: URL;
  readonly authorization: Redacted.Redacted<string> | undefined;
  readonly body: Body | undefined;
}

/** Asks once. Interrupting it breaks the connection off. */
export const exchange = (asked: Exchange): Effect.Effect<Answer, HttpFailure> =>
  Effect.tryPromise({
    try: (signal) => follow(asked, signal),
    catch: (cause) => (isFailure(cause) ? cause : connectionFailed(asked, cause)),
  });

const isFailure = (cause: unknown): cause is HttpRedirectRefused | HttpResponseTooLarge =>
  cause instanceof HttpRedirectRefused || cause instanceof HttpResponseTooLarge;

const connectionFailed = ({ method, options, path }: Exchange, cause: unknown) => {
  const url = urlForLog(appended(options.url, path));
  const reason = reasonOf(cause);
  return new HttpConnectionFailed({
    message: `HTTP ${method} request to ${url} failed (${reason})`,
    details: { method, url, reason },
    cause,
  });
};

const follow = async (asked: Exchange, signal: AbortSignal): Promise<Answer> => {
  const { options, logger } = asked;
  let step = firstStep(asked);
  for (let redirects = 0; ; redirects++) {
    const details = { method: step.method, url: urlForLog(step.url.href) };
    logger.debug(codes.HTTP_CLIENT_REQUEST, `HTTP ${details.method} request to ${details.url}`, details);
    const response = await send(asked.agent, step, signal);
    const { statusCode, headers } = response;
    logger.debug(codes.HTTP_CLIENT_RESPONSE, `HTTP response with status ${statusCode}`, {
      ...details,
      statusCode,
    });
    const location = isRedirect(statusCode) ? header(headers.location) : undefined;
    if (location === undefined) {
      const bytes = await readLimited(response.body, details);
      return { status: statusCode, type: header(headers["content-type"]) ?? "none", bytes, headers, details };
    }
    await response.body.dump({ limit: 64 * 1024, signal });
    const target = URL.canParse(location, step.url.href) ? new URL(location, step.url) : undefined;
    const redirect = target === undefined ? "an address that is none" : urlForLog(target.href);
    const refusal = !options.allowRedirects
      ? "Redirects disabled"
      : redirects === maximumRedirects
        ? `More than ${maximumRedirects} redirects`
        : unfollowable(step.url, target);
    if (target === undefined || refusal !== undefined) {
      const message = `${refusal}, server tried to redirect to ${redirect}`;
      throw new HttpRedirectRefused({ message, details: { ...details, redirect } });
    }
    logger.debug(codes.HTTP_CLIENT_REDIRECT, `HTTP redirect to ${redirect}`, { ...details, redirect });
    step = redirected(step, statusCode, target);
  }
};

const firstStep = ({ method, options, path, body, authorization }: Exchange): Step => {
  const bare = withoutUserinfo(new URL(appended(options.url, path)));
  return { method, url: bare.url, authorization: authorization ?? bare.authorization, body };
};

const send = (
  dispatcher: Agent,
  { method, url, authorization, body }: Step,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> =>
  request(url, {
    dispatcher,
    method,
    signal,
    headers: {
      accept: "application/json",
      "user-agent": "berth",
      ...(authorization !== undefined && { authorization: Redacted.value(authorization) }),
      ...(body !== undefined && { "content-type": body.type }),
    },
    ...(body !== undefined && { body: Redacted.value(body.content) }),
  });

const readLimited = async (
  body: AsyncIterable<Uint8Array>,
  details: Answer["details"],
): Promise<Uint8Array> => {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maximumResponseBytes) {
      const message = `The answer to the HTTP ${details.method} request to ${details.url} is longer than ${maximumResponseBytes} bytes`;
      throw new HttpResponseTooLarge({ message, details });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

const header = (value: string | ReadonlyArray<string> | undefined): string | undefined =>
  typeof value === "string" ? value : value?.[0];

/** Why a redirect is not followed even where redirects are allowed. */
const unfollowable = (from: URL, to: URL | undefined): string | undefined => {
  if (to?.protocol !== "http:" && to?.protocol !== "https:") return "Redirect to something other than HTTP";
  // What is sent to an https URL must not go on in the clear.
  return from.protocol === "https:" && to.protocol === "http:" ? "Redirect from https to http" : undefined;
};

/** As browsers and Go do it: 307 and 308 repeat the request, the others turn it into a GET. */
const redirected = (step: Step, status: number, location: URL): Step => {
  const repeats = status === 307 || status === 308;
  const { url, authorization } = withoutUserinfo(location);
  return {
    method: repeats ? step.method : "GET",
    url,
    authorization: authorization ?? (url.origin === step.url.origin ? step.authorization : undefined),
    body: repeats ? step.body : undefined,
  };
};

/** A user name and password in a URL become basic authentication (RFC 7617). */
const withoutUserinfo = (url: URL): Pick<Step, "url" | "authorization"> => {
  if (url.username === "" && url.password === "") return { url, authorization: undefined };
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  return { url: bare, authorization: Redacted.make(`Basic ${Buffer.from(credentials).toString("base64")}`) };
};
