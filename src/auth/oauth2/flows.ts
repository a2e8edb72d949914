/** The two flows as all providers speak them: device codes (RFC 8628) and authorization codes (RFC 6749, RFC 7636). */
import { Effect, Redacted } from "effect";
import {
  authorizationCodeGrant,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  genericGrantRequest,
  initiateDeviceAuthorization,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
  type TokenEndpointResponse,
  type TokenEndpointResponseHelpers,
} from "openid-client";
import type { PollAnswer } from "../../../machines/device-flow.ts";
import { refusalOf } from "../../../machines/facts.ts";
import type { Grant, Provider, ProviderName } from "../../../machines/oauth2.ts";
import type { Failure } from "../../failure.ts";
import {
  ClientCredentialsWrong,
  DeviceCodeRequestFailed,
  type FailureClass,
  failed,
  GrantTypeUnsupported,
  IdTokenInvalid,
  Problem,
} from "./failures.ts";
import { ask, insistently, type OAuth2Client } from "./openid.ts";
import type { OAuth2Provider } from "./provider.ts";

/** In what providers differ. */
export interface Dialect {
  readonly client: OAuth2Client;
  readonly name: ProviderName;
  readonly tokenFailed: FailureClass;
  readonly deviceFlowUnavailable: FailureClass;
  /** What stands between the scopes of an answer. */
  readonly scopeSeparator: RegExp;
  /** What the link of the authorization code flow says besides what is common. */
  readonly linkParameters: (username: string) => Readonly<Record<string, string>>;
}

type Flows = Pick<OAuth2Provider, "requestDeviceCode" | "pollToken" | "prepareRequest" | "exchangeCode">;

type TokenResponse = TokenEndpointResponse & TokenEndpointResponseHelpers;

const DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code";
/** RFC 8628 section 3.2: the pause where the provider doesn't say one. */
const DEFAULT_INTERVAL_SECONDS = 5;
/** A device code that is valid for longer than a day has no use here, and timers have an end. */
const LONGEST_EXPIRY_SECONDS = 24 * 60 * 60;
const LONGEST_LINK = 2000;

export const flowsOf = (dialect: Dialect): Flows => {
  const { client } = dialect;
  return {
    requestDeviceCode: (provider) =>
      insistently(
        client,
        ask(client, provider.server, (configuration) =>
          initiateDeviceAuthorization(configuration, scopeParameter(provider)),
        ),
      ).pipe(
        Effect.flatMap((response) => {
          const {
            verification_uri: uri,
            verification_uri_complete: complete,
            user_code: userCode,
          } = response;
          if (
            !isLink(uri) ||
            (complete !== undefined && !isLink(complete)) ||
            !/^[!-~ ]{1,64}$/.test(userCode)
          ) {
            const reason = "its code or its address is not one that can be shown to a user";
            return Effect.fail(new Problem({ kind: "malformed", reason }));
          }
          return Effect.succeed({
            kind: "issued" as const,
            authorization: {
              deviceCode: Redacted.make(response.device_code),
              userCode: Redacted.make(userCode),
              verificationUri: uri,
              verificationUriComplete: complete === undefined ? undefined : Redacted.make(complete),
              expiresInMillis: Math.min(response.expires_in, LONGEST_EXPIRY_SECONDS) * 1000,
              intervalMillis: (response.interval ?? DEFAULT_INTERVAL_SECONDS) * 1000,
            },
          });
        }),
        Effect.catch((problem) => {
          if (!isUnavailable(problem)) {
            return Effect.fail(
              configurationFailure(problem) ??
                failed(DeviceCodeRequestFailed, "The provider gave no device code", problem),
            );
          }
          const unavailable = failed(
            dialect.deviceFlowUnavailable,
            "The provider gives no device code at this time",
            problem,
          );
          return Effect.succeed({ kind: "unavailable" as const, refusal: refusalOf(unavailable) });
        }),
      ),

    pollToken: (provider, { deviceCode }) =>
      ask(client, provider.server, (configuration) =>
        genericGrantRequest(configuration, DEVICE_CODE, { device_code: Redacted.value(deviceCode) }),
      ).pipe(
        Effect.flatMap((response) => grantOf(dialect, response, "device")),
        Effect.map((grant): PollAnswer => ({ kind: "granted", grant })),
        Effect.catch((problem): Effect.Effect<PollAnswer, Failure> => {
          const answer = pollAnswerOf(problem);
          return answer === undefined ? Effect.fail(tokenFailure(dialect, problem)) : Effect.succeed(answer);
        }),
      ),

    prepareRequest: (provider, { username }) =>
      ask(client, provider.server, async (configuration) => {
        const state = randomState();
        const verifier = randomPKCECodeVerifier();
        const nonce = dialect.name === "oidc" ? randomNonce() : undefined;
        const link = buildAuthorizationUrl(configuration, {
          ...scopeParameter(provider),
          ...dialect.linkParameters(username),
          ...(provider.redirectUri !== undefined && { redirect_uri: provider.redirectUri }),
          ...(nonce !== undefined && { nonce }),
          state,
          code_challenge: await calculatePKCECodeChallenge(verifier),
          code_challenge_method: "S256",
        });
        return {
          responseType: "code" as const,
          link: Redacted.make(link.href),
          state: Redacted.make(state),
          verifier: Redacted.make(verifier),
          nonce: nonce === undefined ? undefined : Redacted.make(nonce),
        };
      }).pipe(Effect.mapError((problem) => tokenFailure(dialect, problem))),

    exchangeCode: (provider, { state, verifier, nonce }, { parameters }) =>
      insistently(
        client,
        ask(client, provider.server, (configuration) => {
          const pkceCodeVerifier = Redacted.value(verifier);
          const returned = new URLSearchParams(Redacted.value(parameters));
          // RFC 9207: who sent the browser back. Only a provider that described itself has a name to compare it with.
          if (dialect.name !== "oidc") returned.delete("iss");
          const { redirectUri } = provider;
          if (redirectUri === undefined) {
            // Section 4.1.3: an address that the link didn't hold must not be in the request either.
            const code = returned.get("code") ?? "";
            return genericGrantRequest(configuration, "authorization_code", {
              code,
              code_verifier: pkceCodeVerifier,
            });
          }
          const address = new URL(redirectUri);
          address.search = String(returned);
          return authorizationCodeGrant(configuration, address, {
            pkceCodeVerifier,
            expectedState: Redacted.value(state),
            ...(nonce !== undefined && { expectedNonce: Redacted.value(nonce), idTokenExpected: true }),
          });
        }),
      ).pipe(
        Effect.flatMap((response) => grantOf(dialect, response, "authorization_code")),
        Effect.mapError((problem) => tokenFailure(dialect, problem)),
      ),
  };
};

const scopeParameter = ({ requestedScopes }: Provider): Record<string, string> =>
  requestedScopes.length === 0 ? {} : { scope: requestedScopes.join(" ") };

/** An address that can be shown in a terminal and opened in a browser. */
const isLink = (text: string): boolean =>
  /^https?:\/\/[!-~]+$/.test(text) && URL.canParse(text) && text.length <= LONGEST_LINK;

/** Of OpenID Connect a verified ID token is demanded in every flow: without one, nothing says whose token it is. */
const grantOf = (
  { name, scopeSeparator }: Dialect,
  response: TokenResponse,
  flow: Grant["flow"],
): Effect.Effect<Grant, Problem> => {
  const subject = name === "oidc" ? response.claims()?.sub : undefined;
  if (name === "oidc" && subject === undefined) {
    return Effect.fail(new Problem({ kind: "unverified", reason: "the answer holds no ID token" }));
  }
  return Effect.succeed({
    flow,
    scopes:
      response.scope === undefined
        ? undefined
        : response.scope.split(scopeSeparator).filter((scope) => scope !== ""),
    accessToken: Redacted.make(response.access_token),
    refreshToken: response.refresh_token === undefined ? undefined : Redacted.make(response.refresh_token),
    subject,
  });
};

/** RFC 8628 section 3.5; undefined when the answer ends the login. */
const pollAnswerOf = ({ kind, error, status, interval }: Problem): PollAnswer | undefined => {
  if (kind === "unreachable") return { kind: "unreachable" };
  if (error === "slow_down" || status === 429) {
    return { kind: "slowDown", intervalMillis: interval === undefined ? undefined : interval * 1000 };
  }
  switch (error) {
    case "authorization_pending":
      return { kind: "pending" };
    case "access_denied":
      return { kind: "denied" };
    case "expired_token":
      return { kind: "expired" };
    default:
      return undefined;
  }
};

const UNAVAILABLE: readonly (string | undefined)[] = [
  "slow_down",
  "unauthorized_client",
  "unsupported_grant_type",
  "device_flow_disabled",
];

/** Whether another flow may still work: the rate limit is reached, or this client has no device flow. */
const isUnavailable = ({ kind, error, status }: Problem): boolean =>
  kind === "refused" && (status === 429 || status === 404 || UNAVAILABLE.includes(error));

const configurationFailure = (problem: Problem): Failure | undefined => {
  const { error, status } = problem;
  if (error === "invalid_client" || error === "incorrect_client_credentials" || status === 401) {
    return failed(ClientCredentialsWrong, "The provider does not accept the client ID and secret", problem);
  }
  if (error === "unsupported_grant_type" || error === "unauthorized_client") {
    return failed(GrantTypeUnsupported, "The provider does not let this client use the flow", problem);
  }
  return undefined;
};

const tokenFailure = ({ name, tokenFailed }: Dialect, problem: Problem): Failure => {
  if (name === "oidc" && problem.kind === "unverified") {
    return failed(IdTokenInvalid, "The provider's answer could not be verified", problem);
  }
  return configurationFailure(problem) ?? failed(tokenFailed, "The provider gave no token", problem);
};
