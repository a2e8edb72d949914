/** Walks machines/device-flow.ts: codes that are approved, declined, forgotten or never given. */
import { deviceFlowMachine } from "../../machines/device-flow.ts";
import { type BrowserWorld, browserWorld, seesIn, seesRefused } from "../support/model/browser.ts";
import { after, done, fails, REFUSAL, walk } from "../support/model/walk.ts";
import { json } from "../support/oidc-provider.ts";
import { authorization, grantOf, login, providerWith } from "../unit/machines/browser-login.ts";

const polled = (output: unknown) => done(deviceFlowMachine, "deviceFlow.pending.polling", output);

const tokenError = (error: string) => (world: BrowserWorld) =>
  world.provider.change("/token", async () => json({ error }, 400));

const ASKS_AGAIN = "until the user has done something, the provider is asked again and again";

walk<BrowserWorld>("device-flow", {
  input: { login, provider: providerWith() },
  causes: {
    "a code is given": {
      event: done(deviceFlowMachine, "deviceFlow.requestingCode", { kind: "issued", authorization }),
    },
    "no code is given at this time": {
      event: done(deviceFlowMachine, "deviceFlow.requestingCode", { kind: "unavailable", refusal: REFUSAL }),
      arrange: ({ provider }) => provider.change("/device/auth", async () => json({}, 429)),
    },
    "an answer comes that is none": {
      event: fails(deviceFlowMachine, "deviceFlow.requestingCode"),
      arrange: ({ provider }) => provider.change("/device/auth", async () => json({ hello: "world" })),
    },
    "the client shows it": { event: done(deviceFlowMachine, "deviceFlow.pending.showingCode") },
    "the client answers what nobody asked": {
      event: fails(deviceFlowMachine, "deviceFlow.pending.showingCode"),
      arrange: (world) => {
        world.breaksForm = true;
      },
      cause: (world) => world.answerOutOfForm(),
    },
    "the pause is over": { event: after(deviceFlowMachine, "deviceFlow.pending.waiting") },
    "the user approves": {
      event: polled({ kind: "granted", grant: grantOf() }),
      cause: (world) => world.approve(),
    },
    "the user has done nothing yet": { event: polled({ kind: "pending" }) },
    "the user declines": {
      event: polled({ kind: "denied" }),
      cause: (world) => world.approve({ denies: true }),
    },
    "the provider forgets the code": {
      event: polled({ kind: "expired" }),
      arrange: tokenError("expired_token"),
    },
    "the provider does not know the code": {
      event: fails(deviceFlowMachine, "deviceFlow.pending.polling"),
      arrange: tokenError("invalid_grant"),
    },
    "the code's time is over": {
      event: after(deviceFlowMachine, "deviceFlow.pending", "expiry"),
      arrange: ({ provider }) => provider.amend("/device/auth", { interval: 0.2, expires_in: 2 }),
    },
  },
  besides: () => ({
    "deviceFlow.pending.waiting|xstate.after.interval.deviceFlow.pending.waiting|0": ASKS_AGAIN,
    "deviceFlow.pending.polling|xstate.done.actor.0.deviceFlow.pending.polling|3": ASKS_AGAIN,
  }),
  world: browserWorld,
  daemon: (world) => world.startDaemon(),
  begin: (world, daemon) => world.logIn(daemon),
  looks: {
    "deviceFlow.requestingCode": async ({ provider }) => {
      await provider.nextRequest("/device/auth");
    },
    "deviceFlow.pending.showingCode": async ({ terminal, breaksForm }) => {
      if (!breaksForm) await terminal().waitFor("check that it shows this code");
    },
    "deviceFlow.pending.waiting": async ({ terminal }) => {
      const told = "the login goes on here by itself";
      if (!terminal().output.text.includes(told)) await terminal().waitFor(told);
    },
    "deviceFlow.pending.polling": async ({ provider }) => {
      await provider.nextRequest("/token");
    },
    "deviceFlow.granted": seesIn,
    "deviceFlow.unavailable": async ({ terminal }, { log }) => {
      await log.any("OAUTH_DEVICE_FLOW_RATE_LIMIT_EXCEEDED");
      await terminal().waitFor("Code: ");
    },
    "deviceFlow.refused": seesRefused({
      AUTH_OAUTH2_TIMEOUT: "The login was not approved in time",
      AUTH_FAILED: "The login was declined in the browser",
      AUTH_OAUTH2_DEVICE_CODE_REQUEST_FAILED: "is not possible at this time",
      OIDC_ACCESS_TOKEN_FETCH_FAILED: "did not accept the code",
    }),
  },
});
