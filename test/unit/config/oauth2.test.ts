/** `auth.keyboardInteractive.oauth2`, as the reference documents it, and what is wrong with one that can't work. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duration, Redacted, Schema } from "effect";
import { afterAll, describe, expect, it } from "vitest";
import { OAuth2 } from "../../../src/config/sections/oauth2.ts";
import { errorsOf, load } from "./support.ts";

const folder = await mkdtemp(join(tmpdir(), "berth-config-"));
afterAll(() => rm(folder, { recursive: true }));

const client = "clientId: berth\nclientSecret: hunter2\n";

const oauth2 = (options: string) => `
auth:
  keyboardInteractive:
    method: oauth2
    oauth2:
${options.replace(/^(?=.)/gm, "      ")}`;

const section = async (options: string) =>
  (await load(oauth2(client + options))).config.auth.keyboardInteractive.oauth2;

describe("a login with a browser", () => {
  it("is configured as the release shows it", async () => {
    const { config, warnings } = await load(`
auth:
  keyboardInteractive:
    method: oauth2
    oauth2:
      clientId: berth
      clientSecret: hunter2
      provider: oidc
      oidc:
        url: https://your-oidc-server.example.com/
        extraScopes:
          - profile
          - email
        enforceScopes: true
`);
    const { method, oauth2: options, loginGraceTime } = config.auth.keyboardInteractive;
    expect(method).toBe("oauth2");
    expect(Duration.toMinutes(loginGraceTime)).toBe(5);
    expect(options.oidc).toMatchObject({ extraScopes: ["profile", "email"], enforceScopes: true });
    expect(Redacted.value(options.clientSecret)).toBe("hunter2");
    expect(JSON.stringify(options)).not.toContain("hunter2");
    expect(warnings).toEqual([]);
  });

  it("takes every option of the reference's documentation", async () => {
    const options = await section(`
provider: github
github:
  url: https://github.example.com
  apiurl: https://github.example.com/api/v3
  enforceUsername: false
  requireOrgMembership: example
  require2FA: true
  extraScopes: [gist]
  enforceScopes: true
  timeout: 20s
qrCodeClients: ["(?i)putty", "^SSH-2\\\\.0-WinSCP"]
deviceFlowClients: [OpenSSH]
redirect:
  listen: 127.0.0.1:8080
authTimeout: 3m
`);
    expect(options.github.enforceUsername).toBe(false);
    expect(options.qrCodeClients.map((pattern) => pattern.test("SSH-2.0-PuTTY_Release_0.78"))).toEqual([
      true,
      false,
    ]);
    expect(Schema.encodeSync(OAuth2)(options)).toMatchObject({
      qrCodeClients: ["(?i)putty", "^SSH-2\\.0-WinSCP"],
      deviceFlowClients: ["OpenSSH"],
      authTimeout: "3m0s",
    });
  });

  it("may come back to a directory of the operator's own", async () => {
    const webroot = join(folder, "web");
    await mkdir(webroot);
    await writeFile(join(webroot, "index.html"), "{{ .Code }}");
    const options = await section(
      `provider: oidc\noidc: {url: "https://sso"}\nredirect: {webroot: ${webroot}}`,
    );
    expect(options.redirect.webroot).toBe(webroot);
  });

  const oidc = "provider: oidc\n";
  const generic = "provider: generic\n";
  it.each([
    ["", "provider: is missing"],
    ["provider: gitlab", 'provider: expected one of "", oidc, github, generic'],
    [oidc, "oidc.url: is missing"],
    [
      `${oidc}oidc: {url: 'https://sso', authorizationCodeFlow: true}`,
      "oidc.redirectURI: is missing: the authorization code flow needs it",
    ],
    [
      `${oidc}oidc: {url: 'https://sso', redirectURI: 'login.example.com'}`,
      "oidc.redirectURI: expected a URL such as https://login.example.com/",
    ],
    [
      `${oidc}oidc: {url: 'https://sso', extraScopes: ["profile email"]}`,
      "oidc.extraScopes[0]: expected one scope, without spaces",
    ],
    [`${oidc}oidc: {url: 'https://sso', timeout: 1ms}`, "oidc.timeout: must be at least 100ms"],
    [`${oidc}oidc: {url: 'https://sso'}\nauthTimeout: 1ms`, "authTimeout: must be at least 100ms"],
    [
      "provider: github\ngithub: {apiurl: 'ftp://api'}",
      "github.apiurl: expected a URL such as https://login.example.com/",
    ],
    [
      `${generic}generic: {tokenEndpoint: {url: 'https://a/token'}, redirectURI: 'https://b/'}`,
      "generic.authorizeEndpointURL: is missing",
    ],
    [
      `${generic}generic: {authorizeEndpointURL: 'https://a', tokenEndpoint: {url: 'https://a/token'}}`,
      "generic.redirectURI: is missing",
    ],
    [
      `${generic}generic: {authorizeEndpointURL: 'https://a', redirectURI: 'https://b/'}`,
      "generic.tokenEndpoint.url: is missing",
    ],
    ["provider: github\nqrCodeClients: ['(']", "qrCodeClients[0]: expected a regular expression"],
    ["provider: github\nredirect: {webroot: /nowhere}", "redirect.webroot: is not a directory"],
    [`provider: github\nredirect: {webroot: ${folder}/empty}`, "redirect.webroot: holds no index.html"],
  ])("%j is refused", async (options, message) => {
    await mkdir(join(folder, "empty"), { recursive: true });
    const errors = await errorsOf(oauth2(client + options));
    expect(errors.map((error) => error.replace(/^.*?: (auth|\S+\.)/, "$1"))).toEqual([
      `auth.keyboardInteractive.oauth2.${message}`,
    ]);
  });

  it("needs the credentials of a client", async () => {
    expect((await errorsOf(oauth2("provider: github"))).join()).toMatch(
      /oauth2\.clientId: is missing.*oauth2\.clientSecret: is missing/,
    );
  });

  it("refuses a negative grace time", async () => {
    const yaml = oauth2(`${client}provider: github`).replace(
      "method: oauth2",
      "method: oauth2\n    loginGraceTime: -1s",
    );
    expect((await errorsOf(yaml)).join()).toContain(
      "auth.keyboardInteractive.loginGraceTime: must not be negative",
    );
  });

  it("is not looked at when it is switched off", async () => {
    const yaml =
      "auth: {publicKey: {method: users}, users: [{name: jane}], keyboardInteractive: {oauth2: {provider: oidc}}}";
    expect((await load(yaml)).warnings).toEqual([]);
  });
});
