/** What can go wrong with HTTP, by the reference's message codes. None of it holds a body, a password or a query. */
import { Duration } from "effect";
import { failure } from "../failure.ts";

const unreachable = "A service this server depends on cannot be reached. Please try again later.";
const wrongAnswer = "A service this server depends on gave a wrong answer. Please try again later.";
const misconfigured = "This server is not configured correctly. Please try again later.";

/** No connection, no trust in the certificate, a broken connection, or no complete answer in time. */
export class HttpConnectionFailed extends failure(
  "HttpConnectionFailed",
  "HTTP_CLIENT_CONNECTION_FAILED",
  unreachable,
) {}

/** The answer is not JSON. */
export class HttpDecodeFailed extends failure("HttpDecodeFailed", "HTTP_CLIENT_DECODE_FAILED", wrongAnswer) {}

/** The body to send has no JSON form. */
export class HttpEncodeFailed extends failure(
  "HttpEncodeFailed",
  "HTTP_CLIENT_ENCODE_FAILED",
  "An internal error happened. Please tell your administrator.",
) {}

/** The server sent a redirect that may not be followed. */
export class HttpRedirectRefused extends failure(
  "HttpRedirectRefused",
  "HTTP_CLIENT_REDIRECTS_DISABLED",
  wrongAnswer,
) {}

/** The answer is longer than `maximumResponseBytes`. */
export class HttpResponseTooLarge extends failure(
  "HttpResponseTooLarge",
  "HTTP_CLIENT_RESPONSE_TOO_LARGE",
  wrongAnswer,
) {}

/** A certificate, an authority or a key cannot be used. */
export class HttpCertificateInvalid extends failure(
  "HttpCertificateInvalid",
  "HTTP_CERTIFICATE_INVALID",
  misconfigured,
) {}

/** An HTTP server cannot listen. */
export class HttpListenFailed extends failure("HttpListenFailed", "HTTP_LISTEN_FAILED", misconfigured) {}

/** The whole of an exchange took too long. The URL is one for logs. */
export const notInTime = (method: string, url: string, limit: Duration.Duration): HttpConnectionFailed => {
  const reason = `no complete answer within ${Duration.format(limit)}`;
  const message = `HTTP ${method} request to ${url} failed (${reason})`;
  return new HttpConnectionFailed({ message, details: { method, url, reason } });
};

/** How an exchange can fail. */
export type HttpFailure =
  | HttpConnectionFailed
  | HttpDecodeFailed
  | HttpEncodeFailed
  | HttpRedirectRefused
  | HttpResponseTooLarge;

/** What an operator needs to know of an error of the network: its code, and the words if they add something. */
export const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
  const [words = ""] = error.message.split("\n", 1);
  if (words === "") return code;
  return words.includes(code) ? words : `${code}: ${words}`;
};
