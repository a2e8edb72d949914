/** A provider with logins at it, by the release's block of YAML, and what a person does who logs in. */
import { Redacted } from "effect";
import type { OidcOutcome } from "../../../../machines/oidc.ts";
import {
  codeOn,
  freeRedirect,
  type Login,
  type LoginDesk,
  linkIn,
  openLoginDesk,
  userCodeIn,
} from "../../../support/browser-login.ts";
import {
  approveDevice,
  CLIENT_ID,
  CLIENT_SECRET,
  followLink,
  type OidcProvider,
  type ProviderOptions,
  startOidcProvider,
  type UserChoice,
} from "../../../support/oidc-provider.ts";

export type Flow = "device" | "code";

export interface World extends AsyncDisposable {
  readonly provider: OidcProvider;
  readonly desk: LoginDesk;
}

/** A provider, and logins by the release's block of YAML with `url`, the client and a flow added. */
export const world = async (
  flow: Flow,
  oidc: Readonly<Record<string, unknown>> = {},
  options: ProviderOptions = {},
  oauth2: Readonly<Record<string, unknown>> = {},
): Promise<World> => {
  const { listen, redirectURI } = await freeRedirect();
  const provider = await startOidcProvider({ redirectUri: redirectURI, ...options });
  provider.amend("/device/auth", { interval: 0.05 });
  const desk = await openLoginDesk({
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    provider: "oidc",
    redirect: { listen },
    oidc: {
      url: `${provider.issuer}/`,
      redirectURI,
      ...(flow === "device" ? { deviceFlow: true } : { authorizationCodeFlow: true }),
      extraScopes: ["profile", "email"],
      enforceScopes: true,
      ...oidc,
    },
    authTimeout: "2s",
    ...oauth2,
  });
  return {
    provider,
    desk,
    [Symbol.asyncDispose]: async () => {
      await desk[Symbol.asyncDispose]();
      await provider[Symbol.asyncDispose]();
    },
  };
};

/** What a person does who logs in. */
export const logIn = async (login: Login, flow: Flow, choice: UserChoice = {}): Promise<OidcOutcome> => {
  const asked = await login.asked();
  if (flow === "device") {
    await approveDevice(linkIn(asked), userCodeIn(asked), choice);
  } else {
    const page = await followLink(linkIn(asked), choice);
    asked.answer(page.status === 200 ? codeOn(page.html) : "");
  }
  return await login.outcome;
};

export const metadataIn = (outcome: OidcOutcome): Readonly<Record<string, string>> => {
  if (outcome.kind === "refused") throw new Error(JSON.stringify(outcome.refusal));
  return Object.fromEntries(
    Object.entries(outcome.identity.metadata).map(([name, { value }]) => [name, Redacted.value(value)]),
  );
};

export const codeOf = (outcome: OidcOutcome): string =>
  outcome.kind === "refused" ? outcome.refusal.code : "granted";
