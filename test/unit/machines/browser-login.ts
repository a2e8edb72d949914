/** Values of logins with a browser, for tests of their machines. */
import { Redacted } from "effect";
import type { AuthorizationRequest, AuthorizationResponse } from "../../../machines/authorization-code.ts";
import type { DeviceAuthorization } from "../../../machines/device-flow.ts";
import type { Refusal } from "../../../machines/facts.ts";
import type { BrowserLogin, Grant, Profile, Provider } from "../../../machines/oauth2.ts";
import type {} from "../../../src/auth/oauth2/provider.ts";
import { identityOf } from "./values.ts";

export const login: BrowserLogin = {
  connectionId: "c1",
  username: "jane",
  credential: { method: "keyboard-interactive", ask: () => Promise.resolve([]) },
};

export const providerWith = (facts: Partial<Provider> = {}): Provider => ({
  name: "oidc",
  server: { issuer: "https://sso.example.com" },
  redirectUri: "https://ssh.example.com/",
  deviceFlow: true,
  authorizationCodeFlow: true,
  requestedScopes: ["openid", "email"],
  requiredScopes: [{ scope: "email", grantedBy: ["email"] }],
  enforcesUsername: false,
  requiresTwoFactor: false,
  organization: undefined,
  ...facts,
});

export const grantOf = (scopes?: readonly string[]): Grant => ({
  flow: "device",
  scopes,
  accessToken: Redacted.make("token"),
  refreshToken: undefined,
  subject: "jane",
});

export const profileOf = (facts: Partial<Profile> & { readonly name?: string } = {}): Profile => {
  const { name = "jane", ...rest } = facts;
  return {
    identity: { ...identityOf("jane"), authenticatedUsername: name },
    hasTwoFactor: undefined,
    isMember: undefined,
    ...rest,
  };
};

export const authorization: DeviceAuthorization = {
  deviceCode: Redacted.make("device-code"),
  userCode: Redacted.make("ABCD-EFGH"),
  verificationUri: "https://sso.example.com/device",
  verificationUriComplete: undefined,
  expiresInMillis: 600_000,
  intervalMillis: 5_000,
};

export const request: AuthorizationRequest = {
  responseType: "code",
  link: Redacted.make("https://sso.example.com/auth"),
  state: Redacted.make("state"),
  verifier: Redacted.make("verifier"),
  nonce: Redacted.make("nonce"),
};

export const response: AuthorizationResponse = {
  grantType: "authorization_code",
  parameters: Redacted.make(new URLSearchParams({ code: "code" })),
};

export const refusalWith = (code: string): Refusal => ({
  code,
  userMessage: "No.",
  message: "no",
  details: {},
  level: "notice",
});
