/** The machine of logins with a browser with everything it left open filled in. */
import { Duration, Effect, type Redacted, Scope } from "effect";
import { fromCallback } from "xstate";
import { type AuthorizationRequest, authorizationCodeMachine } from "../../../machines/authorization-code.ts";
import { deviceFlowMachine, type PollAnswer } from "../../../machines/device-flow.ts";
import type { LogLine } from "../../../machines/facts.ts";
import type { BrowserLogin, Grant, Provider } from "../../../machines/oauth2.ts";
import { oidcMachine } from "../../../machines/oidc.ts";
import { fromEffect } from "../../from-effect.ts";
import type { Logger } from "../../log/logger.ts";
import { InteractionEnded } from "../../ssh/credentials.ts";
import type { Attempt } from "../authenticator.ts";
import type { BrowserLogins } from "./configured.ts";
import { waitsWithoutPrompt } from "./provider.ts";
import {
  authorizationCodeWords,
  breaksLongLines,
  deviceCodeWords,
  NOT_ANSWERING,
  type Words,
} from "./words.ts";

/** What a login may use of its connection. */
export interface LoginResources {
  readonly remoteAddress: string;
  readonly clientVersion: string;
  readonly logger: Logger;
  /** Closed when the connection ends: tokens are revoked then. */
  readonly scope: Scope.Scope;
  readonly showBanner: (text: string) => void;
}

/** After this a user is told that the provider takes its time. */
const NOTICE_AFTER = Duration.seconds(3);
/** The reference's patience with a provider that is to revoke a token. */
const REVOCATION_LIMIT = Duration.seconds(10);

/** @param resourcesOf finds what belongs to a live connection. */
export const browserLoginWith = (
  { options, provider: source, returns }: BrowserLogins,
  resourcesOf: (connectionId: string) => LoginResources,
) => {
  const attemptOf = ({ connectionId, username }: BrowserLogin): Attempt => {
    const { remoteAddress, clientVersion } = resourcesOf(connectionId);
    return { connectionId, username, remoteAddress, clientVersion };
  };

  const logOf = ({ connectionId, username }: BrowserLogin): Logger =>
    resourcesOf(connectionId).logger.with({ username, authtype: "oauth2" });

  /** Tells a user who waits that it is the provider who doesn't answer. */
  const noticing = <A, E>(login: BrowserLogin, request: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.scoped(
      Effect.gen(function* () {
        const notice = Effect.sync(() => resourcesOf(login.connectionId).showBanner(NOT_ANSWERING));
        yield* Effect.forkScoped(Effect.delay(notice, NOTICE_AFTER));
        return yield* request;
      }),
    );

  const linkFor = (
    login: BrowserLogin,
    { redirectUri }: Provider,
    { state, link }: AuthorizationRequest,
  ): Redacted.Redacted<string> => {
    if (redirectUri === undefined || !breaksLongLines(attemptOf(login).clientVersion)) return link;
    return returns.shortLink(state, redirectUri) ?? link;
  };

  const ask = ({ connectionId, credential }: BrowserLogin, { banner, questions }: Words) =>
    Effect.tryPromise({
      try: () => {
        if (banner !== undefined) resourcesOf(connectionId).showBanner(banner);
        return credential.ask(questions);
      },
      catch: (cause) =>
        cause instanceof InteractionEnded
          ? cause
          : new InteractionEnded({ message: "The questions could not be asked", cause }),
    });

  /** The token is the connection's from here on, and ends with it. */
  const keepUntilTheEnd = (login: BrowserLogin, provider: Provider, grant: Grant): Effect.Effect<Grant> => {
    const log = logOf(login);
    const revocation = source.revoke(provider, grant).pipe(
      Effect.catch((error) =>
        Effect.sync(() => log.log(error.level ?? "warning", error.code, error.message, error.details)),
      ),
      Effect.timeoutOrElse({
        duration: REVOCATION_LIMIT,
        orElse: () =>
          Effect.sync(() =>
            log.warning(
              provider.name === "github" ? "GITHUB_DELETE_ACCESS_TOKEN_FAILED" : "OIDC_DEAUTHORIZE_TIMEOUT",
              "The provider took too long to revoke a token, which lives on until it expires",
            ),
          ),
      }),
    );
    return Effect.as(Scope.addFinalizer(resourcesOf(login.connectionId).scope, revocation), grant);
  };

  const deviceFlow = deviceFlowMachine.provide({
    actors: {
      requestDeviceCode: fromEffect(({ login, provider }) =>
        noticing(login, source.requestDeviceCode(provider)),
      ),
      showDeviceCode: fromEffect(({ login, authorization }) =>
        Effect.suspend(() => {
          const attempt = attemptOf(login);
          const words = deviceCodeWords(authorization, {
            waitsWithoutPrompt: waitsWithoutPrompt(options, attempt),
            showsQrCode: options.qrCodeClients.some((client) => client.test(attempt.clientVersion)),
          });
          return Effect.asVoid(ask(login, words));
        }),
      ),
      pollToken: fromEffect(({ login, provider, authorization }) =>
        Effect.flatMap(source.pollToken(provider, authorization), (answer): Effect.Effect<PollAnswer> => {
          logOf(login).debug("AUTH_OAUTH2_AUTHORIZATION_PENDING", "The provider was asked for the token", {
            answer: answer.kind,
          });
          return answer.kind === "granted"
            ? Effect.as(keepUntilTheEnd(login, provider, answer.grant), answer)
            : Effect.succeed(answer);
        }),
      ),
    },
  });

  const authorizationCode = authorizationCodeMachine.provide({
    actors: {
      prepareRequest: fromEffect(({ login, provider }) => source.prepareRequest(provider, attemptOf(login))),
      awaitReturn: fromCallback(({ input }) => returns.expect(input.request)),
      askForCode: fromEffect(({ login, provider, request, problem }) =>
        Effect.flatMap(
          ask(login, authorizationCodeWords(linkFor(login, provider, request), problem)),
          ([typed]) =>
            typed === undefined
              ? Effect.fail(new InteractionEnded({ message: "The question for the code was not answered" }))
              : Effect.succeed(returns.read(request.state, typed)),
        ),
      ),
      exchangeCode: fromEffect(({ login, provider, request, response }) =>
        Effect.flatMap(source.exchangeCode(provider, request, response), (grant) =>
          keepUntilTheEnd(login, provider, grant),
        ),
      ),
    },
  });

  return oidcMachine.provide({
    actors: {
      discover: fromEffect((login) =>
        Effect.suspend(() => {
          logOf(login).debug("AUTH", "Login with a browser", { provider: options.provider });
          return noticing(login, source.discover(attemptOf(login)));
        }),
      ),
      deviceFlow,
      authorizationCode,
      identify: fromEffect(({ login, provider, grant }) =>
        source.identify(provider, grant, attemptOf(login)),
      ),
    },
    actions: {
      log: (_, { connectionId, line }: { connectionId: string; line: LogLine }) =>
        resourcesOf(connectionId).logger.log(line.level, line.code, line.message, line.details),
    },
  });
};
