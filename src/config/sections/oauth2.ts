/**
 * `auth.keyboardInteractive.oauth2` (documentation of the reference: OAuth2 authentication): people log in with a
 * browser, at an OpenID Connect provider, at GitHub, or at a plain OAuth2 server.
 *
 * @example
 * auth:
 *   keyboardInteractive:
 *     method: oauth2
 *     oauth2:
 *       clientId: berth
 *       clientSecret: "…"
 *       provider: oidc
 *       oidc:
 *         url: https://sso.example.com/
 *         extraScopes: [profile, email]
 *         enforceScopes: true
 */
import { Schema, SchemaGetter } from "effect";
import { defaulted, Flag, GoDuration, oneOf, Pem, parsed, Secret, SecretPem, section } from "../codecs.ts";
import { HttpClient, httpClientFields, httpServerFields } from "../http.ts";
import { tlsFields } from "../tls.ts";

/** RFC 6749 section 3.3: a scope is printable ASCII without spaces, quotes and backslashes. */
const scope = Schema.String.check(
  Schema.makeFilter((text: string) =>
    /^[!#-[\]-~]+$/.test(text) ? undefined : "expected one scope, without spaces",
  ),
);

const scopeFields = {
  extraScopes: defaulted(Schema.Array(scope), []),
  enforceScopes: defaulted(Flag, false),
};

/**
 * - `extraScopes`: asked for in addition to `openid`.
 * - `enforceScopes`: refuse a login for which the user has not granted all of them.
 * - `usernameField`: the field of the user info that is the user name.
 * - `redirectURI`: where the provider sends the browser back to: the public address of the redirect server.
 * - `deviceFlow`, `authorizationCodeFlow`: with neither, both are used as far as they can be: the first where the
 *   provider has it, the second where there is a `redirectURI`.
 */
export const Oidc = Schema.Struct({
  ...httpClientFields,
  deviceFlow: defaulted(Flag, false),
  authorizationCodeFlow: defaulted(Flag, false),
  usernameField: defaulted(Schema.String, "sub"),
  redirectURI: defaulted(Schema.String, ""),
  ...scopeFields,
});

export type Oidc = typeof Oidc.Type;

/**
 * - `url`, `apiurl`: of GitHub Enterprise, where it is not github.com.
 * - `enforceUsername`: the SSH user name must be the GitHub user name.
 * - `requireOrgMembership`: the organization whose members may log in.
 * - `require2FA`: only accounts with two-factor authentication may log in.
 * - `timeout`: of one request.
 */
export const GitHub = Schema.Struct({
  url: defaulted(Schema.String, "https://github.com"),
  apiurl: defaulted(Schema.String, "https://api.github.com"),
  enforceUsername: defaulted(Flag, true),
  requireOrgMembership: defaulted(Schema.String, ""),
  require2FA: defaulted(Flag, false),
  ...scopeFields,
  timeout: defaulted(GoDuration, "10s"),
  cacert: defaulted(Pem, ""),
  cert: defaulted(Pem, ""),
  key: defaulted(SecretPem, ""),
  ...tlsFields,
});

export type GitHub = typeof GitHub.Type;

/** An OAuth2 server that cannot say who somebody is: whoever gets a token may come in, under any user name. */
export const GenericOAuth2 = Schema.Struct({
  authorizeEndpointURL: defaulted(Schema.String, ""),
  tokenEndpoint: section(HttpClient),
  redirectURI: defaulted(Schema.String, ""),
});

export type GenericOAuth2 = typeof GenericOAuth2.Type;

/**
 * The server that browsers come back to. `webroot` is a directory with an `index.html` of the operator's own, in
 * which `{{ .Code }}` stands for the code.
 */
export const Redirect = Schema.Struct({ ...httpServerFields, webroot: defaulted(Schema.String, "") });

export type Redirect = typeof Redirect.Type;

const patternMessage = "expected a regular expression";

/** Go's regular expressions differ from ours in where flags are written: `(?i)putty`. */
const parsePattern = (text: string): RegExp | undefined => {
  const [leading = "", flags = ""] = /^\(\?([ims]+)\)/.exec(text) ?? [];
  try {
    return new RegExp(text.slice(leading.length), [...new Set(flags)].join(""));
  } catch {
    // The engine's message quotes the expression, and the path of the key says which one it is.
    return undefined;
  }
};

const formatPattern = ({ source, flags }: RegExp): string => (flags === "" ? source : `(?${flags})${source}`);

/** A regular expression for the identification strings of SSH clients. */
const ClientPattern = Schema.String.annotate({ message: patternMessage }).pipe(
  Schema.decodeTo(Schema.instanceOf(RegExp), {
    decode: parsed(parsePattern, patternMessage),
    encode: SchemaGetter.transform(formatPattern),
  }),
);

/**
 * - `qrCodeClients`: clients that are shown a QR code of the device flow's link.
 * - `deviceFlowClients`: clients that can wait in the device flow without a prompt; an empty list is all of them.
 *   Others use the authorization code flow, or press Enter when they have approved the login.
 * - `authTimeout`: how long a request that the provider does not answer is tried again.
 */
export const OAuth2 = Schema.Struct({
  redirect: section(Redirect),
  clientId: defaulted(Schema.String, ""),
  clientSecret: defaulted(Secret, ""),
  provider: defaulted(oneOf(["", "oidc", "github", "generic"]), ""),
  oidc: section(Oidc),
  github: section(GitHub),
  generic: section(GenericOAuth2),
  qrCodeClients: defaulted(Schema.Array(ClientPattern), []),
  deviceFlowClients: defaulted(Schema.Array(ClientPattern), []),
  authTimeout: defaulted(GoDuration, "120s"),
});

export type OAuth2 = typeof OAuth2.Type;
