/**
 * Codes, tokens and secrets stay where they belong, in every flow of every provider: none is in a line of the daemon's
 * log at its most talkative level, nor in what its users read, also when providers repeat what they were asked.
 */
import { describe, expect, it } from "vitest";
import { codeOn } from "../../support/browser-login.ts";
import { GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET, startGitHub } from "../../support/github.ts";
import { approveDevice, CLIENT_ID, CLIENT_SECRET, echo, followLink } from "../../support/oidc-provider.ts";
import { Surfer } from "../../support/surfer.ts";
import { startWorld, type World } from "./daemon.ts";

const basic = (id: string, secret: string): string => Buffer.from(`${id}:${secret}`).toString("base64");

const expectNone = (secrets: Iterable<string>, texts: Readonly<Record<string, string>>): void => {
  for (const secret of secrets) {
    for (const [where, text] of Object.entries(texts)) {
      expect(text.includes(secret), `${secret} is in ${where}`).toBe(false);
    }
  }
};

/** Two logins of the real ssh, the second at a provider that was spoilt in between, and what both of them showed. */
const logInTwice = async (
  here: World,
  approve: (link: string, shown: string) => Promise<string | undefined>,
  spoil: () => void,
): Promise<{ readonly shown: string; readonly typed: readonly string[] }> => {
  const typed: string[] = [];
  const logIn = async (ending: string): Promise<string> => {
    await using terminal = await here.ssh("echo in as $USER");
    const [link = ""] = await terminal.waitFor(/http:\S+/);
    const [shown] = await terminal.waitFor(/Code: |code: \S+/);
    const code = await approve(link, shown.slice("code: ".length));
    if (code !== undefined) {
      typed.push(code);
      terminal.write(`${code}\n`);
    }
    await terminal.waitFor(ending);
    await terminal.ending;
    return terminal.output.text;
  };
  const first = await logIn("in as");
  spoil();
  const second = await logIn("did not accept the code");
  return { shown: `${first}\n${second}`, typed };
};

describe("no code, token or secret leaves its place", () => {
  it.each([
    ["OpenID Connect, the device flow", "device", {}],
    ["OpenID Connect, the authorization code flow", "code", {}],
    ["a plain OAuth2 server", "code", { provider: "generic" }],
  ] as const)("at %s", async (_, flow, { provider = "oidc" }: { readonly provider?: string }) => {
    await using here = await startWorld(flow, {
      oauth2: ({ issuer, redirectURI }) => ({
        provider,
        generic: {
          authorizeEndpointURL: `${issuer}/auth?scope=openid`,
          tokenEndpoint: { url: `${issuer}/token` },
          redirectURI,
        },
      }),
    });
    const { shown, typed } = await logInTwice(
      here,
      async (link, userCode) => {
        if (flow === "code") return codeOn((await followLink(link)).html);
        await approveDevice(link, userCode);
        return undefined;
      },
      () => here.provider.change("/token", echo),
    );
    await here.daemon.stop();
    const { secrets } = here.provider;
    const ours = [CLIENT_SECRET, basic(CLIENT_ID, CLIENT_SECRET)];
    // The code that users type or compare is for their eyes: what they read holds none of the others.
    const unseen = [...secrets].filter((secret) => !/^[A-Z]{4}-[A-Z]{4}$/.test(secret));
    expect(unseen.length).toBeGreaterThan(flow === "code" ? 4 : 3);
    expectNone([...secrets, ...typed, ...ours], { "the log": here.daemon.log.text });
    expectNone([...unseen, ...ours], { "what the user reads": shown });
    expect(here.daemon.log.lines.some(({ level }) => level === "debug")).toBe(true);
    expect(here.daemon.log.text).toContain("invalid_grant");
  });

  it.each(["the device flow", "the authorization code flow"])("at GitHub, %s", async (flow) => {
    await using server = await startGitHub({ login: "demo" });
    if (flow === "the authorization code flow") server.behaviour.deviceError = "slow_down";
    await using here = await startWorld("code", {
      oauth2: () => ({
        provider: "github",
        clientId: GITHUB_CLIENT_ID,
        clientSecret: GITHUB_CLIENT_SECRET,
        github: { url: server.url, apiurl: server.url },
      }),
    });
    server.behaviour.callback = here.redirectURI;
    const { shown, typed } = await logInTwice(
      here,
      async (link) =>
        link.includes("/authorize?") ? codeOn((await new Surfer().open(link)).html) : undefined,
      () => {
        server.behaviour.echoes = true;
      },
    );
    await here.daemon.stop();
    const secrets = [
      ...[...server.tokens, ...server.codes, GITHUB_CLIENT_SECRET],
      basic(GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET),
    ];
    expect([server.tokens.length, server.codes.length]).toEqual([1, 2]);
    expectNone([...secrets, ...typed], { "the log": here.daemon.log.text });
    expectNone(secrets, { "what the user reads": shown });
    expect(here.daemon.log.text).toContain("bad_verification_code");
  });
});
