import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duration, Effect, Record, Redacted } from "effect";
import { afterAll, describe, expect, it } from "vitest";
import { fromObject, loadFile } from "../../../src/config/load.ts";
import { errorsOf, load, someAuth } from "./support.ts";

const folder = await mkdtemp(join(tmpdir(), "berth-config-"));
const inFolder = (name: string) => join(folder, name);

afterAll(() => rm(folder, { recursive: true }));

describe("values", () => {
  it("are read from YAML with their units", async () => {
    const { config, warnings } = await load(`
ssh:
  listen: "[::1]:2022"
  clientAliveInterval: 90s
  loginGraceTime: 0
  maxStartups: 10:30:60
log: {level: 6, format: text}
auth:
  password:
    method: webhook
    webhook: {url: https://auth.example.com/, timeout: 500000000, curve: "x25519:prime256v1", tlsVersion: 1.2}
  publicKey: {method: users}
  users:
    - {name: 1234, passwordHash: $scrypt$x, authorizedKeys: [ssh-ed25519 AAAA jane]}
health: {enable: yes, listen: ":7001"}
backend: process
`);
    expect(warnings).toEqual([]);
    expect(config.ssh.listen).toEqual({ host: "::1", port: 2022 });
    expect(config.ssh.clientAliveInterval).toEqual(Duration.seconds(90));
    expect(config.ssh.loginGraceTime).toEqual(Duration.zero);
    expect(config.ssh.maxStartups).toEqual({ start: 10, ratePercent: 30, full: 60 });
    expect(config.log).toMatchObject({ level: "info", format: "text", destination: "stdout" });
    const { webhook } = config.auth.password;
    expect(webhook.timeout).toEqual(Duration.millis(500));
    expect(webhook.curves).toEqual(["x25519", "secp256r1"]);
    expect(webhook.tlsVersion).toBe("1.2");
    expect(config.auth.users[0]?.name).toBe("1234");
    expect(config.auth.users[0]?.passwordHash).toEqual(Redacted.make("$scrypt$x"));
    expect(config.health).toMatchObject({ enable: true, listen: { host: "", port: 7001 } });
    expect(config.backend).toBe("process");
  });

  it("are read from JSON too", async () => {
    const json = JSON.stringify({
      auth: { publicKey: { method: "users" }, users: [{ name: "jane" }] },
      log: { level: 7 },
    });
    expect((await load(json)).config.log.level).toBe("debug");
  });

  it("keep the text of a number where text is wanted", async () => {
    const { config } = await load(
      `${someAuth}process: {environment: {MODE: 0755, VERSION: 1.10, ON: true, NONE: }}`,
    );
    expect(Record.map(config.process.environment, Redacted.value)).toEqual({
      MODE: "0755",
      VERSION: "1.10",
      ON: "true",
      NONE: "",
    });
  });

  it("that Go takes for not set are the default: an empty text, 0, null", async () => {
    const { config } = await load(`${someAuth}
ssh: {listen: "", ciphers: , clientAliveCountMax: 0, serverVersion: null}
configserver: {timeout: 0, tlsVersion: ""}
health:
`);
    expect(config.ssh.listen.port).toBe(2222);
    expect(config.ssh.ciphers).toHaveLength(6);
    expect(config.ssh.clientAliveCountMax).toBe(3);
    expect(config.ssh.serverVersion).toBe("SSH-2.0-ContainerSSH");
    expect(config.configserver.timeout).toEqual(Duration.seconds(2));
    expect(config.health.listen.port).toBe(7000);
  });

  it("of ciphers may be an empty list, which means the default ones", async () => {
    expect((await load(`${someAuth}ssh: {ciphers: []}`)).config.ssh.ciphers).toHaveLength(6);
  });

  it("that are 0 on purpose stay 0", async () => {
    const { config } = await load(`${someAuth}log: {level: 0}\nssh: {loginGraceTime: 0s}\n`);
    expect(config.log.level).toBe("emerg");
    expect(config.ssh.loginGraceTime).toEqual(Duration.zero);
  });

  it("may come through anchors, aliases and merge keys", async () => {
    const { config } = await load(`
auth:
  password:
    method: webhook
    webhook: &server {url: "http://127.0.0.1:8080", timeout: 3s}
  publicKey: {method: webhook, webhook: *server}
  authz: {method: webhook, webhook: {<<: *server, timeout: 4s}}
`);
    expect(config.auth.publicKey.webhook.timeout).toEqual(Duration.seconds(3));
    expect(config.auth.authz.webhook.url).toBe("http://127.0.0.1:8080");
    expect(config.auth.authz.webhook.timeout).toEqual(Duration.seconds(4));
  });
});

describe("every error has its place", () => {
  it("in the order of the file, all at once", async () => {
    expect(
      await errorsOf(`ssh:
  lisen: 0.0.0.0:2222
  listen: nonsense
  kex: [curve25519-sha256@libssh.org, rot13]
auth:
  publicKey: {method: users}
  users:
    - name: jane
      authorizedKeys: ssh-ed25519 AAAA
    - passwordHash: x
log:
  level: loud
  syslog: yes
bakend: process
health: {enable: perhaps, client: {timout: 1s}}
`),
    ).toEqual([
      'berth.yaml:2:3: ssh.lisen: unknown key (did you mean "listen"?)',
      "berth.yaml:3:3: ssh.listen: expected an address such as 0.0.0.0:2222 or [::]:2222",
      "berth.yaml:4:39: ssh.kex[1]: expected one of mlkem768x25519-sha256, curve25519-sha256@libssh.org, ecdh-sha2-nistp521, ecdh-sha2-nistp384, ecdh-sha2-nistp256, diffie-hellman-group14-sha1, diffie-hellman-group1-sha1",
      "berth.yaml:9:7: auth.users[0].authorizedKeys: expected a list",
      "berth.yaml:10:7: auth.users[1].name: is missing",
      "berth.yaml:12:3: log.level: expected one of debug, info, notice, warning, error, crit, alert, emerg, or a number from 0 (emerg) to 7 (debug)",
      "berth.yaml:13:3: log.syslog: expected a mapping",
      'berth.yaml:14:1: bakend: unknown key (did you mean "backend"?)',
      "berth.yaml:15:10: health.enable: expected true or false",
      'berth.yaml:15:36: health.client.timout: unknown key (did you mean "timeout"?)',
    ]);
  });

  it.each([
    ["SSH: {}", 'SSH: unknown key (did you mean "ssh"?)'],
    ["ssh: {hostKeys: []}", 'ssh.hostKeys: unknown key (did you mean "hostkeys"?)'],
    ["ssh: {macalgorithms: []}", "ssh.macalgorithms: unknown key"],
    ["zzz: 1", "zzz: unknown key"],
    ["configserver: {transmitSensitive: true}", "configserver.transmitSensitive: unknown key"],
    ['"a b": 1', '["a b"]: unknown key'],
    ["__proto__: {ssh: 1}", "__proto__: unknown key"],
    ["ssh: {constructor: 1}", "ssh.constructor: unknown key"],
    ["1: 2", "1: unknown key"],
  ])("an unknown key: %s", async (yaml, message) => {
    expect((await errorsOf(`${someAuth}${yaml}`)).join("\n")).toContain(`: ${message}`);
  });

  it("a key that is there in two spellings", async () => {
    expect(await errorsOf(`${someAuth}configserver: {curve: x25519, curves: [x25519]}`)).toEqual([
      "berth.yaml:2:31: configserver.curves: says the same as curves, which is there too",
    ]);
  });

  it("an item of a list that was written as one text", async () => {
    expect(await errorsOf(`${someAuth}configserver:\n  curve: x25519:rot13\n`)).toEqual([
      "berth.yaml:3:3: configserver.curve[1]: expected a curve: one of x25519, secp256r1, secp384r1, secp521r1",
    ]);
  });

  it("a value behind an alias", async () => {
    expect(
      await errorsOf(
        "auth:\n  password: {method: webhook, webhook: &a {url: 'http://a', timeout: x}}\n  authz: {webhook: *a}\n",
      ),
    ).toEqual([
      "berth.yaml:2:61: auth.password.webhook.timeout: expected a duration such as 1m30s or 500ms, or a number of nanoseconds",
      "berth.yaml:2:61: auth.authz.webhook.timeout: expected a duration such as 1m30s or 500ms, or a number of nanoseconds",
    ]);
  });

  it("a wrong value is never repeated", async () => {
    const secret = "hunter2";
    const errors = await errorsOf(
      `auth: {users: [{name: {${secret}: 1}, passwordHash: [${secret}]}], password: ${secret}}\nlog: {level: ${secret}}\nssh: {listen: ${secret}, hostkeys: [{a: ${secret}}]}`,
    );
    expect(errors.length).toBeGreaterThan(4);
    expect(errors.join("\n")).not.toContain(secret);
  });
});

describe("YAML that is wrong itself", () => {
  it.each([
    [
      "ssh: [",
      "berth.yaml:1:7: Flow sequence in block collection must be sufficiently indented and end with a ]",
    ],
    ["ssh:\n\tlisten: x", "berth.yaml:2:1: Tabs are not allowed as indentation"],
    ["a: b: c", "berth.yaml:1:4: Nested mappings are not allowed in compact mappings"],
    ["a: 1\n---\nb: 2\n", "berth.yaml:2:1: there is more than one document"],
    ["auth: *nobody", "berth.yaml:1:7: this alias has no anchor before it"],
    ["- ssh", "berth.yaml:1:1: expected a mapping of sections such as ssh, auth and backend"],
    ["just text", "berth.yaml:1:1: expected a mapping of sections such as ssh, auth and backend"],
    ["ssh: &a {banner: *a}", "berth.yaml:1:18: this alias stands for what it is a part of"],
  ])("%j", async (yaml, message) => {
    expect(await errorsOf(yaml)).toContain(message);
  });

  it("a key that is there twice is found together with other errors", async () => {
    expect(
      await errorsOf("auth: {users: [{name: a}, {name: b, name: c}]}\nssh: {listen: x, listen: y, lisen: z}"),
    ).toEqual([
      "berth.yaml:1:37: auth.users[1].name: this key is there twice",
      "berth.yaml:2:7: ssh.listen: expected an address such as 0.0.0.0:2222 or [::]:2222",
      "berth.yaml:2:18: ssh.listen: this key is there twice",
      'berth.yaml:2:29: ssh.lisen: unknown key (did you mean "listen"?)',
    ]);
  });

  it("an alias bomb is refused before it explodes", async () => {
    const bomb = [..."abcdefghi"].map((name, index, all) =>
      index === 0
        ? `${name}: &${name} [x]`
        : `${name}: &${name} [${Array(9)
            .fill(`*${all[index - 1]}`)
            .join(", ")}]`,
    );
    expect((await errorsOf(bomb.join("\n"))).join()).toContain(
      "repeats its parts by aliases so often that it would exhaust the memory",
    );
  });

  it("does not quote what may be a secret", async () => {
    expect((await errorsOf("auth: ]hunter2")).join()).not.toContain("hunter2");
  });
});

describe("what is not built yet", () => {
  it.each([
    ["metrics: {enable: true}", "metrics: is not built yet"],
    ["audit: {enable: true}", "audit: is not built yet"],
    // The reference reads it as a yes: nobody may believe that they are audited.
    ["audit: {enable: yes}", "audit: is not built yet"],
    ["audit: {enable: On}", "audit: is not built yet"],
    ["geoip: {provider: maxmind}", "geoip: is not built yet"],
    ["metrics: true", "metrics: is not built yet"],
  ])("%s is refused", async (yaml, message) => {
    expect(await errorsOf(`${someAuth}${yaml}`)).toEqual([`berth.yaml:2:1: ${message}`]);
  });

  it("is a warning where it is switched off, as in a full dump of the reference", async () => {
    const { warnings } = await load(`${someAuth}
metrics: {enable: false, listen: 0.0.0.0:9100, path: /metrics}
geoip: {provider: dummy, maxmind-geoip2-file: /var/lib/GeoIP/GeoIP2-Country.mmdb}
`);
    expect(warnings.map(({ path }) => path)).toEqual(["metrics", "geoip"]);
    expect(warnings[0]?.message).toContain("switched off");
  });
});

describe("loading", () => {
  it("reads a file and names it in errors", async () => {
    await writeFile(inFolder("good.yaml"), `${someAuth}backend: process\n`);
    expect((await Effect.runPromise(loadFile(inFolder("good.yaml")))).config.backend).toBe("process");
    await writeFile(inFolder("bad.yaml"), `${someAuth}backend: proces\n`);
    const failed = await Effect.runPromise(Effect.flip(loadFile(inFolder("bad.yaml"))));
    expect(failed.diagnostics).toEqual([
      {
        code: "CORE_CONFIG_ERROR",
        file: inFolder("bad.yaml"),
        line: 2,
        column: 1,
        path: "backend",
        message: "expected one of docker, kubernetes, sshproxy, process",
      },
    ]);
    expect(failed.message).toBe(
      `${inFolder("bad.yaml")}:2:1: backend: expected one of docker, kubernetes, sshproxy, process`,
    );
  });

  it("says when a file can't be read", async () => {
    const failed = await Effect.runPromise(Effect.flip(loadFile("/nowhere/berth.yaml")));
    expect(failed.message).toBe("/nowhere/berth.yaml:1:1: cannot be read: ENOENT");
  });

  it("takes the same configuration as an object", async () => {
    const object = {
      auth: { publicKey: { method: "users" }, users: [{ name: "jane" }] },
      backend: "process",
    };
    expect((await Effect.runPromise(fromObject(object, "quick start"))).config.auth.users[0]?.name).toBe(
      "jane",
    );
    const failed = await Effect.runPromise(Effect.flip(fromObject({ ...object, bakend: 1 }, "quick start")));
    expect(failed.message).toBe('quick start: bakend: unknown key (did you mean "backend"?)');
  });

  it("asks the sources for their rules and warnings, and shows them in their place", async () => {
    const check = () =>
      Effect.succeed([
        { path: ["auth", "users", 0, "name"], message: "is not nice" },
        { path: ["backend"], message: "is dangerous", severity: "warning" as const, code: "A_CODE" },
      ]);
    expect(await errorsOf(`${someAuth}backend: process\n`, [check])).toEqual([
      "berth.yaml:1:45: auth.users[0].name: is not nice",
    ]);
    const onlyWarning = () => Effect.map(check(), (findings) => findings.slice(1));
    const { warnings } = await load(`${someAuth}backend: process\n`, [onlyWarning]);
    expect(warnings).toEqual([
      { code: "A_CODE", file: "berth.yaml", line: 2, column: 1, path: "backend", message: "is dangerous" },
    ]);
  });
});
