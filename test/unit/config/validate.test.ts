import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorsOf, load, someAuth } from "./support.ts";

const folder = await mkdtemp(join(tmpdir(), "berth-config-"));
const inFolder = (name: string) => join(folder, name);

beforeAll(async () => {
  for (const name of ["one", "two"]) {
    execFileSync(
      "openssl",
      [
        ...[
          "req",
          "-x509",
          "-newkey",
          "ec",
          "-pkeyopt",
          "ec_paramgen_curve:prime256v1",
          "-nodes",
          "-days",
          "1",
        ],
        ...["-subj", `/CN=${name}`, "-keyout", inFolder(`${name}.key`), "-out", inFolder(`${name}.pem`)],
      ],
      { stdio: "ignore" },
    );
  }
  await writeFile(inFolder("text"), "not PEM\n");
});

afterAll(() => rm(folder, { recursive: true }));

describe("an authorization server that is not asked", () => {
  const authz = (options: string) =>
    `auth: {publicKey: {method: users}, users: [{name: jane}], authz: {${options}}}\n`;

  it("is a warning: whoever named it believes that it decides", async () => {
    const { warnings } = await load(authz("webhook: {url: 'https://authz.example.com'}"));
    expect(warnings).toMatchObject([
      { path: "auth.authz.method", message: expect.stringContaining("is not asked") },
    ]);
  });

  it.each(["method: webhook, webhook: {url: 'https://authz.example.com'}", "method: ''"])(
    "is not one with %s",
    async (options) => {
      expect((await load(authz(options))).warnings).toEqual([]);
    },
  );
});

describe("what values mean together", () => {
  const webhook = (options: string) => `auth: {password: {method: webhook, webhook: {${options}}}}`;

  it.each([
    ["", "auth: no authentication method is configured: nobody could log in"],
    [
      "auth: {authz: {method: webhook, webhook: {url: 'http://a'}}}",
      "auth: no authentication method is configured: nobody could log in",
    ],
    [
      "auth: {password: {method: users}}",
      "auth.password.method: auth.users lists nobody: nobody could log in",
    ],
    [webhook(""), "auth.password.webhook.url: is missing"],
    [
      webhook("url: auth.example.com"),
      "auth.password.webhook.url: expected a URL such as https://auth.example.com/",
    ],
    [
      webhook("url: 'ftp://a'"),
      "auth.password.webhook.url: expected a URL such as https://auth.example.com/",
    ],
    [webhook("url: 'http://a', timeout: 99ms"), "auth.password.webhook.timeout: must be at least 100ms"],
    [
      webhook("url: 'http://a', authTimeout: 99ms"),
      "auth.password.webhook.authTimeout: must be at least 100ms",
    ],
    [webhook("url: 'https://a', curves: []"), "auth.password.webhook.curves: must not be an empty list"],
    [webhook("url: 'https://a', cipher: []"), "auth.password.webhook.cipher: must not be an empty list"],
    [
      `${someAuth}configserver: {url: a}`,
      "configserver.url: expected a URL such as https://auth.example.com/",
    ],
    [
      `${someAuth}ssh: {clientAliveInterval: 999ms}`,
      "ssh.clientAliveInterval: must be at least 1s, or 0 to switch it off",
    ],
    [`${someAuth}ssh: {clientAliveCountMax: -1}`, "ssh.clientAliveCountMax: must be at least 1"],
    [`${someAuth}ssh: {loginGraceTime: -1s}`, "ssh.loginGraceTime: must not be negative; 0 switches it off"],
    [`${someAuth}ssh: {kex: []}`, "ssh.kex: must not be an empty list"],
    [`${someAuth}ssh: {macs: []}`, "ssh.macs: must not be an empty list"],
    [`${someAuth}ssh: {hostkeys: [/nowhere/key]}`, "ssh.hostkeys[0]: cannot read /nowhere/key: ENOENT"],
    [
      `${someAuth}health: {enable: true, client: {timeout: 1ms}}`,
      "health.client.timeout: must be at least 100ms",
    ],
    [`${someAuth}backend: process\nprocess: {home: jane}`, "process.home: expected an absolute path"],
    [
      `${someAuth}ssh: {serverVersion: OpenSSH}`,
      "ssh.serverVersion: expected an SSH identification string such as SSH-2.0-Name, see RFC 4253 section 4.2",
    ],
  ])("%s", async (yaml, message) => {
    expect((await errorsOf(yaml)).map((error) => error.replace(/^berth\.yaml:\d+:\d+: /, ""))).toEqual([
      message,
    ]);
  });

  it.each(["SSH-2.0-ContainerSSH", "SSH-2.0-Berth_1.0 comment with spaces", `SSH-2.0-${"x".repeat(245)}`])(
    "%s is a server version",
    async (version) => {
      expect((await load(`${someAuth}ssh: {serverVersion: ${version}}`)).config.ssh.serverVersion).toBe(
        version,
      );
    },
  );

  it.each(["SSH-1.99-x", "SSH-2.0-", "SSH-2.0-a-b", "SSH-2.0-ä", `SSH-2.0-${"x".repeat(246)}`])(
    "%s is none",
    async (version) => {
      expect((await errorsOf(`${someAuth}ssh: {serverVersion: "${version}"}`)).join()).toContain(
        "ssh.serverVersion",
      );
    },
  );

  it("sections that are switched off are not looked at", async () => {
    const { config } = await load(`
auth:
  publicKey: {method: users}
  password: {webhook: {timeout: 1ms, cert: /nowhere}}
  users: [{name: jane}]
configserver: {timeout: 1ms, key: /nowhere}
health: {cert: /nowhere}
process: {home: not-absolute}
`);
    expect(config.health.enable).toBe(false);
  });

  it("the backend is left to the configuration server where there is one", async () => {
    const { config } = await load(
      `${someAuth}configserver: {url: "http://127.0.0.1:8081"}\nbackend: process\nprocess: {home: not-absolute}\n`,
    );
    expect(config.process.home).toBe("not-absolute");
  });
});

describe("certificates and keys", () => {
  const client = (options: string) => `${someAuth}configserver: {url: "https://a", ${options}}`;
  const messages = async (yaml: string) =>
    (await errorsOf(yaml)).map((error) => error.replace(/^berth\.yaml:\d+:\d+: /, ""));

  it("may be files or text", async () => {
    const text = execFileSync("cat", [inFolder("one.pem")], { encoding: "utf8" });
    const { config } = await load(
      client(`cacert: ${JSON.stringify(text)}, cert: ${inFolder("one.pem")}, key: ${inFolder("one.key")}`),
    );
    expect(config.configserver.cacert).toBe(text);
  });

  it.each([
    [
      "a certificate without its key",
      () => `cert: ${inFolder("one.pem")}`,
      "configserver.cert: there is a cert without a key",
    ],
    [
      "a key without a certificate",
      () => `key: ${inFolder("one.key")}`,
      "configserver.key: there is a key without a cert",
    ],
    [
      "another certificate's key",
      () => `cert: ${inFolder("one.pem")}, key: ${inFolder("two.key")}`,
      "configserver.key: is not the key of cert",
    ],
    [
      "a certificate for a key",
      () => `cert: ${inFolder("one.pem")}, key: ${inFolder("one.pem")}`,
      "configserver.key: holds no private key in PEM format without a passphrase",
    ],
    [
      "a key for a certificate",
      () => `cert: ${inFolder("one.key")}, key: ${inFolder("one.key")}`,
      "configserver.cert: holds no certificate in PEM format",
    ],
    [
      "an authority that is no certificate",
      () => `cacert: ${inFolder("text")}`,
      "configserver.cacert: holds no certificate in PEM format",
    ],
    [
      "a file that is not there",
      () => "cacert: /nowhere/ca.pem",
      "configserver.cacert: cannot read /nowhere/ca.pem: ENOENT",
    ],
    ["a folder", () => `cacert: ${folder}`, `configserver.cacert: cannot read ${folder}: EISDIR`],
  ])("%s", async (_, options, message) => {
    expect(await messages(client(options()))).toEqual([message]);
  });

  it("of a server are looked at when it is on", async () => {
    const server = `health: {cert: ${inFolder("one.pem")}, key: ${inFolder("two.key")}, clientcacert: ${inFolder("text")}`;
    expect(await messages(`${someAuth}${server}, enable: true}`)).toEqual([
      "health.key: is not the key of cert",
      "health.clientcacert: holds no certificate in PEM format",
    ]);
    await load(`${someAuth}${server}}`);
  });
});
