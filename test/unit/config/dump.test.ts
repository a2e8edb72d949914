import { Effect } from "effect";
import { beforeAll, describe, expect, it } from "vitest";
import { parse as parseYaml } from "yaml";
import { dump } from "../../../src/config/dump.ts";
import { overlay } from "../../../src/config/overlay.ts";
import type { Config } from "../../../src/config/schema.ts";
import { load } from "./support.ts";

const pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXBlbQ==\n-----END PRIVATE KEY-----\n";

let config: Config;

beforeAll(async () => {
  const loaded = await load(`
ssh:
  listen: "[::]:2222"
  banner: |
    Hello: world
    # not a comment
  clientAliveInterval: 1m30.5s
  maxStartups: 20
log: {level: 3}
auth:
  password: {method: users, webhook: {url: "https://berth:hunter2@auth.example.com/x", key: /etc/berth/client.key, cipher: ECDHE-RSA-AES256-GCM-SHA384}}
  publicKey: {webhook: {url: "https://berth:a@hunter2@auth.example.com/?token=hunter2"}}
  users:
    - {name: jane, passwordHash: $argon2id$hunter2, authorizedKeys: [ssh-ed25519 AAAA jane]}
    - {name: "yes"}
configserver: {key: ${JSON.stringify(pem)}, tlsVersion: 1.2}
backend: process
process: {environment: {EMPTY: "", NUMBER: "0755", MULTI: "a\\nb"}}
docker:
  connection: {key: ${JSON.stringify(pem)}}
  execution:
    auth: {username: jane, password: hunter2}
    container: {image: "registry.example.com/x", user: 1000, env: [A=1]}
    host: {resources: {memory: 26214400}, readonlyrootfs: true, tmpfs: {/tmp: rw}}
kubernetes:
  connection: {bearerToken: hunter2}
  pod: {spec: {containers: [{name: shell, image: x, env: [{name: A, value: "1"}]}]}}
`);
  config = loaded.config;
});

describe("a dump", () => {
  it("with secrets reads back as the same configuration", async () => {
    const text = dump(config, { showSecrets: true });
    const { config: again, warnings } = await load(text);
    expect(again).toEqual(config);
    expect(warnings).toEqual([]);
    expect(dump(again, { showSecrets: true })).toBe(text);
  });

  it("of the default configuration is what an empty file means", async () => {
    const { config: small } = await load("auth: {publicKey: {method: users}, users: [{name: a}]}");
    const { config: again } = await load(dump(small, { showSecrets: false }));
    expect(again).toEqual(small);
  });

  it("is an answer of a configuration server that changes nothing", async () => {
    const { backend, docker, kubernetes, process } = parseYaml(dump(config, { showSecrets: true }));
    const same = await Effect.runPromise(overlay(config, { backend, docker, kubernetes, process }));
    expect(same).toEqual(config);
  });

  it("shows no secret", () => {
    const text = dump(config, { showSecrets: false });
    expect(text).not.toContain("hunter2");
    expect(text).not.toContain("c2VjcmV0LXBlbQ");
    const shown = parseYaml(text);
    expect(shown.auth.users[0].passwordHash).toBe("<redacted>");
    expect(shown.configserver.key).toBe("<redacted>");
    expect(shown.docker.connection.key).toBe("<redacted>");
    expect(shown.docker.execution.auth).toEqual({ username: "jane", password: "<redacted>" });
    expect(shown.kubernetes.connection.bearerToken).toBe("<redacted>");
    expect(shown.auth.password.webhook.url).toBe("https://berth:<redacted>@auth.example.com/x");
    expect(shown.process.environment).toEqual({ EMPTY: "", NUMBER: "<redacted>", MULTI: "<redacted>" });
    expect(shown.docker.execution.container.Env).toEqual(["A=<redacted>"]);
    expect(shown.kubernetes.pod.spec.containers[0].env).toEqual([{ name: "A", value: "<redacted>" }]);
    expect(shown.auth.publicKey.webhook.url).toBe("https://berth:<redacted>@auth.example.com/?<redacted>");
  });

  it("shows what is no secret: the path of a key, and that a secret is not set", () => {
    const shown = parseYaml(dump(config, { showSecrets: false }));
    expect(shown.auth.password.webhook.key).toBe("/etc/berth/client.key");
    expect(shown.auth.publicKey.webhook.key).toBe("");
    expect(shown.kubernetes.connection.password).toBe("");
  });

  it("shows everything on request", () => {
    const shown = parseYaml(dump(config, { showSecrets: true }));
    expect(shown.auth.users[0].passwordHash).toBe("$argon2id$hunter2");
    expect(shown.configserver.key).toBe(pem);
    expect(shown.auth.password.webhook.url).toBe("https://berth:hunter2@auth.example.com/x");
  });
});
