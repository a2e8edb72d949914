/** Logins at a plain OAuth2 server, which gives tokens and cannot say to whom. */
import { describe, expect, it } from "vitest";
import { codeOn, freeRedirect, linkIn, openLoginDesk } from "../../../support/browser-login.ts";
import { certificateAuthority, type Pair } from "../../../support/certificates.ts";
import { always, httpServer, type Respond } from "../../../support/http-server.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";
import { codeOf, metadataIn } from "./world.ts";

const SECRET = "secret-of-the-client";

const world = async (
  token: Respond,
  { tls, cacert = "" }: { readonly tls?: Pair; readonly cacert?: string } = {},
) => {
  const { listen, redirectURI } = await freeRedirect();
  const server = await httpServer(token, tls);
  const desk = await openLoginDesk({
    clientId: "berth",
    clientSecret: SECRET,
    provider: "generic",
    redirect: { listen },
    generic: {
      authorizeEndpointURL: `${server.url}/authorize`,
      tokenEndpoint: { url: `${server.url}/token`, cacert },
      redirectURI,
    },
    authTimeout: "1s",
  });
  /** Logs in as a browser would that the server sends back. */
  const logIn = async () => {
    const login = desk.begin();
    const asked = await login.asked();
    const link = new URL(linkIn(asked));
    const back = new URL(redirectURI);
    back.search = new URLSearchParams({
      code: "the-code",
      state: link.searchParams.get("state") ?? "",
    }).toString();
    asked.answer(codeOn(await (await fetch(back)).text()));
    return { link, outcome: await login.outcome };
  };
  return { server, desk, logIn, redirectURI, [Symbol.asyncDispose]: () => desk[Symbol.asyncDispose]() };
};

const token = JSON.stringify({ access_token: "the-token", token_type: "bearer" });

describe("a login at a plain OAuth2 server", () => {
  it("lets in without saying who it was", async () => {
    await using here = await world(always(token));
    const { link, outcome } = await here.logIn();
    expect(Object.fromEntries(link.searchParams)).toMatchObject({
      response_type: "code",
      client_id: "berth",
      redirect_uri: here.redirectURI,
      code_challenge_method: "S256",
    });
    expect(outcome).toMatchObject({ identity: { username: "jane", authenticatedUsername: "" } });
    expect(metadataIn(outcome)).toMatchObject({
      OAUTH2_TOKEN: "the-token",
      oauth2_access_token: "the-token",
    });
    const [request] = here.server.received;
    expect(request?.headers.authorization).toBe(
      `Basic ${Buffer.from(`berth:${SECRET.replaceAll("-", "%2D")}`).toString("base64")}`,
    );
    expect(Object.fromEntries(new URLSearchParams(request?.body))).toMatchObject({
      grant_type: "authorization_code",
      code: "the-code",
      redirect_uri: here.redirectURI,
    });
    expect(here.desk.log.text()).not.toMatch(/the-token|the-code/);
  });

  it("verifies the server's certificate by the configured authority", async () => {
    const authority = await certificateAuthority(await temporaryDirectory(), "authority");
    const pair = await authority.issue("server");
    await using trusting = await world(always(token), { tls: pair, cacert: authority.cert });
    expect(codeOf((await trusting.logIn()).outcome)).toBe("granted");
    await using wary = await world(always(token), { tls: pair });
    expect(codeOf((await wary.logIn()).outcome)).toBe("GENERIC_ACCESS_TOKEN_FETCH_FAILED");
    expect(wary.server.received).toEqual([]);
  });

  it("does not mind an ID token that nobody asked for", async () => {
    await using here = await world(
      always(JSON.stringify({ access_token: "the-token", token_type: "bearer", id_token: "a.b.c" })),
    );
    expect(codeOf((await here.logIn()).outcome)).toBe("granted");
  });

  it.each([
    ["refuses the code", always('{"error":"invalid_grant"}', 400), "GENERIC_ACCESS_TOKEN_FETCH_FAILED"],
    ["refuses the client", always('{"error":"invalid_client"}', 401), "OAUTH_INCORRECT_CLIENT_CREDENTIALS"],
    ["is down", always("no", 503), "GENERIC_ACCESS_TOKEN_FETCH_FAILED"],
    [
      "answers HTML",
      always("<p>", 200, { "content-type": "text/html" }),
      "GENERIC_ACCESS_TOKEN_FETCH_FAILED",
    ],
    ["answers no token", always("{}"), "GENERIC_ACCESS_TOKEN_FETCH_FAILED"],
  ])("lets nobody in when it %s", async (_, respond, code) => {
    await using here = await world(respond);
    expect(codeOf((await here.logIn()).outcome)).toBe(code);
  });
});
