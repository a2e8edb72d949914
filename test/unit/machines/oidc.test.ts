import { describe, expect, it } from "vitest";
import { createActor, fromPromise, setup, toPromise } from "xstate";
import type { authorizationCodeMachine } from "../../../machines/authorization-code.ts";
import type { deviceFlowMachine } from "../../../machines/device-flow.ts";
import type { FlowOutcome, Profile, Provider } from "../../../machines/oauth2.ts";
import { type OidcOutcome, oidcMachine } from "../../../machines/oidc.ts";
import { grantOf, login, profileOf, providerWith, refusalWith } from "./browser-login.ts";

type Flow = typeof deviceFlowMachine & typeof authorizationCodeMachine;

/** A flow that ends at once. */
const ending = (name: string, outcome: FlowOutcome, begun: string[]): Flow =>
  setup({ types: { output: {} as FlowOutcome } }).createMachine({
    entry: () => void begun.push(name),
    initial: "ended",
    states: { ended: { type: "final" } },
    output: outcome,
  }) as unknown as Flow;

const begin = (
  options: {
    readonly provider?: Partial<Provider> | Error;
    readonly device?: FlowOutcome;
    readonly code?: FlowOutcome;
    readonly profile?: Profile | Error;
  } = {},
) => {
  const begun: string[] = [];
  const logged: string[] = [];
  const granted: FlowOutcome = { kind: "granted", grant: grantOf() };
  const { provider = {}, profile = profileOf() } = options;
  const machine = oidcMachine.provide({
    actors: {
      discover: fromPromise(async () => {
        if (provider instanceof Error) throw provider;
        return providerWith(provider);
      }),
      deviceFlow: ending("device", options.device ?? granted, begun),
      authorizationCode: ending("code", options.code ?? granted, begun),
      identify: fromPromise(async () => {
        begun.push("identify");
        if (profile instanceof Error) throw profile;
        return profile;
      }),
    },
    actions: { log: (_, { line }) => void logged.push(line.code) },
  });
  const actor = createActor(machine, { input: login });
  const outcome = toPromise(actor) as Promise<OidcOutcome>;
  actor.start();
  return { outcome, begun, logged };
};

const failure = (code: string) => Object.assign(new Error(code), refusalWith(code));
const unavailable: FlowOutcome = { kind: "unavailable", refusal: refusalWith("LIMIT") };

describe("a login with a browser", () => {
  it("uses the device flow where both are possible", async () => {
    const { outcome, begun } = begin();
    expect(await outcome).toMatchObject({ kind: "granted", identity: { authenticatedUsername: "jane" } });
    expect(begun).toEqual(["device", "identify"]);
  });

  it("uses the authorization code flow where the device flow is none, or unavailable", async () => {
    const none = begin({ provider: { deviceFlow: false } });
    expect(await none.outcome).toMatchObject({ kind: "granted" });
    expect(none.begun).toEqual(["code", "identify"]);
    const limited = begin({ device: unavailable });
    expect(await limited.outcome).toMatchObject({ kind: "granted" });
    expect(limited.begun).toEqual(["device", "code", "identify"]);
    expect(limited.logged).toEqual(["LIMIT"]);
  });

  it("has no flow to fall back on", async () => {
    const limited = begin({ device: unavailable, provider: { authorizationCodeFlow: false } });
    expect(await limited.outcome).toMatchObject({ kind: "refused", refusal: { code: "LIMIT" } });
    const none = begin({ provider: { deviceFlow: false, authorizationCodeFlow: false } });
    expect(await none.outcome).toMatchObject({ kind: "refused", refusal: { code: "AUTH_CONFIG_ERROR" } });
    expect(none.begun).toEqual([]);
  });

  it("does not fall back when the user or the provider said no", async () => {
    const denied = begin({ device: { kind: "refused", refusal: refusalWith("DENIED") } });
    expect(await denied.outcome).toMatchObject({ refusal: { code: "DENIED" } });
    expect(denied.begun).toEqual(["device"]);
  });

  it.each([
    ["discovery", { provider: failure("DISCOVERY") }, "DISCOVERY"],
    ["identification", { profile: failure("USERINFO") }, "USERINFO"],
    [
      "the authorization code flow",
      {
        provider: { deviceFlow: false },
        code: { kind: "refused", refusal: refusalWith("CODE") } satisfies FlowOutcome,
      },
      "CODE",
    ],
  ])("is refused when %s fails", async (_, options, code) => {
    expect(await begin(options).outcome).toMatchObject({ kind: "refused", refusal: { code } });
  });

  describe("scopes", () => {
    const granting = (scopes: readonly string[] | undefined): FlowOutcome => ({
      kind: "granted",
      grant: grantOf(scopes),
    });

    it("are as requested when the answer doesn't say", async () => {
      expect(await begin({ device: granting(undefined) }).outcome).toMatchObject({ kind: "granted" });
    });

    it.each([[[]], [["openid"]], [["openid", "e-mail"]]])("are missing in %j", async (scopes) => {
      const { outcome, begun } = begin({ device: granting(scopes) });
      expect(await outcome).toMatchObject({
        kind: "refused",
        refusal: {
          code: "OIDC_REQUIRED_SCOPE_NOT_GRANTED",
          userMessage: expect.stringContaining("email"),
          details: { requested: "openid email", granted: scopes.join(" "), missing: "email" },
        },
      });
      expect(begun).toEqual(["device"]);
    });

    it("are not demanded unless configured", async () => {
      const { outcome } = begin({ provider: { requiredScopes: [] }, device: granting([]) });
      expect(await outcome).toMatchObject({ kind: "granted" });
    });

    it("may be granted by wider ones", async () => {
      const requiredScopes = [{ scope: "read:org", grantedBy: ["read:org", "admin:org"] }];
      const name = "github" as const;
      const wide = begin({ provider: { name, requiredScopes }, device: granting(["admin:org"]) });
      expect(await wide.outcome).toMatchObject({ kind: "granted" });
      const narrow = begin({ provider: { name, requiredScopes }, device: granting(["user"]) });
      expect(await narrow.outcome).toMatchObject({
        refusal: { code: "GITHUB_REQUIRED_SCOPE_NOT_GRANTED" },
      });
    });
  });

  describe("accounts", () => {
    it("need a user name, except where a server cannot tell one", async () => {
      const nameless = profileOf({ name: "" });
      expect(await begin({ profile: nameless }).outcome).toMatchObject({
        refusal: { code: "OIDC_NO_USERNAME" },
      });
      expect(await begin({ profile: nameless, provider: { name: "generic" } }).outcome).toMatchObject({
        kind: "granted",
      });
    });

    it("may have another name than the SSH user, unless that is enforced", async () => {
      const john = profileOf({ name: "john" });
      expect(await begin({ profile: john }).outcome).toMatchObject({
        kind: "granted",
        identity: { username: "jane", authenticatedUsername: "john" },
      });
      expect(await begin({ profile: john, provider: { enforcesUsername: true } }).outcome).toMatchObject({
        refusal: { code: "GITHUB_USER_DOES_NOT_MATCH", details: { authenticatedUsername: "john" } },
      });
    });

    it.each([
      [true, "granted"],
      [false, "refused"],
      [undefined, "refused"],
    ])("with two factors %j are %s where two are required", async (hasTwoFactor, kind) => {
      const provider = { requiresTwoFactor: true };
      expect(await begin({ provider, profile: profileOf({ hasTwoFactor }) }).outcome).toMatchObject(
        kind === "granted" ? { kind } : { kind, refusal: { code: "GITHUB_2FA_NOT_ENABLED" } },
      );
    });

    it.each([
      [true, "granted"],
      [false, "refused"],
      [undefined, "refused"],
    ])("with membership %j are %s where an organization is required", async (isMember, kind) => {
      const provider = { organization: "example" };
      expect(await begin({ provider, profile: profileOf({ isMember }) }).outcome).toMatchObject(
        kind === "granted"
          ? { kind }
          : { kind, refusal: { code: "GITHUB_ORGANIZATION_MEMBERSHIP_REQUIRED" } },
      );
    });
  });
});
