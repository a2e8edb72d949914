/** HTTP requests to the API server: where it is now, as who we are now. */
import { type ClientRequest, request as httpRequest } from "node:http";
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

/** Begins a request that its caller has to end. `path` follows the core API's URL. */
export const openRequest = (
  { url, agent, headers }: RequestAccess,
  path: string,
  options: Pick<RequestOptions, "method" | "signal"> & { readonly headers?: Record<string, string> } = {},
): ClientRequest =>
  (url.startsWith("https:") ? httpsRequest : httpRequest)(`${url}${path}`, {
    ...options,
    agent,
    headers: { ...headers, "User-Agent": "berth", Accept: "application/json", ...options.headers },
  });
