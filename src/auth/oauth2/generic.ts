/** A plain OAuth2 server: it lets somebody in and cannot say who it was. */
import { Effect } from "effect";
import type { OAuth2 } from "../../config/sections/oauth2.ts";
import { add } from "../../metadata.ts";
import { provenIdentity } from "../authenticator.ts";
import { DeviceFlowUnavailable, GenericTokenFetchFailed } from "./failures.ts";
import { flowsOf } from "./flows.ts";
import { grantMetadata } from "./metadata.ts";
import { type OAuth2Client, type Translation, translated } from "./openid.ts";
import type { OAuth2Provider } from "./provider.ts";

/** What an ID token says can't be verified without a description of the server, and is not used. */
const withoutIdToken: Translation = (body) => ({ status: 200, body: { ...body, id_token: undefined } });

export const genericProvider = ({ generic }: OAuth2, client: OAuth2Client): OAuth2Provider => ({
  ...flowsOf({
    client: { ...client, fetch: translated(client.fetch, withoutIdToken) },
    name: "generic",
    tokenFailed: GenericTokenFetchFailed,
    deviceFlowUnavailable: DeviceFlowUnavailable,
    scopeSeparator: / +/,
    linkParameters: () => ({}),
  }),

  discover: () =>
    Effect.succeed({
      name: "generic",
      server: {
        issuer: new URL(generic.authorizeEndpointURL).origin,
        authorization_endpoint: generic.authorizeEndpointURL,
        token_endpoint: generic.tokenEndpoint.url,
      },
      redirectUri: generic.redirectURI,
      deviceFlow: false,
      authorizationCodeFlow: true,
      requestedScopes: [],
      requiredScopes: [],
      enforcesUsername: false,
      requiresTwoFactor: false,
      organization: undefined,
    }),

  /** Nobody has proven a user name: the authenticated one stays empty, as in the reference. */
  identify: (provider, grant, attempt) =>
    Effect.succeed({
      identity: add(
        { ...provenIdentity(attempt), authenticatedUsername: "" },
        { metadata: grantMetadata(provider, grant, "OAUTH2_TOKEN") },
      ),
      hasTwoFactor: undefined,
      isMember: undefined,
    }),

  /** Plain OAuth2 tells no endpoint to revoke tokens at. */
  revoke: () => Effect.void,
});
