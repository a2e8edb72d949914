/**
 * The authentication webhook: passwords, public keys and authorization are asked of a server of the operator's
 * (docs/reference/auth-webhook.md of the reference). Only an answer with status 200 that can be read in full and
 * says `"success": true` lets anybody in.
 */
import { Duration, Effect } from "effect";
import { LOGIN_UNCHECKED } from "../../machines/unanswered.ts";
import type { AuthWebhook } from "../config/sections/auth.ts";
import { failure } from "../failure.ts";
import { urlForLog } from "../http/url.ts";
import { askWebhook, type GaveUp, type JsonPoster, writeRequest } from "../http/webhook.ts";
import type { Logger } from "../log/logger.ts";
import { add, withoutSensitive } from "../metadata.ts";
import {
  type Attempt,
  AuthBackendFailed,
  type Authenticator,
  AuthorizationRefused,
  type Authorize,
  PasswordRefused,
  PublicKeyRefused,
  provenIdentity,
} from "./authenticator.ts";
import { AuthAnswer, AuthorizationRequest, PasswordRequest, PublicKeyRequest } from "./protocol.ts";

/** The server answered with another status than 200: that is an error of the server, never a verdict on a login. */
export class AuthInvalidStatus extends failure("AuthInvalidStatus", "AUTH_INVALID_STATUS", LOGIN_UNCHECKED) {}

/** How to talk with one webhook. */
export interface AuthWebhookConnection {
  readonly client: JsonPoster;
  readonly config: AuthWebhook;
  readonly logger: Logger;
}

export const webhookPassword =
  (webhook: AuthWebhookConnection): NonNullable<Authenticator["password"]> =>
  (attempt) =>
    Effect.gen(function* () {
      const log = attemptLogger(webhook, attempt, "password");
      const { password, ...rest } = attempt;
      const body = yield* writeRequest(PasswordRequest)({ ...rest, password });
      const answer = yield* ask(webhook, log, "Password authentication", "/password", body);
      if (!answer.success) {
        return yield* new PasswordRefused({
          message: "Password authentication failed",
          details: { username: attempt.username },
        });
      }
      return add(provenIdentity(attempt), answer);
    });

export const webhookPublicKey =
  (webhook: AuthWebhookConnection): NonNullable<Authenticator["publicKey"]> =>
  (attempt) =>
    Effect.gen(function* () {
      const log = attemptLogger(webhook, attempt, "pubkey");
      const { key, ...rest } = attempt;
      const body = yield* writeRequest(PublicKeyRequest)({ ...rest, publicKey: key });
      const answer = yield* ask(webhook, log, "Public key authentication", "/pubkey", body);
      if (!answer.success) {
        return yield* new PublicKeyRefused({
          message: "Public key authentication failed",
          details: { username: attempt.username },
        });
      }
      return add(provenIdentity(attempt), answer);
    });

/** What earlier steps marked sensitive is not sent, and stays with the identity all the same. */
export const webhookAuthorization =
  (webhook: AuthWebhookConnection): Authorize =>
  (identity) =>
    Effect.gen(function* () {
      const log = webhook.logger.with({
        connectionId: identity.connectionId,
        authenticatedUsername: identity.authenticatedUsername,
        providedUsername: identity.username,
        url: urlForLog(webhook.config.url),
      });
      const body = yield* writeRequest(AuthorizationRequest)(withoutSensitive(identity));
      const answer = yield* ask(webhook, log, "Authorization", "/authz", body);
      if (!answer.success) {
        return yield* new AuthorizationRefused({
          message: "Authorization failed",
          details: { username: identity.username, authenticatedUsername: identity.authenticatedUsername },
        });
      }
      return add(identity, answer);
    });

const attemptLogger = (
  { logger, config }: AuthWebhookConnection,
  { connectionId, username }: Attempt,
  authtype: "password" | "pubkey",
) => logger.with({ connectionId, username, url: urlForLog(config.url), authtype });

const ask = (
  { client, config }: AuthWebhookConnection,
  log: Logger,
  what: string,
  path: string,
  body: unknown,
) =>
  askWebhook({
    client,
    path,
    body,
    answer: AuthAnswer,
    within: config.authTimeout,
    invalidStatus: (statusCode) =>
      new AuthInvalidStatus({
        message: `auth server responded with an invalid status code: ${statusCode}`,
        details: { statusCode },
      }),
    onTry: (retry) => log.debug("AUTH", `${what} request`, { retry }),
    onFailure: ({ code, message }) =>
      log.debug("AUTH_BACKEND_ERROR", `${what} request to backend failed, retrying: ${message}`, {
        reason: code,
      }),
    // Whoever logs in often has less patience than the configuration: the operator is told all the same.
    onAbandoned: (gaveUp) => {
      const { code, message: text, details } = backendFailed(gaveUp, what, config);
      log.error(code, text, details);
    },
  }).pipe(
    Effect.tap(({ success }) =>
      Effect.sync(() =>
        success
          ? log.debug("AUTH_SUCCESSFUL", `${what} successful`)
          : log.debug("AUTH_FAILED", `${what} failed`),
      ),
    ),
    Effect.mapError((gaveUp) => backendFailed(gaveUp, what, config)),
  );

const backendFailed = ({ tries, last }: GaveUp, what: string, { url, authTimeout }: AuthWebhook) =>
  new AuthBackendFailed({
    message: `Backend request for ${what.toLowerCase()} failed, giving up: ${
      last?.message ?? `no answer within ${Duration.toMillis(authTimeout)} ms`
    }`,
    details: { reason: last?.code ?? "HTTP_CLIENT_CONNECTION_FAILED", tries, url: urlForLog(url) },
    cause: last,
  });
