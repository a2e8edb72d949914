/** Providers that lie, fail or hang, and codes that are not this login's: nobody is logged in by any of it. */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { codeOn, linkIn } from "../../../support/browser-login.ts";
import { claimsOf, followLink, json, type OidcProvider } from "../../../support/oidc-provider.ts";
import { freePort } from "../../../support/ports.ts";
import { codeOf, type Flow, logIn, world } from "./world.ts";

const page = { status: 200, headers: { "content-type": "text/html" }, body: "<h1>Welcome to the wifi</h1>" };
const broken = { status: 503, headers: { "content-type": "text/plain" }, body: "no" };

/** Changes the ID token of the provider's answer, signed by its own key or another. */
const forge = (
  provider: OidcProvider,
  claims: Readonly<Record<string, unknown>>,
  key?: Parameters<OidcProvider["signIdToken"]>[1],
) =>
  provider.change("/token", async (_, original) => {
    const answer = await original();
    if (answer.status !== 200) return answer;
    const body = JSON.parse(answer.body);
    return json({ ...body, id_token: provider.signIdToken({ ...claimsOf(body.id_token), ...claims }, key) });
  });

const hourAgo = () => Math.floor(Date.now() / 1000) - 3600;

describe.each<Flow>(["device", "code"])("the %s flow", (flow) => {
  it.each<[string, (provider: OidcProvider) => void]>([
    ["of another issuer", (provider) => forge(provider, { iss: "https://evil.example.com" })],
    ["for another client", (provider) => forge(provider, { aud: "another" })],
    ["that has expired", (provider) => forge(provider, { exp: hourAgo(), iat: hourAgo() - 60 })],
    [
      "signed by somebody else",
      (provider) => forge(provider, {}, generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey),
    ],
    ["of another user than the user info", (provider) => forge(provider, { sub: "root" })],
    ["that is missing", (provider) => provider.amend("/token", { id_token: undefined })],
    ["that is garbage", (provider) => provider.amend("/token", { id_token: "a.b.c" })],
  ])("refuses an ID token %s", async (_, change) => {
    await using here = await world(flow);
    change(here.provider);
    expect(codeOf(await logIn(here.desk.begin(), flow))).toBe("OIDC_ID_TOKEN_INVALID");
  });

  it("refuses a token endpoint that answers HTML", async () => {
    await using here = await world(flow);
    here.provider.change("/token", async () => page);
    expect(codeOf(await logIn(here.desk.begin(), flow))).toBe("OIDC_ACCESS_TOKEN_FETCH_FAILED");
  });

  it.each([
    ["HTML", page],
    ["another status", broken],
    ["null", json(null)],
  ])("refuses user info that is %s", async (_, answer) => {
    await using here = await world(flow);
    here.provider.change("/me", async () => answer);
    expect(codeOf(await logIn(here.desk.begin(), flow))).toMatch(
      /^OIDC_(USER_INFO_FETCH_FAILED|ID_TOKEN_INVALID)$/,
    );
  });

  it.each([
    ["is down", async () => broken, "OIDC_DISCOVERY_TIMEOUT"],
    ["hangs", () => new Promise<never>(() => {}), "OIDC_DISCOVERY_TIMEOUT"],
    ["answers HTML", async () => page, "OIDC_DISCOVERY_FAILED"],
    ["answers null", async () => json(null), "OIDC_DISCOVERY_FAILED"],
  ])("refuses a provider that %s", async (_, answer, code) => {
    await using here = await world(flow);
    here.provider.change("/.well-known/openid-configuration", answer);
    expect(codeOf(await here.desk.begin().outcome)).toBe(code);
  });

  it("refuses a provider that nobody can connect to", async () => {
    await using here = await world(flow, { url: `http://127.0.0.1:${await freePort()}/` });
    expect(codeOf(await here.desk.begin().outcome)).toBe("OIDC_DISCOVERY_TIMEOUT");
  });

  it("waits for a provider that is slow, and tells the user so", async () => {
    await using here = await world(flow, {}, {}, { authTimeout: "15s" });
    const login = here.desk.begin();
    const told = login.banner();
    here.provider.change("/.well-known/openid-configuration", async (_, original) => {
      expect(await told).toContain("does not answer yet");
      return original();
    });
    expect(codeOf(await logIn(login, flow))).toBe("granted");
  });

  it("refuses the description of another issuer", async () => {
    await using here = await world(flow);
    here.provider.amend("/.well-known/openid-configuration", { issuer: "https://evil.example.com" });
    expect(codeOf(await here.desk.begin().outcome)).toBe("OIDC_DISCOVERY_FAILED");
  });
});

describe("a client that disconnects while the provider is asked", () => {
  it("breaks the question off, and asks no more", async () => {
    await using here = await world("device");
    here.provider.change("/token", () => new Promise(() => {}));
    const login = here.desk.begin();
    const { abandoned } = await here.provider.nextRequest("/token");
    login.abandon();
    await abandoned;
    expect(here.provider.requests.filter(({ path }) => path === "/token")).toHaveLength(1);
  });
});

describe("codes", () => {
  it("are accepted as people paste them", async () => {
    await using here = await world("code");
    const login = here.desk.begin();
    const asked = await login.asked();
    const { html } = await followLink(linkIn(asked));
    asked.answer(`  ${codeOn(html).toLowerCase().replace("-", " ")}\u200b \r`);
    expect(codeOf(await login.outcome)).toBe("granted");
  });

  it("of another login are refused, and stay good for their own", async () => {
    await using here = await world("code");
    const [mine, other] = [here.desk.begin(), here.desk.begin()];
    const [question, foreign] = [await mine.asked(), await other.asked()];
    await followLink(linkIn(question));
    const code = codeOn((await followLink(linkIn(foreign))).html);
    question.answer(code);
    (await mine.asked()).answer(code);
    (await mine.asked()).answer(code);
    expect(codeOf(await mine.outcome)).toBe("AUTH_OAUTH_STATE_MISMATCH");
    foreign.answer(code);
    expect(codeOf(await other.outcome)).toBe("granted");
  });

  it("are good once: neither the page nor another login takes them again", async () => {
    await using here = await world("code");
    const login = here.desk.begin();
    const asked = await login.asked();
    const returned = await followLink(linkIn(asked));
    const code = codeOn(returned.html);
    asked.answer(code);
    expect(codeOf(await login.outcome)).toBe("granted");
    expect((await fetch(returned.url)).status).toBe(410);
    const replay = here.desk.begin();
    for (let times = 0; times < 3; times++) (await replay.asked()).answer(code);
    expect(codeOf(await replay.outcome)).toBe("AUTH_FAILED");
  });

  it("replayed in their long form belong to another login", async () => {
    await using here = await world("code");
    const login = here.desk.begin();
    const asked = await login.asked();
    const { url } = await followLink(linkIn(asked));
    const long = `${url.searchParams.get("state")}|${url.searchParams.get("code")}`;
    asked.answer(long);
    expect(codeOf(await login.outcome)).not.toBe("granted");
    const replay = here.desk.begin();
    for (let times = 0; times < 3; times++) (await replay.asked()).answer(long);
    expect(codeOf(await replay.outcome)).toBe("AUTH_OAUTH_STATE_MISMATCH");
  });

  it("are not there when the user closes the browser", async () => {
    await using here = await world("code");
    const login = here.desk.begin();
    for (let times = 0; times < 3; times++) (await login.asked()).answer("");
    expect(codeOf(await login.outcome)).toBe("AUTH_FAILED");
  });

  it("get no token when the nonce of the ID token is another login's", async () => {
    await using here = await world("code");
    forge(here.provider, { nonce: "another" });
    expect(codeOf(await logIn(here.desk.begin(), "code"))).toBe("OIDC_ID_TOKEN_INVALID");
  });
});
