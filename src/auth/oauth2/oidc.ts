/** OpenID Connect: a provider that describes itself (OpenID Connect Discovery 1.0) and says who somebody is. */
import { Effect, Redacted } from "effect";
import { fetchUserInfo, type ServerMetadata, tokenRevocation } from "openid-client";
import type { Grant, RequiredScope } from "../../../machines/oauth2.ts";
import type { OAuth2, Oidc } from "../../config/sections/oauth2.ts";
import { add } from "../../metadata.ts";
import { provenIdentity } from "../authenticator.ts";
import {
  DeviceFlowUnavailable,
  DiscoveryFailed,
  DiscoveryTimedOut,
  failed,
  IdTokenInvalid,
  OidcRevocationFailed,
  OidcTokenFetchFailed,
  OidcUserInfoFailed,
  Problem,
} from "./failures.ts";
import { flowsOf } from "./flows.ts";
import { grantMetadata, metadataOf } from "./metadata.ts";
import { ask, describe, insistently, type OAuth2Client } from "./openid.ts";
import { deviceFlowFits, type OAuth2Provider } from "./provider.ts";

export const oidcProvider = (options: OAuth2, client: OAuth2Client): OAuth2Provider => {
  const { oidc } = options;
  const flows = flowsOf({
    client,
    name: "oidc",
    tokenFailed: OidcTokenFetchFailed,
    deviceFlowUnavailable: DeviceFlowUnavailable,
    scopeSeparator: / +/,
    linkParameters: () => ({}),
  });
  return {
    ...flows,

    discover: (attempt) =>
      insistently(client, describeAny(client, issuersOf(oidc.url))).pipe(
        Effect.map((server) => {
          const authorizationCodeFlow = bringsBrowsersBack(oidc);
          const requestedScopes = ["openid", ...oidc.extraScopes.filter((scope) => scope !== "openid")];
          const hasDeviceFlow =
            (oidc.deviceFlow || !oidc.authorizationCodeFlow) &&
            server.device_authorization_endpoint !== undefined;
          return {
            name: "oidc" as const,
            server,
            redirectUri: oidc.redirectURI,
            deviceFlow: hasDeviceFlow && deviceFlowFits(options, attempt, authorizationCodeFlow),
            authorizationCodeFlow,
            requestedScopes,
            requiredScopes: oidc.enforceScopes ? requestedScopes.map(requiredScope) : [],
            enforcesUsername: false,
            requiresTwoFactor: false,
            organization: undefined,
          };
        }),
        Effect.mapError((problem) =>
          failed(
            problem.kind === "unreachable" ? DiscoveryTimedOut : DiscoveryFailed,
            "The OpenID Connect provider could not be discovered",
            problem,
          ),
        ),
      ),

    identify: (provider, grant, attempt) =>
      insistently(
        client,
        ask(client, provider.server, (configuration) =>
          fetchUserInfo(configuration, Redacted.value(grant.accessToken), subjectOf(grant)),
        ),
      ).pipe(
        Effect.map((userInfo) => ({
          identity: add(
            { ...provenIdentity(attempt), authenticatedUsername: "" },
            {
              authenticatedUsername: usernameIn(userInfo, oidc.usernameField),
              metadata: {
                ...metadataOf(documented(userInfo), { sensitive: false }),
                ...metadataOf(asTheReference(userInfo), { sensitive: false }),
                ...grantMetadata(provider, grant, "OIDC_TOKEN"),
              },
            },
          ),
          hasTwoFactor: undefined,
          isMember: undefined,
        })),
        Effect.mapError((problem) =>
          problem.kind === "unverified"
            ? failed(IdTokenInvalid, "The user info does not belong to the ID token", problem)
            : failed(OidcUserInfoFailed, "The provider gave no user info", problem),
        ),
      ),

    revoke: (provider, { accessToken, refreshToken }) => {
      if (provider.server.revocation_endpoint === undefined) return Effect.void;
      const revokeOne = (token: Redacted.Redacted<string>, hint: string) =>
        insistently(
          client,
          ask(client, provider.server, (configuration) =>
            tokenRevocation(configuration, Redacted.value(token), { token_type_hint: hint }),
          ),
        );
      return Effect.all(
        [
          revokeOne(accessToken, "access_token"),
          ...(refreshToken === undefined ? [] : [revokeOne(refreshToken, "refresh_token")]),
        ],
        { discard: true },
      ).pipe(
        Effect.mapError((problem) =>
          failed(OidcRevocationFailed, "A token could not be revoked and lives on until it expires", problem),
        ),
      );
    },
  };
};

/**
 * Whether the authorization code flow is used. With neither flow switched on, an address to come back to is what asks
 * for it.
 */
export const bringsBrowsersBack = ({ deviceFlow, authorizationCodeFlow, redirectURI }: Oidc): boolean =>
  authorizationCodeFlow || (!deviceFlow && redirectURI !== "");

/**
 * The issuer that a configured address may mean. The reference appends its path to the address as it is, so that
 * addresses end in a slash whether the issuer does or not.
 */
const issuersOf = (url: string): readonly URL[] => {
  const bare = url.replace(/\/+$/, "");
  const [first, second] = url.endsWith("/") ? [bare, `${bare}/`] : [url, `${url}/`];
  return new URL(first).href === new URL(second).href ? [new URL(first)] : [new URL(first), new URL(second)];
};

const describeAny = (
  client: OAuth2Client,
  [issuer, ...others]: readonly URL[],
): Effect.Effect<ServerMetadata, Problem> => {
  if (issuer === undefined) {
    const reason = "its description names another issuer than the configured one";
    return Effect.fail(new Problem({ kind: "unverified", reason }));
  }
  return Effect.catch(describe(client, issuer), (problem) =>
    problem.kind === "unverified" && others.length > 0 ? describeAny(client, others) : Effect.fail(problem),
  );
};

/** Google names the scopes that it grants in another way than it is asked for them. */
const googleScopes: Readonly<Record<string, string>> = {
  email: "https://www.googleapis.com/auth/userinfo.email",
  profile: "https://www.googleapis.com/auth/userinfo.profile",
};

const requiredScope = (scope: string): RequiredScope => ({
  scope,
  grantedBy: [scope, ...[googleScopes[scope] ?? []].flat()],
});

const subjectOf = ({ subject }: Grant): string => {
  if (subject === undefined) throw new Error("a grant of an OpenID Connect provider has no subject");
  return subject;
};

/** A user name is text in one line: control characters in it would forge what others show of it. */
const usernameIn = (userInfo: Readonly<Record<string, unknown>>, field: string): string => {
  const name = Object.hasOwn(userInfo, field) ? userInfo[field] : undefined;
  return typeof name === "string" && /^[^\p{Cc}\p{Cs}]+$/u.test(name) ? name : "";
};

/** As the reference documents it: every field, those that are no text as JSON. */
const documented = (userInfo: object): readonly (readonly [string, string])[] =>
  Object.entries(userInfo).map(([field, value]) => [
    `oidc_${field}`,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);

/** As the reference's program does it: the fields that are text. */
const asTheReference = (userInfo: object): readonly (readonly [string, string])[] =>
  Object.entries(userInfo).flatMap(([field, value]) =>
    typeof value === "string" ? [[`OIDC_USERINFO_${field.toUpperCase()}`, value] as const] : [],
  );
