/** The logins with a browser that a configuration asks for: the provider, and the server that browsers come back to. */
import { Effect, type Scope } from "effect";
import type { HttpClient as HttpClientOptions } from "../../config/http.ts";
import type { OAuth2 } from "../../config/sections/oauth2.ts";
import type { Failure } from "../../failure.ts";
import { type Fetch, httpFetch } from "../../http/fetch.ts";
import type { ListeningServer } from "../../http/server.ts";
import type { Logger } from "../../log/logger.ts";
import { genericProvider } from "./generic.ts";
import { gitHubProvider } from "./github.ts";
import { bringsBrowsersBack, oidcProvider } from "./oidc.ts";
import type { OAuth2Client } from "./openid.ts";
import type { OAuth2Provider } from "./provider.ts";
import { redirectService } from "./redirect.ts";
import { Returns } from "./returns.ts";

export interface BrowserLogins {
  readonly options: OAuth2;
  readonly provider: OAuth2Provider;
  readonly returns: Returns;
  /** Missing where no flow brings browsers back. */
  readonly redirect: Effect.Effect<ListeningServer, Failure, Scope.Scope> | undefined;
}

/** The connections to the provider belong to the scope. */
export const browserLogins = (
  options: OAuth2,
  logger: Logger,
): Effect.Effect<BrowserLogins, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { http, make, redirectUri } = choices(options);
    const fetch = yield* httpFetch(http, logger);
    const returns = new Returns();
    return {
      options,
      provider: make(options, clientOf(options, http, fetch)),
      returns,
      redirect:
        redirectUri === undefined
          ? undefined
          : redirectService(options.redirect, redirectUri, returns, logger),
    };
  });

interface Choice {
  readonly http: HttpClientOptions;
  readonly make: (options: OAuth2, client: OAuth2Client) => OAuth2Provider;
  /** Where browsers come back to; empty where only the provider knows; undefined where none does. */
  readonly redirectUri: string | undefined;
}

const choices = ({ provider, oidc, github, generic }: OAuth2): Choice => {
  switch (provider) {
    case "oidc":
      return {
        http: oidc,
        make: oidcProvider,
        redirectUri: bringsBrowsersBack(oidc) ? oidc.redirectURI : undefined,
      };
    case "github":
      return { http: { ...github, allowRedirects: false }, make: gitHubProvider, redirectUri: "" };
    case "generic":
      return { http: generic.tokenEndpoint, make: genericProvider, redirectUri: generic.redirectURI };
    case "":
      throw new Error("a configuration without a provider is not valid");
  }
};

const clientOf = (
  { clientId, clientSecret, authTimeout }: OAuth2,
  { url }: HttpClientOptions,
  fetch: Fetch,
): OAuth2Client => ({
  clientId,
  clientSecret,
  fetch,
  patience: authTimeout,
  isInsecure: new URL(url).protocol === "http:",
});
