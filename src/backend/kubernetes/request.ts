/** HTTP requests to the API server: where it is now, as who we are now. */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { Effect } from "effect";
import type { ClusterAccess, RequestAccess } from "./access.ts";
import { ConfigError } from "./failures.ts";

export const requestAccess = (access: ClusterAccess): Effect.Effect<RequestAccess, ConfigError> =>
  Effect.tryPromise({
    try: () => access.request(),
    catch: (error) =>
      error instanceof ConfigError ? error : new ConfigError({ message: String(error), cause: error }),
  });

type Options = Pick<RequestOptions, "method" | "signal"> & { readonly headers?: Record<string, string> };

/** Begins a request that its caller has to end. `path` follows the core API's URL. */
export const openRequest = (
  { url, agent, headers }: RequestAccess,
  path: string,
  options: Options = {},
): ClientRequest =>
  (url.startsWith("https:") ? httpsRequest : httpRequest)(`${url}${path}`, {
    ...options,
    agent,
    headers: { ...headers, "User-Agent": "berth", Accept: "application/json", ...options.headers },
  });

/** Makes a request. One that comes upon a stale connection is made again. */
export const responseTo = (
  access: RequestAccess,
  path: string,
  options: Options = {},
  body?: Uint8Array,
): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const request = openRequest(access, path, options);
    request.once("response", resolve);
    request.on("error", (error) =>
      isStale(request, error) ? resolve(responseTo(access, path, options, body)) : reject(error),
    );
    request.end(body);
  });

/**
 * Whether a request failed for the connection alone, which was kept from an earlier request: servers and what is between
 * close connections that nobody uses, and may just have done so.
 */
export const isStale = ({ reusedSocket }: ClientRequest, error: NodeJS.ErrnoException): boolean =>
  reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
