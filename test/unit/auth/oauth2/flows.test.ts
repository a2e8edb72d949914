/** Which flow is used, and what clients are shown that differ in what they can show. */
import { encode } from "uqr";
import { describe, expect, it } from "vitest";
import { codeOn, type Login, linkIn } from "../../../support/browser-login.ts";
import { followLink, json, type OidcProvider } from "../../../support/oidc-provider.ts";
import { codeOf, logIn, world } from "./world.ts";

const PUTTY = "SSH-2.0-PuTTY_Release_0.78";
const bothFlows = { deviceFlow: true, authorizationCodeFlow: true };

const lacksDeviceFlow = (provider: OidcProvider) =>
  provider.amend("/.well-known/openid-configuration", { device_authorization_endpoint: undefined });

const answersDeviceRequests =
  (status: number, body: unknown = {}) =>
  (provider: OidcProvider) =>
    provider.change("/device/auth", async () => json(body, status));

/** Logs in as somebody would who is asked for a code, which nobody is in the device flow. */
const logInWithCode = async (login: Login) => {
  const asked = await login.asked();
  expect(asked.prompts.map(({ text }) => text)).toEqual(["Code: "]);
  asked.answer(codeOn((await followLink(linkIn(asked))).html));
  return login.outcome;
};

describe("with both flows on", () => {
  it("the device flow takes precedence", async () => {
    await using here = await world("device", bothFlows);
    expect(codeOf(await logIn(here.desk.begin(), "device"))).toBe("granted");
  });

  it.each<[string, (provider: OidcProvider) => void]>([
    ["names no endpoint for it", lacksDeviceFlow],
    ["has none where it says", answersDeviceRequests(404)],
    ["has reached its limit", answersDeviceRequests(429)],
    ["wants to be asked less often", answersDeviceRequests(400, { error: "slow_down" })],
    ["does not allow it to this client", answersDeviceRequests(400, { error: "unauthorized_client" })],
  ])("the authorization code flow is used when the provider %s", async (_, change) => {
    await using here = await world("device", bothFlows);
    change(here.provider);
    expect(codeOf(await logInWithCode(here.desk.begin()))).toBe("granted");
  });

  it("the log tells why the device flow is not used", async () => {
    await using here = await world("device", bothFlows);
    answersDeviceRequests(429)(here.provider);
    await logInWithCode(here.desk.begin());
    const [line] = here.desk.log.entries.filter(
      ({ code }) => code === "OAUTH_DEVICE_FLOW_RATE_LIMIT_EXCEEDED",
    );
    expect(line).toMatchObject({ level: "warning", details: { statusCode: 429 } });
  });

  it("the authorization code flow is used by clients that are not listed for the device flow", async () => {
    await using here = await world("device", bothFlows, {}, { deviceFlowClients: ["OpenSSH"] });
    expect(codeOf(await logInWithCode(here.desk.begin({ clientVersion: PUTTY })))).toBe("granted");
    expect(codeOf(await logIn(here.desk.begin(), "device"))).toBe("granted");
  });
});

describe("with nothing but the device flow on", () => {
  it.each<[string, (provider: OidcProvider) => void, string]>([
    ["names no endpoint for it", lacksDeviceFlow, "AUTH_CONFIG_ERROR"],
    ["has reached its limit", answersDeviceRequests(429), "OAUTH_DEVICE_FLOW_RATE_LIMIT_EXCEEDED"],
    [
      "answers HTML",
      (provider) =>
        provider.change("/device/auth", async () => ({
          status: 200,
          headers: { "content-type": "text/html" },
          body: "<p>",
        })),
      "AUTH_OAUTH2_DEVICE_CODE_REQUEST_FAILED",
    ],
    [
      "gives an address that would write to the terminal",
      (provider) =>
        provider.amend("/device/auth", { verification_uri_complete: "https://a.example/\u001b[2J" }),
      "AUTH_OAUTH2_DEVICE_CODE_REQUEST_FAILED",
    ],
  ])("nobody is let in when the provider %s", async (_, change, code) => {
    await using here = await world("device");
    change(here.provider);
    expect(codeOf(await here.desk.begin().outcome)).toBe(code);
  });

  it("clients that show nothing without a prompt are asked to press Enter", async () => {
    await using here = await world("device", {}, {}, { deviceFlowClients: ["OpenSSH"] });
    const login = here.desk.begin({ clientVersion: PUTTY });
    const asked = await login.asked();
    expect(asked.prompts).toEqual([{ text: "Press Enter when you have approved the login: ", echo: true }]);
    expect(asked.instruction).not.toContain("by itself");
    expect(here.provider.requests.filter(({ path }) => path === "/token")).toEqual([]);
    asked.answer("");
    await here.provider.nextRequest("/token");
  });
});

describe("QR codes", () => {
  const options = { qrCodeClients: ["PuTTY", "WinSCP"] };

  it("hold the link, for the clients that can show them", async () => {
    await using here = await world("device", {}, {}, options);
    const login = here.desk.begin({ clientVersion: PUTTY });
    const picture = await login.banner();
    const rows = picture.split("\n").filter((row) => row !== "");
    expect(Math.max(...rows.map((row) => row.length))).toBeLessThanOrEqual(80);
    // A character holds two modules, one above the other; what is drawn is light.
    const light = { " ": [false, false], "▀": [true, false], "▄": [false, true], "█": [true, true] };
    const drawn = rows.flatMap((row) => {
      const pairs = [...row].map((character) => light[character as keyof typeof light]);
      return [pairs.map(([upper]) => !upper), pairs.map(([, lower]) => !lower)];
    });
    const { data, size } = encode(linkIn(await login.asked()), { border: 2 });
    expect(drawn.slice(0, size)).toEqual(data);
  });

  it("are not shown to others, nor wider than a terminal", async () => {
    await using here = await world("device", {}, {}, options);
    expect((await here.desk.begin().asked()).instruction).toContain("open this link");
    const link = `https://sso.example.com/${"a".repeat(700)}`;
    here.provider.amend("/device/auth", { verification_uri_complete: link, interval: 0.05 });
    const login = here.desk.begin({ clientVersion: PUTTY });
    expect(linkIn(await login.asked())).toBe(link);
    expect(await Promise.race([login.banner(), Promise.resolve("nothing")])).toBe("nothing");
  });
});
