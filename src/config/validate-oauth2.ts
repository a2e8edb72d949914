/** What is wrong with `auth.keyboardInteractive.oauth2`, by the reference's rules; only the chosen provider is looked at. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Effect, Redacted } from "effect";
import type { Finding, Path } from "./diagnostic.ts";
import type { GenericOAuth2, GitHub, OAuth2, Oidc } from "./sections/oauth2.ts";
import { type Findings, httpClient, httpServer, longEnough, under } from "./validate-http.ts";

export const oauth2 = (options: OAuth2): Effect.Effect<Findings> => {
  const { clientId, clientSecret, authTimeout, redirect } = options;
  const found: Finding[] = [];
  if (clientId === "") found.push(missing(["clientId"]));
  if (Redacted.value(clientSecret) === "") found.push(missing(["clientSecret"]));
  found.push(...longEnough("authTimeout", authTimeout));
  return Effect.map(
    Effect.all([
      provider(options),
      under(
        "redirect",
        Effect.map(Effect.all([httpServer(redirect), webroot(redirect.webroot)]), (all) => all.flat()),
      ),
    ]),
    (all) => [...found, ...all.flat()],
  );
};

const provider = (options: OAuth2): Effect.Effect<Findings> => {
  switch (options.provider) {
    case "":
      return Effect.succeed([missing(["provider"])]);
    case "oidc":
      return under("oidc", oidc(options.oidc));
    case "github":
      return under("github", gitHub(options.github));
    case "generic":
      return under("generic", generic(options.generic));
  }
};

const oidc = (options: Oidc): Effect.Effect<Findings> => {
  const { authorizationCodeFlow, redirectURI, usernameField } = options;
  const found: Finding[] = [];
  if (authorizationCodeFlow && redirectURI === "") {
    found.push({ path: ["redirectURI"], message: "is missing: the authorization code flow needs it" });
  }
  if (redirectURI !== "") found.push(...url("redirectURI", redirectURI));
  if (usernameField === "") found.push(missing(["usernameField"]));
  return Effect.map(httpClient(options), (client) => [...found, ...client]);
};

/** The pages of GitHub and its API are two servers with the same client options. */
const gitHub = (options: GitHub): Effect.Effect<Findings> =>
  Effect.map(httpClient({ ...options, allowRedirects: false }), (client) => [
    ...client,
    ...url("apiurl", options.apiurl),
  ]);

const generic = ({
  authorizeEndpointURL,
  redirectURI,
  tokenEndpoint,
}: GenericOAuth2): Effect.Effect<Findings> =>
  Effect.map(under("tokenEndpoint", httpClient(tokenEndpoint)), (client) => [
    ...url("authorizeEndpointURL", authorizeEndpointURL),
    ...url("redirectURI", redirectURI),
    ...client,
  ]);

const missing = (path: Path): Finding => ({ path, message: "is missing" });

const url = (key: string, text: string): Findings => {
  if (text === "") return [missing([key])];
  const protocol = URL.canParse(text) ? new URL(text).protocol : undefined;
  return protocol === "http:" || protocol === "https:"
    ? []
    : [{ path: [key], message: "expected a URL such as https://login.example.com/" }];
};

const webroot = (directory: string): Effect.Effect<Findings> => {
  if (directory === "") return Effect.succeed([]);
  return Effect.promise(async () => {
    const wrong = (message: string): Findings => [{ path: ["webroot"], message }];
    const root = await stat(directory).catch(() => undefined);
    if (root?.isDirectory() !== true) return wrong("is not a directory");
    const index = await stat(join(directory, "index.html")).catch(() => undefined);
    return index?.isFile() === true ? [] : wrong("holds no index.html");
  });
};
