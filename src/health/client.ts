/** Asks a running daemon whether it is healthy, for `berth --healthcheck` in container images. */
import { Effect, type Scope } from "effect";
import type { Health } from "../config/sections/health.ts";
import { failure } from "../failure.ts";
import type { CertificateFailure } from "../http/certificates.ts";
import { httpClient } from "../http/client.ts";
import { codes } from "../log/codes.ts";
import type { Logger } from "../log/logger.ts";

export class HealthCheckFailed extends failure(
  "HealthCheckFailed",
  "CORE_HEALTH_CHECK_FAILED",
  "The server is not healthy.",
) {}

/**
 * Asks the endpoint at `health.client.url`, and succeeds if it answers with status 200. Where health checks are not
 * enabled there is nobody to ask, and as in the reference that is a success.
 */
export const askHealth = (
  config: Health,
  logger: Logger,
): Effect.Effect<void, HealthCheckFailed | CertificateFailure> =>
  config.enable ? Effect.scoped(ask(config, logger)) : Effect.void;

const ask = (
  { client }: Health,
  logger: Logger,
): Effect.Effect<void, HealthCheckFailed | CertificateFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const { getJson } = yield* httpClient(client, logger);
    const { status } = yield* getJson("").pipe(
      Effect.mapError((failed) => {
        const message = `Request to health check endpoint failed: ${failed.message}`;
        logger.warning(codes.HEALTH_REQUEST_FAILED, message, failed.details);
        return new HealthCheckFailed({ message: "Health check failed", cause: failed });
      }),
    );
    if (status !== 200) {
      return yield* new HealthCheckFailed({
        message: "Health check failed",
        details: { statusCode: status },
      });
    }
  });
