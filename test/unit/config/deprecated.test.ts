/** Configurations written for older versions of ContainerSSH (docs/deprecations of the reference). */
import { Duration, Redacted } from "effect";
import { describe, expect, it } from "vitest";
import { errorsOf, load, someAuth } from "./support.ts";

describe("the single authentication server of 0.4", () => {
  it("serves passwords and public keys, with all its HTTP options", async () => {
    const { config, warnings } = await load(`
auth:
  url: https://auth.example.com/
  timeout: 3s
  authTimeout: 90s
  allowRedirects: true
  tlsVersion: "1.2"
  curve: x25519
  cipher: TLS_AES_128_GCM_SHA256
`);
    for (const { method, webhook } of [config.auth.password, config.auth.publicKey]) {
      expect(method).toBe("webhook");
      expect(webhook).toMatchObject({
        url: "https://auth.example.com/",
        timeout: Duration.seconds(3),
        authTimeout: Duration.seconds(90),
        allowRedirects: true,
        tlsVersion: "1.2",
        curves: ["x25519"],
        cipher: ["TLS_AES_128_GCM_SHA256"],
      });
      expect(webhook.key).toEqual(Redacted.make("", { label: "private key" }));
    }
    expect(config.auth.authz.method).toBe("");
    expect(warnings).toEqual([
      {
        code: "CONFIG_AUTH_URL_DEPRECATED",
        file: "berth.yaml",
        line: 3,
        column: 3,
        path: "auth.url",
        message:
          "is deprecated since ContainerSSH 0.5: write it as auth.password.webhook.url and auth.publicKey.webhook.url",
      },
    ]);
  });

  it.each([
    ["password: true, pubkey: true", "webhook", "webhook"],
    ["password: false, pubkey: true", "", "webhook"],
    ["password: true, pubkey: false", "webhook", ""],
    ["pubkey: ", "webhook", "webhook"],
    ["password: {method: '', webhook: {timeout: 2s}}", "webhook", "webhook"],
  ])("with %s", async (flags, password, publicKey) => {
    const { config } = await load(`auth: {url: "http://127.0.0.1:8080", ${flags}}`);
    expect([config.auth.password.method, config.auth.publicKey.method]).toEqual([password, publicKey]);
  });

  it("with both methods off lets nobody in, and says so", async () => {
    expect(await errorsOf('auth: {url: "http://127.0.0.1:8080", password: false, pubkey: false}')).toEqual([
      "berth.yaml:1:1: auth: no authentication method is configured: nobody could log in",
    ]);
  });

  it("keeps authorization beside it", async () => {
    const { config } = await load(
      'auth: {url: "http://127.0.0.1:8080", authz: {method: webhook, webhook: {url: "http://127.0.0.1:8081"}}}',
    );
    expect(config.auth.authz.webhook.url).toBe("http://127.0.0.1:8081");
  });

  it("is refused together with what replaced it", async () => {
    expect(
      await errorsOf(
        'auth:\n  url: "http://127.0.0.1:8080"\n  password: {method: webhook, webhook: {url: "http://127.0.0.1:8081"}}\n',
      ),
    ).toEqual([
      "berth.yaml:2:3: auth.url: configures what auth.password configures too: remove the 0.4 form",
    ]);
  });

  it("shows errors where they were written, once", async () => {
    expect(
      await errorsOf(
        'auth:\n  url: "http://127.0.0.1:8080"\n  timeout: soon\n  curve: [rot13]\n  authTimeut: 1s\n',
      ),
    ).toEqual([
      "berth.yaml:3:3: auth.timeout: expected a duration such as 1m30s or 500ms, or a number of nanoseconds",
      "berth.yaml:4:11: auth.curve[0]: expected a curve: one of x25519, secp256r1, secp384r1, secp521r1",
      "berth.yaml:5:3: auth.authTimeut: unknown key",
    ]);
    expect(await errorsOf('auth:\n  url: "http://127.0.0.1:8080"\n  timeout: 1ms\n')).toEqual([
      "berth.yaml:3:3: auth.timeout: must be at least 100ms",
    ]);
  });

  it("keeps the text of a number", async () => {
    const { config } = await load('auth: {url: "http://127.0.0.1:8080", tlsVersion: 1.2}');
    expect(config.auth.password.webhook.tlsVersion).toBe("1.2");
  });

  it("without a url does nothing, and says so; a full dump of the reference holds its defaults", async () => {
    const { warnings } = await load(`
auth:
  publicKey: {method: users}
  users: [{name: jane}]
  authTimeout: 1m0s
  url: ""
  allowRedirects: false
  timeout: 2s
  tlsVersion: "1.3"
  pubkey: true
`);
    expect(warnings).toEqual([
      {
        code: "CONFIG_AUTH_URL_DEPRECATED",
        file: "berth.yaml",
        line: 5,
        column: 3,
        path: "auth.authTimeout",
        message:
          "the 0.4 options of auth (here authTimeout, timeout, tlsVersion, pubkey) do nothing without auth.url",
      },
    ]);
  });

  it("of which nothing is set is no reason for a warning", async () => {
    expect(
      (await load("auth: {publicKey: {method: users}, users: [{name: a}], url: '', timeout: 0}")).warnings,
    ).toEqual([]);
  });

  it("has a flag pubkey, and no section of that name", async () => {
    expect(await errorsOf("auth: {pubkey: {method: webhook}}")).toContain(
      'berth.yaml:1:8: auth.pubkey: expected true or false (did you mean "publicKey"?)',
    );
  });
});

describe("listen", () => {
  it("at the root is ssh.listen", async () => {
    const { config, warnings } = await load(`${someAuth}listen: 127.0.0.1:2022\n`);
    expect(config.ssh.listen).toEqual({ host: "127.0.0.1", port: 2022 });
    expect(warnings).toEqual([
      {
        code: "CONFIG_LISTEN_DEPRECATED",
        file: "berth.yaml",
        line: 2,
        column: 1,
        path: "listen",
        message: "is deprecated since ContainerSSH 0.4: write it as ssh.listen",
      },
    ]);
  });

  it("gives way to ssh.listen", async () => {
    const { config, warnings } = await load(`${someAuth}listen: 127.0.0.1:1\nssh: {listen: 127.0.0.1:2}\n`);
    expect(config.ssh.listen.port).toBe(2);
    expect(warnings[0]?.message).toContain("takes precedence");
  });

  it("is checked where it was written", async () => {
    expect(await errorsOf(`${someAuth}listen: nonsense\n`)).toEqual([
      "berth.yaml:2:1: listen: expected an address such as 0.0.0.0:2222 or [::]:2222",
    ]);
  });
});

describe("what was removed", () => {
  it.each([
    ["dockerrun", "docker"],
    ["kuberun", "kubernetes"],
  ])("%s is refused with an explanation", async (old, successor) => {
    const explanation = `the ${old} backend was removed in ContainerSSH 0.5: move its options to ${successor}, see https://containerssh.io/deprecations/${old}`;
    expect(
      await errorsOf(`${someAuth}backend: ${old}\n${old}: {host: "unix:///var/run/docker.sock"}\n`),
    ).toEqual([`berth.yaml:2:1: backend: ${explanation}`, `berth.yaml:3:1: ${old}: ${explanation}`]);
  });
});
