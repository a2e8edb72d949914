/** Logins at GitHub, against a look-alike with its documented endpoints. */
import { describe, expect, it } from "vitest";
import { codeOn, freeRedirect, linkIn, openLoginDesk } from "../../../support/browser-login.ts";
import {
  GITHUB_CLIENT_ID,
  GITHUB_CLIENT_SECRET,
  type GitHubBehaviour,
  startGitHub,
} from "../../../support/github.ts";
import { Surfer } from "../../../support/surfer.ts";
import { codeOf, metadataIn } from "./world.ts";

const world = async (
  github: Readonly<Record<string, unknown>> = {},
  behaviour: Partial<GitHubBehaviour> = {},
  options: Readonly<Record<string, unknown>> = {},
) => {
  const { listen, redirectURI } = await freeRedirect();
  const server = await startGitHub({ callback: redirectURI, ...behaviour });
  const desk = await openLoginDesk({
    clientId: GITHUB_CLIENT_ID,
    clientSecret: GITHUB_CLIENT_SECRET,
    provider: "github",
    redirect: { listen },
    github: { url: server.url, apiurl: `${server.url}${server.behaviour.apiPath}`, ...github },
    authTimeout: "2s",
    ...options,
  });
  return {
    server,
    desk,
    [Symbol.asyncDispose]: async () => {
      await desk[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
};

describe("a login at GitHub", () => {
  it("uses the device flow, tells who it was and deletes the token at the end", async () => {
    await using here = await world();
    const login = here.desk.begin();
    const metadata = metadataIn(await login.outcome);
    expect(metadata).toMatchObject({
      github_username: "jane",
      github_name: "Jane of the tests",
      github_email: "",
      GITHUB_ID: "583231",
      GITHUB_METHOD: "device",
      oauth2_access_token: here.server.tokens[0],
    });
    expect(here.server.deleted).toEqual([]);
    await login.end();
    expect(here.server.deleted).toEqual(here.server.tokens);
  });

  it("finds the API of GitHub Enterprise, also to delete the token", async () => {
    await using here = await world(
      { requireOrgMembership: "example" },
      { apiPath: "/api/v3", membership: "active" },
    );
    const login = here.desk.begin();
    expect(codeOf(await login.outcome)).toBe("granted");
    await login.end();
    expect(here.server.deleted).toEqual(here.server.tokens);
  });

  it("falls back to the authorization code flow when the device flow's limit is reached", async () => {
    await using here = await world({}, { deviceError: "slow_down" });
    const login = here.desk.begin();
    const asked = await login.asked();
    const link = new URL(linkIn(asked));
    expect(link.pathname).toBe("/login/oauth/authorize");
    expect(Object.fromEntries(link.searchParams)).toMatchObject({
      login: "jane",
      code_challenge_method: "S256",
    });
    asked.answer(codeOn((await new Surfer().open(link)).html));
    const outcome = await login.outcome;
    expect(codeOf(outcome)).toBe("granted");
    expect(metadataIn(outcome)).toMatchObject({ GITHUB_METHOD: "authorization_code" });
    expect(here.desk.log.codes()).toContain("GITHUB_DEVICE_AUTHORIZATION_LIMIT");
  });

  it("uses the authorization code flow for clients that are not listed for the device flow", async () => {
    await using here = await world({}, {}, { deviceFlowClients: ["PuTTY"] });
    const asked = await here.desk.begin().asked();
    expect(linkIn(asked)).toContain("/login/oauth/authorize");
    expect(here.server.asked).not.toContain("/login/device/code");
  });

  it.each([
    [true, "GITHUB_USER_DOES_NOT_MATCH"],
    [false, "granted"],
  ])("with enforceUsername %s and another name", async (enforceUsername, code) => {
    await using here = await world({ enforceUsername });
    expect(codeOf(await here.desk.begin({ username: "root" }).outcome)).toBe(code);
  });

  it.each([
    [true, "granted"],
    [false, "GITHUB_2FA_NOT_ENABLED"],
    [undefined, "GITHUB_2FA_NOT_ENABLED"],
  ])("with two factors required and %s", async (twoFactor, code) => {
    await using here = await world({ require2FA: true }, { twoFactor });
    expect(codeOf(await here.desk.begin().outcome)).toBe(code);
  });

  it.each([
    ["active", "granted"],
    ["pending", "GITHUB_ORGANIZATION_MEMBERSHIP_REQUIRED"],
    [undefined, "GITHUB_ORGANIZATION_MEMBERSHIP_REQUIRED"],
  ])("with an organization required and membership %s", async (membership, code) => {
    await using here = await world({ requireOrgMembership: "example" }, { membership });
    expect(codeOf(await here.desk.begin().outcome)).toBe(code);
  });

  it("needs the permission to look at memberships, whether scopes are enforced or not", async () => {
    await using here = await world({ requireOrgMembership: "example" }, { membership: "active", scopes: [] });
    expect(codeOf(await here.desk.begin().outcome)).toBe("GITHUB_REQUIRED_SCOPE_NOT_GRANTED");
  });

  it.each([
    [["gist", "user"], "granted"],
    [["gist"], "GITHUB_REQUIRED_SCOPE_NOT_GRANTED"],
    [[], "GITHUB_REQUIRED_SCOPE_NOT_GRANTED"],
  ])("with gist and user:email enforced and %j granted", async (scopes, code) => {
    const extraScopes = ["gist", "user:email"];
    await using here = await world({ extraScopes, enforceScopes: true }, { scopes });
    expect(codeOf(await here.desk.begin().outcome)).toBe(code);
  });

  it.each([
    [{ pollError: { error: "access_denied" } }, "AUTH_FAILED"],
    [{ pollError: { error: "expired_token" } }, "AUTH_OAUTH2_TIMEOUT"],
    [{ pollError: { error: "incorrect_device_code" } }, "GITHUB_ACCESS_TOKEN_FETCH_FAILED"],
    [{ pollError: { error: "incorrect_client_credentials" } }, "OAUTH_INCORRECT_CLIENT_CREDENTIALS"],
    [{ userStatus: 403 }, "GITHUB_USER_REQUEST_FAILED"],
    [{ userStatus: 500 }, "GITHUB_USER_REQUEST_FAILED"],
    [{ login: "jane\nroot" }, "GITHUB_USER_REQUEST_FAILED"],
  ])("is refused with %j", async (behaviour, code) => {
    await using here = await world({}, behaviour);
    expect(codeOf(await here.desk.begin().outcome)).toBe(code);
  });

  it("keeps tokens and secrets out of the log and of what an inspector sees", async () => {
    await using here = await world();
    const login = here.desk.begin();
    await login.outcome;
    await login.end();
    const seen = `${here.desk.log.text()}\n${login.inspected()}`;
    for (const secret of [...here.server.tokens, GITHUB_CLIENT_SECRET]) expect(seen).not.toContain(secret);
    expect(here.server.tokens).toHaveLength(1);
  });
});
