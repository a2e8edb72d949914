/** Walks machines/authorization-code.ts: codes of the redirect page that are entered, mistyped and refused. */
import { authorizationCodeMachine } from "../../machines/authorization-code.ts";
import { type BrowserWorld, browserWorld, seesIn, seesRefused } from "../support/model/browser.ts";
import { done, fails, walk } from "../support/model/walk.ts";
import { json } from "../support/oidc-provider.ts";
import { grantOf, login, providerWith, request, response } from "../unit/machines/browser-login.ts";

const entered = (output: unknown) => done(authorizationCodeMachine, "authorizationCode.open.asking", output);

walk<BrowserWorld>("authorization-code", {
  input: { login, provider: providerWith() },
  key: ({ asked }: { asked: number }) => asked,
  causes: {
    "a link is made": { event: done(authorizationCodeMachine, "authorizationCode.preparing", request) },
    "the provider has no page to link to": {
      event: fails(authorizationCodeMachine, "authorizationCode.preparing"),
      arrange: ({ provider }) =>
        provider.amend("/.well-known/openid-configuration", { authorization_endpoint: undefined }),
    },
    "the code of the page is entered": {
      event: entered({ kind: "matched", response }),
      cause: async (world) => world.enter(await world.follow()),
    },
    "something else is entered": {
      event: entered({ kind: "unreadable" }),
      cause: (world) => world.enter("hello"),
    },
    "the client answers out of form": {
      event: fails(authorizationCodeMachine, "authorizationCode.open.asking"),
      when: ({ context }) => context.asked === 1,
      arrange: (world) => {
        world.breaksForm = true;
      },
      cause: (world) => world.answerOutOfForm(),
    },
    "the login is declined in the browser": {
      event: entered({ kind: "declined", error: "access_denied" }),
      cause: async (world) => world.enter(await world.follow({ denies: true })),
    },
    "a token is given": {
      event: done(authorizationCodeMachine, "authorizationCode.open.exchanging", grantOf()),
    },
    "the provider does not know the code": {
      event: fails(authorizationCodeMachine, "authorizationCode.open.exchanging"),
      arrange: ({ provider }) => provider.change("/token", async () => json({ error: "invalid_grant" }, 400)),
    },
  },
  world: async () => {
    const world = await browserWorld();
    world.oidc.deviceFlow = false;
    return world;
  },
  daemon: (world) => world.startDaemon(),
  begin: (world, daemon) => world.logIn(daemon),
  looks: {
    "authorizationCode.preparing": async ({ provider }) => {
      await provider.nextRequest("/.well-known/openid-configuration");
    },
    "authorizationCode.open.asking": async ({ terminal, breaksForm }) => {
      if (!breaksForm) await terminal().waitFor("Code: ");
    },
    "authorizationCode.open.exchanging": async ({ provider }) => {
      await provider.nextRequest("/token");
    },
    "authorizationCode.granted": seesIn,
    "authorizationCode.refused": seesRefused({
      OIDC_ID_TOKEN_INVALID: "could not be verified",
      AUTH_FAILED: "The login was declined in the browser",
      OIDC_ACCESS_TOKEN_FETCH_FAILED: "did not accept the code",
    }),
  },
});
