/** Walks machines/oidc.ts: logins at an OpenID Connect provider and at GitHub, of people who grant all, less, or nothing. */
import { expect } from "vitest";
import type { FlowOutcome } from "../../machines/oauth2.ts";
import { oidcMachine } from "../../machines/oidc.ts";
import { type BrowserWorld, browserWorld, isAt, seesIn, seesRefused } from "../support/model/browser.ts";
import { done, fails, REFUSAL, walk } from "../support/model/walk.ts";
import { grantOf, login, profileOf, providerWith } from "../unit/machines/browser-login.ts";

const page = { status: 200, headers: { "content-type": "text/html" }, body: "<p>" };

const granted = (scopes?: readonly string[]): FlowOutcome => ({ kind: "granted", grant: grantOf(scopes) });
const refused: FlowOutcome = { kind: "refused", refusal: REFUSAL };
const unavailable: FlowOutcome = { kind: "unavailable", refusal: REFUSAL };

const inDeviceFlow = (outcome: FlowOutcome) => done(oidcMachine, "oidc.deviceFlow", outcome);
const inCodeFlow = (outcome: FlowOutcome) => done(oidcMachine, "oidc.authorizationCodeFlow", outcome);
const identified = (facts: Parameters<typeof profileOf>[0]) =>
  done(oidcMachine, "oidc.identifying", profileOf({ hasTwoFactor: true, isMember: true, ...facts }));

const lacksDeviceFlow = ({ provider }: BrowserWorld) =>
  provider.amend("/.well-known/openid-configuration", { device_authorization_endpoint: undefined });

const isAtGitHub = ({ oauth2 }: BrowserWorld): boolean => oauth2.provider === "github";

walk<BrowserWorld>("oidc", {
  input: login,
  key: ({ provider, grant, profile }: { provider: unknown; grant: unknown; profile: unknown }) => [
    provider,
    grant,
    profile,
  ],
  causes: {
    "the provider has both flows": { event: done(oidcMachine, "oidc.discovering", providerWith()) },
    "it has no device flow": {
      event: done(oidcMachine, "oidc.discovering", providerWith({ deviceFlow: false })),
      arrange: lacksDeviceFlow,
    },
    "it has no flow that is switched on": {
      event: done(
        oidcMachine,
        "oidc.discovering",
        providerWith({ deviceFlow: false, authorizationCodeFlow: false }),
      ),
      arrange: (world) => {
        lacksDeviceFlow(world);
        world.oidc.authorizationCodeFlow = false;
      },
    },
    "it is GitHub, and name, two factors and membership are demanded": {
      event: done(
        oidcMachine,
        "oidc.discovering",
        providerWith({
          name: "github",
          requiredScopes: [],
          enforcesUsername: true,
          requiresTwoFactor: true,
          organization: "example",
        }),
      ),
      arrange: ({ oauth2, github }) => {
        oauth2.provider = "github";
        const { url, behaviour } = github;
        oauth2.github = { url, apiurl: url, require2FA: true, requireOrgMembership: "example" };
        Object.assign(behaviour, { twoFactor: true, membership: "active" });
      },
    },
    "it calls itself by another name": {
      event: fails(oidcMachine, "oidc.discovering"),
      arrange: ({ provider }) =>
        provider.amend("/.well-known/openid-configuration", { issuer: "https://evil.example.com" }),
    },

    "the device is approved": {
      event: inDeviceFlow(granted()),
      cause: (world) => (isAtGitHub(world) ? undefined : world.approve()),
    },
    "the device is approved without email": {
      event: inDeviceFlow(granted(["openid", "profile"])),
      when: isAt("oidc"),
      cause: (world) => world.approve({ grants: ["openid", "profile"] }),
    },
    "the device is declined": {
      event: inDeviceFlow(refused),
      when: isAt("oidc"),
      cause: (world) => world.approve({ denies: true }),
    },
    "there is no device code at this time": {
      event: inDeviceFlow(unavailable),
      when: isAt("oidc"),
      arrange: ({ provider }) => provider.change("/device/auth", async () => ({ ...page, status: 429 })),
    },
    "the code of the page is entered": {
      event: inCodeFlow(granted()),
      cause: async (world) => world.enter(await world.follow()),
    },
    "the login is declined in the browser": {
      event: inCodeFlow(refused),
      cause: async (world) => world.enter(await world.follow({ denies: true })),
    },

    "the provider says who it was": { event: identified({ name: login.username }) },
    "it says no user name": {
      event: identified({ name: "" }),
      when: isAt("oidc"),
      arrange: ({ provider }) => provider.amend("/me", { preferred_username: "" }),
    },
    "it was somebody else": {
      event: identified({ name: "other" }),
      when: isAt("github"),
      arrange: ({ github }) => {
        github.behaviour.login = "other";
      },
    },
    "it has no second factor": {
      event: identified({ name: login.username, hasTwoFactor: false }),
      when: isAt("github"),
      arrange: ({ github }) => {
        github.behaviour.twoFactor = false;
      },
    },
    "it is no member": {
      event: identified({ name: login.username, isMember: false }),
      when: isAt("github"),
      arrange: ({ github }) => {
        github.behaviour.membership = undefined;
      },
    },
    "the provider does not say who it was": {
      event: fails(oidcMachine, "oidc.identifying"),
      when: isAt("oidc"),
      arrange: ({ provider }) => provider.change("/me", async () => page),
    },
  },
  world: browserWorld,
  daemon: (world) => world.startDaemon(),
  begin: (world, daemon) => world.logIn(daemon),
  looks: {
    "oidc.discovering": async (_, { log }) => {
      await log.any("AUTH", ({ message }) => message === "Login with a browser");
    },
    "oidc.deviceFlow": async (world) => {
      if (!isAtGitHub(world)) await world.provider.nextRequest("/device/auth");
    },
    "oidc.authorizationCodeFlow": async ({ terminal }) => {
      await terminal().waitFor("Code: ");
    },
    "oidc.identifying": async (world) => {
      if (!isAtGitHub(world)) await world.provider.nextRequest("/me");
    },
    "oidc.granted": async (world) => {
      await seesIn(world);
      if (isAtGitHub(world)) expect(world.github.asked).toContain("/user");
    },
    "oidc.refused": seesRefused({
      AUTH_CONFIG_ERROR: "is not configured correctly",
      OIDC_DISCOVERY_FAILED: "is not possible at this time",
      AUTH_FAILED: "The login was declined in the browser",
      OIDC_REQUIRED_SCOPE_NOT_GRANTED: "You have not granted the required permission: email",
      OIDC_NO_USERNAME: "Your account has no user name that can be used here",
      GITHUB_USER_DOES_NOT_MATCH: "The user name of your SSH client is not that of your account",
      GITHUB_2FA_NOT_ENABLED: "Please switch on two-factor authentication",
      GITHUB_ORGANIZATION_MEMBERSHIP_REQUIRED: "Only members of an organization may log in here",
      OIDC_USER_INFO_FETCH_FAILED: "The login server did not tell who you are",
    }),
  },
});
