/** The codes of logins with a browser. */
import { area } from "./area.ts";

export const oauth2 = area(
  "OAuth2 and OpenID Connect",
  {
    AUTH_OAUTH2_AVAILABLE: "The server that browsers come back to is listening.",
    AUTH_OAUTH2_AUTHORIZATION_PENDING: "The provider was asked whether a user has approved the login.",
    AUTH_OAUTH2_DEVICE_CODE_REQUEST_FAILED: "The provider gave no code for the device flow.",
    AUTH_OAUTH2_TIMEOUT: "A user did not finish logging in with the browser in time.",
    AUTH_OAUTH_STATE_MISMATCH: "A user entered the code of another login, or mistyped it.",
    AUTH_OAUTH_UNSUPPORTED_GRANT_TYPE: "The provider does not let the configured client use the flow.",
    OAUTH_DEVICE_FLOW_RATE_LIMIT_EXCEEDED:
      "The provider gives no device codes at this time; the authorization code flow is used if it is configured.",
    OAUTH_INCORRECT_CLIENT_CREDENTIALS: "The provider does not accept the configured client ID and secret.",
    OIDC_DISCOVERY_FAILED: "The description of the OpenID Connect provider could not be read or believed.",
    OIDC_DISCOVERY_TIMEOUT: "The OpenID Connect provider did not answer in time.",
    OIDC_ACCESS_TOKEN_FETCH_FAILED: "The OpenID Connect provider gave no token.",
    OIDC_USER_INFO_FETCH_FAILED: "The OpenID Connect provider did not tell who the user is.",
    OIDC_NO_USERNAME: "The OpenID Connect provider did not tell the field that holds the user name.",
    OIDC_REQUIRED_SCOPE_NOT_GRANTED: "A user has not granted all scopes that are demanded.",
    OIDC_DEAUTHORIZE_FAILED: "A token could not be revoked when its connection ended.",
    OIDC_DEAUTHORIZE_TIMEOUT: "A token could not be revoked in time when its connection ended.",
    GITHUB_DEVICE_AUTHORIZATION_LIMIT:
      "GitHub gives no device codes at this time; the authorization code flow is used instead.",
    GITHUB_ACCESS_TOKEN_FETCH_FAILED: "GitHub gave no token.",
    GITHUB_STATE_DOES_NOT_MATCH: "A user entered the code of another GitHub login, or mistyped it.",
    GITHUB_USER_REQUEST_FAILED: "GitHub did not tell who the user is.",
    GITHUB_USER_DOES_NOT_MATCH: "A user logged in under another name than the one that was asked for.",
    GITHUB_REQUIRED_SCOPE_NOT_GRANTED: "A user has not granted all GitHub scopes that are demanded.",
    GITHUB_2FA_NOT_ENABLED: "A user's GitHub account lacks the second factor that is demanded.",
    GITHUB_DELETE_ACCESS_TOKEN_FAILED: "A GitHub token could not be deleted when its connection ended.",
    GENERIC_ACCESS_TOKEN_FETCH_FAILED: "The OAuth2 server gave no token.",
  },
  {
    OIDC_ID_TOKEN_INVALID:
      "An ID token is missing, or its issuer, audience, nonce, time, signature or subject is wrong: nobody is logged in.",
    GITHUB_ORGANIZATION_MEMBERSHIP_REQUIRED:
      "A user is no member of the GitHub organization that is demanded.",
  },
);
