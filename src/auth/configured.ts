/** The authenticator and the authorization that a configuration asks for: each SSH method is tied to one backend. */
import { Effect, type Scope } from "effect";
import type { HttpClient as HttpClientOptions } from "../config/http.ts";
import type { Auth, AuthWebhook } from "../config/sections/auth.ts";
import type { Failure } from "../failure.ts";
import type { JsonPoster } from "../http/webhook.ts";
import type { Logger } from "../log/logger.ts";
import type { Authenticator, Authorize } from "./authenticator.ts";
import { usersAuthenticator } from "./users.ts";
import { webhookAuthorization, webhookPassword, webhookPublicKey } from "./webhook.ts";

/** Makes an HTTP client whose connections belong to the scope. */
export type HttpClients = (
  options: HttpClientOptions,
  logger: Logger,
) => Effect.Effect<JsonPoster, Failure, Scope.Scope>;

export interface ConfiguredAuth {
  readonly authenticator: Authenticator;
  /** Without it, everybody who has proven who they are may come in. */
  readonly authorize: Authorize | undefined;
}

/** Fails with AUTH_CONFIG_ERROR when a user of the configuration can't be used as written. */
export const authenticatorOf = (
  config: Auth,
  logger: Logger,
  httpClients: HttpClients,
): Effect.Effect<ConfiguredAuth, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const users = yield* usersAuthenticator(config.users, logger);
    const webhook = (webhookConfig: AuthWebhook) =>
      httpClients(webhookConfig, logger).pipe(
        Effect.map((client) => ({ client, config: webhookConfig, logger })),
      );
    const { password, publicKey, authz } = config;
    return {
      authenticator: {
        ...(password.method === "webhook" && { password: webhookPassword(yield* webhook(password.webhook)) }),
        ...(password.method === "users" && { password: users.password }),
        ...(publicKey.method === "webhook" && {
          publicKey: webhookPublicKey(yield* webhook(publicKey.webhook)),
        }),
        ...(publicKey.method === "users" && { publicKey: users.publicKey }),
      },
      authorize: authz.method === "webhook" ? webhookAuthorization(yield* webhook(authz.webhook)) : undefined,
    };
  });
