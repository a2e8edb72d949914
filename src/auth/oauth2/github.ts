/** GitHub, and GitHub Enterprise: OAuth2 with answers of its own making, and an API that says who somebody is. */
import { Effect, Redacted, Schema } from "effect";
import type { ServerMetadata } from "openid-client";
import type { Grant, RequiredScope } from "../../../machines/oauth2.ts";
import type { GitHub, OAuth2 } from "../../config/sections/oauth2.ts";
import { appended } from "../../http/url.ts";
import { add } from "../../metadata.ts";
import { provenIdentity } from "../authenticator.ts";
import {
  failed,
  GitHubDeviceLimitReached,
  GitHubRevocationFailed,
  GitHubTokenFetchFailed,
  GitHubUserRequestFailed,
  Problem,
} from "./failures.ts";
import { flowsOf } from "./flows.ts";
import { grantMetadata, type Metadata, metadataOf } from "./metadata.ts";
import { insistently, type OAuth2Client, problemOf, type Translation, translated } from "./openid.ts";
import { deviceFlowFits, type OAuth2Provider } from "./provider.ts";

export const gitHubProvider = (options: OAuth2, connection: OAuth2Client): OAuth2Provider => {
  const { github } = options;
  const client = { ...connection, fetch: translated(connection.fetch, withErrorStatus) };
  const flows = flowsOf({
    client,
    name: "github",
    tokenFailed: GitHubTokenFetchFailed,
    deviceFlowUnavailable: GitHubDeviceLimitReached,
    scopeSeparator: /[\s,]+/,
    linkParameters: (username) => ({ login: username }),
  });
  const api = apiOf(github, client);
  return {
    ...flows,

    discover: (attempt) =>
      Effect.succeed({
        name: "github",
        server: endpointsOf(github.url),
        redirectUri: undefined,
        deviceFlow: deviceFlowFits(options, attempt, true),
        authorizationCodeFlow: true,
        requestedScopes: requestedScopes(github),
        requiredScopes: requiredScopes(github),
        enforcesUsername: github.enforceUsername,
        requiresTwoFactor: github.require2FA,
        organization: github.requireOrgMembership === "" ? undefined : github.requireOrgMembership,
      }),

    identify: (provider, grant, attempt) =>
      Effect.gen(function* () {
        const user = yield* api.user(grant);
        const isMember =
          provider.organization === undefined ? undefined : yield* api.isMember(grant, provider.organization);
        return {
          identity: add(
            { ...provenIdentity(attempt), authenticatedUsername: "" },
            {
              authenticatedUsername: user.login,
              metadata: { ...userMetadata(user, grant), ...grantMetadata(provider, grant, "GITHUB_TOKEN") },
            },
          ),
          hasTwoFactor: user.two_factor_authentication ?? undefined,
          isMember,
        };
      }).pipe(
        Effect.mapError((problem) =>
          failed(GitHubUserRequestFailed, "GitHub did not say who the user is", problem),
        ),
      ),

    revoke: (_, grant) =>
      api
        .revoke(grant)
        .pipe(
          Effect.mapError((problem) =>
            failed(GitHubRevocationFailed, "A token could not be deleted and lives on", problem),
          ),
        ),
  };
};

/** GitHub answers errors with status 200: this gives them the status that RFC 6749 section 5.2 wants. */
const withErrorStatus: Translation = (body) => ({ status: "error" in body ? 400 : 200, body });

const endpointsOf = (url: string): ServerMetadata => ({
  issuer: url,
  authorization_endpoint: appended(url, "/login/oauth/authorize"),
  token_endpoint: appended(url, "/login/oauth/access_token"),
  device_authorization_endpoint: appended(url, "/login/device/code"),
  token_endpoint_auth_methods_supported: ["client_secret_post"],
});

/** The scopes that cover another one (GitHub's documentation: Scopes for OAuth apps); `org` is the reference's. */
const covering: Readonly<Record<string, readonly string[]>> = {
  "read:org": ["write:org", "admin:org", "org"],
  "write:org": ["admin:org"],
  "read:user": ["user"],
  "user:email": ["user"],
  "user:follow": ["user"],
  "repo:status": ["repo"],
  repo_deployment: ["repo"],
  public_repo: ["repo"],
  "repo:invite": ["repo"],
  security_events: ["repo"],
  "read:repo_hook": ["write:repo_hook", "admin:repo_hook"],
  "write:repo_hook": ["admin:repo_hook"],
  "read:public_key": ["write:public_key", "admin:public_key"],
  "write:public_key": ["admin:public_key"],
  "read:gpg_key": ["write:gpg_key", "admin:gpg_key"],
  "write:gpg_key": ["admin:gpg_key"],
  "read:packages": ["write:packages"],
  "read:project": ["project"],
};

const grantedByAny = (scope: string): readonly string[] => [scope, ...(covering[scope] ?? [])];

/** What the checks need to read is asked for, too, unless something that covers it is. */
const requestedScopes = ({ extraScopes, requireOrgMembership, require2FA }: GitHub): readonly string[] => {
  const needed = [
    ...(requireOrgMembership === "" ? [] : ["read:org"]),
    ...(require2FA ? ["read:user"] : []),
  ].filter((scope) => !grantedByAny(scope).some((other) => extraScopes.includes(other)));
  return [...extraScopes, ...needed];
};

/** Whether somebody is a member can't be asked without the permission to. */
const requiredScopes = ({
  extraScopes,
  enforceScopes,
  requireOrgMembership,
}: GitHub): readonly RequiredScope[] => {
  const scopes = new Set([
    ...(enforceScopes ? extraScopes : []),
    ...(requireOrgMembership === "" ? [] : ["read:org"]),
  ]);
  return [...scopes].map((scope) => ({ scope, grantedBy: grantedByAny(scope) }));
};

const text = Schema.optionalKey(Schema.NullOr(Schema.String));

/** The answer of `GET /user`; what else is in it is nobody's here. */
const User = Schema.Struct({
  login: Schema.String.check(Schema.isPattern(/^[\w-]{1,100}$/)),
  id: Schema.Finite,
  node_id: text,
  avatar_url: text,
  html_url: text,
  name: text,
  company: text,
  blog: text,
  location: text,
  email: text,
  bio: text,
  twitter_username: text,
  two_factor_authentication: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
});

const Membership = Schema.Struct({ state: Schema.String });

interface Api {
  readonly user: (grant: Grant) => Effect.Effect<typeof User.Type, Problem>;
  readonly isMember: (grant: Grant, organization: string) => Effect.Effect<boolean, Problem>;
  readonly revoke: (grant: Grant) => Effect.Effect<void, Problem>;
}

const apiOf = ({ apiurl }: GitHub, client: OAuth2Client): Api => {
  const bearer = ({ accessToken }: Grant) => ({ authorization: `Bearer ${Redacted.value(accessToken)}` });
  const request = (path: string, method: string, headers: Record<string, string>, body?: string) =>
    Effect.tryPromise({
      try: (signal) => client.fetch(appended(apiurl, path), { method, headers, body, signal }),
      catch: problemOf,
    }).pipe(
      Effect.filterOrFail(
        ({ status }) => status < 500,
        ({ status }) => statusProblem("unreachable", status),
      ),
      (exchange) => insistently(client, exchange),
    );
  const basic = Buffer.from(`${client.clientId}:${Redacted.value(client.clientSecret)}`).toString("base64");
  return {
    user: (grant) =>
      Effect.flatMap(request("/user", "GET", bearer(grant)), (response) =>
        response.status === 200
          ? read(User, response)
          : Effect.fail(statusProblem("refused", response.status)),
      ),
    isMember: (grant, organization) =>
      Effect.flatMap(
        request(`/user/memberships/orgs/${encodeURIComponent(organization)}`, "GET", bearer(grant)),
        (response) =>
          response.status === 200
            ? Effect.map(read(Membership, response), ({ state }) => state === "active")
            : // 404 of an organization one isn't in, 403 of one that doesn't let this application look.
              response.status === 404 || response.status === 403
              ? Effect.succeed(false)
              : Effect.fail(statusProblem("refused", response.status)),
      ),
    revoke: ({ accessToken }) =>
      Effect.flatMap(
        request(
          `/applications/${encodeURIComponent(client.clientId)}/token`,
          "DELETE",
          { authorization: `Basic ${basic}`, "content-type": "application/json" },
          JSON.stringify({ access_token: Redacted.value(accessToken) }),
        ),
        ({ status }) =>
          // 404 and 422 are for tokens that GitHub doesn't know any more.
          [204, 404, 422].includes(status) ? Effect.void : Effect.fail(statusProblem("refused", status)),
      ),
  };
};

const statusProblem = (kind: Problem["kind"], status: number): Problem =>
  new Problem({ kind, reason: `the provider answered with status ${status}`, status });

const read = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  response: Response,
): Effect.Effect<S["Type"], Problem> =>
  Effect.tryPromise(() => response.json()).pipe(
    Effect.flatMap((body) => Schema.decodeUnknownEffect(schema)(body)),
    // What was wrong with it may quote what is in it.
    Effect.mapError(() => new Problem({ kind: "malformed", reason: "the answer is not GitHub's" })),
  );

/**
 * By the names of the reference's documentation and by those of its program. All but the user name is sensitive, for
 * it is personal data; the user name is what configuration servers have to know.
 */
const userMetadata = (user: typeof User.Type, { flow }: Grant): Metadata => ({
  ...metadataOf([["github_username", user.login]], { sensitive: false }),
  ...metadataOf([["GITHUB_METHOD", flow]], { sensitive: false }),
  ...metadataOf(
    [
      ["github_email", user.email ?? ""],
      ["github_name", user.name ?? ""],
      ["github_company", user.company ?? ""],
      ["github_avatar_url", user.avatar_url ?? ""],
      ["GITHUB_LOGIN", user.login],
      ["GITHUB_ID", String(user.id)],
      ["GITHUB_NODE_ID", user.node_id ?? ""],
      ["GITHUB_NAME", user.name ?? ""],
      ["GITHUB_AVATAR_URL", user.avatar_url ?? ""],
      ["GITHUB_BIO", user.bio ?? ""],
      ["GITHUB_COMPANY", user.company ?? ""],
      ["GITHUB_EMAIL", user.email ?? ""],
      ["GITHUB_BLOG_URL", user.blog ?? ""],
      ["GITHUB_LOCATION", user.location ?? ""],
      ["GITHUB_TWITTER_USERNAME", user.twitter_username ?? ""],
      ["GITHUB_PROFILE_URL", user.html_url ?? ""],
    ],
    { sensitive: true },
  ),
});
