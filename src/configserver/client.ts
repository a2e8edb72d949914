/**
 * The client of the configuration server: what one connection gets beyond the file's configuration
 * (docs/reference/configserver.md of the reference). Merging it is the business of src/config/.
 */
import { Duration, Effect } from "effect";
import type { Identity } from "../../machines/facts.ts";
import { ENVIRONMENT_UNKNOWN } from "../../machines/unanswered.ts";
import type { ConfigServer } from "../config/sections/configserver.ts";
import { type Failure, failure } from "../failure.ts";
import { urlForLog } from "../http/url.ts";
import { askWebhook, type GaveUp, type JsonPoster, writeRequest } from "../http/webhook.ts";
import type { Logger } from "../log/logger.ts";
import { type Additions, withoutSensitive } from "../metadata.ts";
import { ConfigAnswer, ConfigRequest } from "./protocol.ts";

/** The configuration server could not be asked, or did not answer in a way that can be understood. */
export class ConfigBackendFailed extends failure(
  "ConfigBackendFailed",
  "CONFIG_BACKEND_ERROR",
  ENVIRONMENT_UNKNOWN,
) {}

/** The server answered with another status than 200. */
export class ConfigInvalidStatus extends failure(
  "ConfigInvalidStatus",
  "CONFIG_INVALID_STATUS_CODE",
  ENVIRONMENT_UNKNOWN,
) {}

export interface ConnectionConfig {
  /** The overlay over the file's configuration, not decoded yet; `{}` when the server sent none. */
  readonly config: unknown;
  /** For `add`: an empty authenticated user name changes nothing. */
  readonly additions: Additions & { readonly authenticatedUsername: string };
}

/** Asks for the configuration of a connection, for as long as `deadline` (the reference: 60 s). */
export type RequestConfig = (
  identity: Identity,
  deadline: Duration.Duration,
) => Effect.Effect<ConnectionConfig, Failure>;

/** The request goes to the configured URL itself, without a path. */
export const requestConfig =
  (client: JsonPoster, config: ConfigServer, logger: Logger): RequestConfig =>
  (identity, deadline) =>
    Effect.gen(function* () {
      const log = logger.with({ connectionId: identity.connectionId, username: identity.username });
      const body = yield* writeRequest(ConfigRequest)(
        config.transmitSensitiveMetadata ? identity : withoutSensitive(identity),
      );
      const answer = yield* askWebhook({
        client,
        path: "",
        body,
        answer: ConfigAnswer,
        within: deadline,
        invalidStatus: (statusCode) =>
          new ConfigInvalidStatus({
            message: `Configuration server responded with an invalid status code: ${statusCode}`,
            details: { statusCode },
          }),
        onTry: (retry) => log.debug("CONFIG_REQUEST", "Configuration request", { retry }),
        onFailure: ({ code, message }) =>
          log.debug("CONFIG_BACKEND_ERROR", `Configuration request to backend failed, retrying: ${message}`, {
            reason: code,
          }),
        // Whoever logs in often has less patience than the deadline: the operator is told all the same.
        onAbandoned: (gaveUp) => {
          const { code, message, details } = backendFailed(gaveUp, config, deadline);
          log.error(code, message, details);
        },
      }).pipe(Effect.mapError((gaveUp) => backendFailed(gaveUp, config, deadline)));
      log.debug("CONFIG_RESPONSE", "User-specific configuration received");
      const { authenticatedUsername, metadata, environment, files } = answer;
      return {
        config: answer.config ?? {},
        additions: { authenticatedUsername, metadata, environment, files },
      };
    });

const backendFailed = ({ tries, last }: GaveUp, { url }: ConfigServer, deadline: Duration.Duration) =>
  new ConfigBackendFailed({
    message: `Configuration request to backend failed, giving up: ${
      last?.message ?? `no answer within ${Duration.toMillis(deadline)} ms`
    }`,
    details: { reason: last?.code ?? "HTTP_CLIENT_CONNECTION_FAILED", tries, url: urlForLog(url) },
    cause: last,
  });
