import { Duration, Effect, Record, Redacted } from "effect";
import { beforeAll, describe, expect, it } from "vitest";
import { variableLabel } from "../../../src/config/codecs.ts";
import { overlay } from "../../../src/config/overlay.ts";
import type { Config } from "../../../src/config/schema.ts";
import { load, someAuth } from "./support.ts";

let base: Config;

beforeAll(async () => {
  const { config } = await load(`${someAuth}
backend: process
log: {level: warning}
process:
  shell: /bin/bash
  network: true
  environment: {LANG: C, EDITOR: vi}
docker:
  execution:
    container: {image: registry.example.com/base, env: [A=1], labels: {team: a}}
    shellCommand: [/bin/zsh]
    disableAgent: true
  timeouts: {containerStart: 90s}
kubernetes:
  pod:
    metadata: {namespace: people, labels: {team: a}}
`);
  base = config;
});

const overlaid = (answer: unknown): Promise<Config> => Effect.runPromise(overlay(base, answer));

const rejection = async (answer: unknown) => {
  const failed = await Effect.runPromise(Effect.flip(overlay(base, answer)));
  expect(failed.code).toBe("BACKEND_CONFIG_ERROR");
  expect(failed.userMessage).toBe(
    "Your environment is not configured correctly. Please ask your administrator for help.",
  );
  return failed.message.replace("The configuration server's answer cannot be used: ", "").split("; ");
};

describe("an answer without a word", () => {
  it.each([undefined, null, {}])("%j is the file's configuration", async (answer) => {
    expect(await overlaid(answer)).toEqual(base);
  });

  it("is also the whole struct of a server written in Go, all zero", async () => {
    const http = {
      url: "",
      allowRedirects: false,
      timeout: 0,
      cacert: "",
      cert: "",
      key: "",
      tlsVersion: "",
      curves: null,
      cipher: null,
    };
    const server = {
      listen: "",
      key: "",
      cert: "",
      clientcacert: "",
      tlsVersion: "",
      curves: null,
      cipher: null,
    };
    const webhook = { ...http, authTimeout: 0 };
    const kerberos = {
      keytab: "",
      acceptor: "",
      enforceUsername: false,
      credentialCachePath: "",
      configPath: "",
      clockSkew: 0,
    };
    const zeroStruct = {
      ssh: {
        listen: "",
        serverVersion: "",
        ciphers: null,
        kex: null,
        macs: null,
        banner: "",
        hostkeys: null,
        clientAliveInterval: 0,
        clientAliveCountMax: 0,
      },
      configserver: { ...http, transmitSensitiveMetadata: false },
      auth: {
        password: { method: "", webhook, kerberos },
        publicKey: { method: "", webhook },
        keyboardInteractive: {
          method: "",
          oauth2: { redirect: { ...server, webroot: "" }, clientId: "", authTimeout: 0 },
        },
        gssapi: { method: "", kerberos },
        authz: { method: "", webhook },
        authTimeout: 0,
        ...http,
        pubkey: null,
      },
      log: {
        level: "emerg",
        format: "",
        destination: "",
        file: "",
        syslog: { destination: "", facility: "", tag: "", pid: false },
      },
      metrics: { ...server, enable: false, path: "" },
      geoip: { provider: "", "maxmind-geoip2-file": "" },
      audit: {
        enable: false,
        format: "",
        storage: "",
        file: { directory: "" },
        s3: { uploadPartSize: 0, metadata: { ip: false } },
      },
      health: { enable: false, ...server, client: http },
      security: {
        defaultMode: "",
        forceCommand: "",
        env: { mode: "", allow: null, deny: null },
        forwarding: { forwardingMode: "" },
        maxSessions: 0,
      },
      backend: "",
      docker: {
        connection: { host: "", cacert: "", cert: "", key: "" },
        execution: {
          container: null,
          host: null,
          network: null,
          platform: null,
          containername: "",
          auth: null,
          mode: "",
          idleCommand: null,
          shellCommand: null,
          agentPath: "",
          disableAgent: false,
          subsystems: null,
          imagePullPolicy: "",
          exposeAuthMetadataAsEnv: false,
        },
        timeouts: { containerStart: 0, containerStop: 0, commandStart: 0, signal: 0, window: 0, http: 0 },
      },
      kubernetes: {
        connection: {},
        pod: {
          metadata: { creationTimestamp: null },
          spec: { containers: null },
          exposeAuthMetadataAsEnv: null,
          exposeAuthMetadataAsLabels: null,
          exposeAuthMetadataAsAnnotations: null,
        },
        timeouts: {},
      },
      sshproxy: {
        server: "",
        port: 0,
        usernamePassThrough: false,
        allowedHostKeyFingerprints: null,
        timeout: 0,
      },
    };
    expect(await overlaid(zeroStruct)).toEqual(base);
  });
});

describe("what an answer sets", () => {
  it.each<readonly [string, unknown, (config: Config) => unknown, unknown]>([
    ["the backend", { backend: "docker" }, ({ backend }) => backend, "docker"],
    ["the level of the log", { log: { level: "debug" } }, ({ log }) => log.level, "debug"],
    ["the level of the log by its number", { log: { level: 7 } }, ({ log }) => log.level, "debug"],
    ["a text", { process: { shell: "/bin/sh" } }, ({ process }) => process.shell, "/bin/sh"],
    ["no false", { process: { network: false } }, ({ process }) => process.network, true],
    [
      "a map, by key",
      { process: { environment: { EDITOR: "nano", LANG: "", PAGER: "less" } } },
      ({ process }) => Record.map(process.environment, Redacted.value),
      { EDITOR: "nano", LANG: "", PAGER: "less" },
    ],
    [
      "nanoseconds over a duration",
      { docker: { timeouts: { containerStart: 120_000_000_000, http: 0 } } },
      ({ docker }) => [docker.timeouts.containerStart, docker.timeouts.http],
      [Duration.seconds(120), Duration.seconds(15)],
    ],
    [
      "a list",
      { docker: { execution: { shellCommand: ["/bin/sh", "-l"] } } },
      ({ docker }) => docker.execution.shellCommand,
      ["/bin/sh", "-l"],
    ],
    [
      "no empty list",
      { docker: { execution: { shellCommand: [] } } },
      ({ docker }) => docker.execution.shellCommand,
      ["/bin/zsh"],
    ],
    [
      "a key in the Engine's own spelling, as the Go library sends it",
      { docker: { execution: { container: { Image: "registry.example.com/jane", Cmd: null, Tty: false } } } },
      ({ docker }) => docker.execution.container,
      {
        Image: "registry.example.com/jane",
        Env: [Redacted.make("A=1", { label: variableLabel })],
        Labels: { team: "a" },
        Tty: false,
      },
    ],
    [
      "keys in any case, as Go's JSON decoder reads them",
      { Docker: { EXECUTION: { shellcommand: ["/bin/sh"] } }, Backend: "docker" },
      ({ backend, docker }) => [backend, docker.execution.shellCommand],
      ["docker", ["/bin/sh"]],
    ],
    [
      "one thing of a pod",
      { kubernetes: { pod: { metadata: { name: "jane", labels: { user: "jane" } } } } },
      ({ kubernetes }) => kubernetes.pod.metadata,
      {
        name: "jane",
        generateName: "",
        namespace: "people",
        labels: { team: "a", user: "jane" },
        annotations: {},
      },
    ],
    [
      "a pod's spec, in which lists are replaced",
      { kubernetes: { pod: { spec: { containers: [{ name: "a", image: "b" }] } } } },
      ({ kubernetes }) => kubernetes.pod.spec,
      { containers: [{ name: "a", image: "b" }] },
    ],
  ])("%s", async (_, answer, part, expected) => {
    expect(part(await overlaid(answer))).toEqual(expected);
  });

  it("leaves everything else as it was", async () => {
    const { backend, ...rest } = await overlaid({ backend: "docker" });
    const { backend: before, ...expected } = base;
    expect([backend, before]).toEqual(["docker", "process"]);
    expect(rest).toEqual(expected);
  });

  it("does not change the file's configuration for the next connection", async () => {
    await overlaid({ process: { environment: { SECRET: "1" } } });
    expect(Record.map(base.process.environment, Redacted.value)).toEqual({ LANG: "C", EDITOR: "vi" });
  });
});

describe("an answer is rejected", () => {
  it.each<readonly [string, unknown, readonly string[]]>([
    ["that is no object", "docker", ["config: expected an object"]],
    ["that is a list", [], ["config: expected an object"]],
    ["that is false", false, ["config: expected an object"]],
    ["with a misspelt section", { bakend: "process" }, ['bakend: unknown key (did you mean "backend"?)']],
    [
      "with a misspelt section that says nothing",
      { dockr: {} },
      ['dockr: unknown key (did you mean "docker"?)'],
    ],
    [
      "with a misspelt key",
      { docker: { execution: { shelCommand: ["/bin/sh"] } } },
      ['docker.execution.shelCommand: unknown key (did you mean "shellCommand"?)'],
    ],
    [
      "with a misspelt key that says nothing",
      { process: { shel: "" } },
      ['process.shel: unknown key (did you mean "shell"?)'],
    ],
    ["with a misspelt key of the log", { log: { lvl: "" } }, ["log.lvl: unknown key"]],
    [
      "with the Engine's option misspelt",
      { docker: { execution: { container: { Imagee: "x" } } } },
      ['docker.execution.container.Imagee: unknown key (did you mean "Image"?)'],
    ],
    [
      "with an unknown backend",
      { backend: "podman" },
      ["backend: expected one of docker, kubernetes, sshproxy, process"],
    ],
    [
      "with a wrong type",
      { docker: { timeouts: { http: true } } },
      ["docker.timeouts.http: expected a duration such as 1m30s or 500ms, or a number of nanoseconds"],
    ],
    ["with text for a section", { docker: "x" }, ["docker: expected a mapping"]],
    ["with a number for text", { process: { shell: 5 } }, ["process.shell: expected text"]],
    [
      "with a wrong value in another spelling",
      { Docker: { Execution: { Mode: "x" } } },
      ["Docker.Execution.Mode: expected one of connection, session, persistent"],
    ],
    [
      "that sets what it may not",
      { ssh: { listen: "0.0.0.0:1", banner: "", hostkeys: ["x"] }, auth: { authz: { method: "webhook" } } },
      [
        "ssh.listen: cannot be set by the configuration server",
        "ssh.hostkeys: cannot be set by the configuration server",
        "auth.authz.method: cannot be set by the configuration server",
      ],
    ],
    [
      "that sets more of the log than its level",
      { log: { level: "debug", destination: "file", syslog: { pid: true } } },
      [
        "log.destination: cannot be set by the configuration server",
        "log.syslog.pid: cannot be set by the configuration server",
      ],
    ],
    [
      "that makes a configuration that is none",
      { process: { home: "jane" } },
      ["process.home: expected an absolute path"],
    ],
    [
      "with a key in two spellings",
      { process: { shell: "/bin/a", Shell: "/bin/b" } },
      ["process.Shell: says the same as shell, which is there too"],
    ],
    [
      "that would reach into the prototype",
      JSON.parse('{"__proto__": {"backend": "docker"}}'),
      ["__proto__: unknown key"],
    ],
    [
      "with everything that is wrong at once",
      { bakend: 1, process: { shel: 1 }, ssh: { banner: "x" } },
      [
        'bakend: unknown key (did you mean "backend"?)',
        "ssh.banner: cannot be set by the configuration server",
        'process.shel: unknown key (did you mean "shell"?)',
      ],
    ],
  ])("%s", async (_, answer, messages) => {
    expect(await rejection(answer)).toEqual(messages);
  });

  it("without repeating a value, which may be a secret", async () => {
    const failed = await Effect.runPromise(
      Effect.flip(
        overlay(base, {
          docker: { timeouts: { http: "hunter2" } },
          ssh: { banner: "hunter2" },
          backend: "hunter2",
        }),
      ),
    );
    expect(JSON.stringify([failed, failed.message, failed.details])).not.toContain("hunter2");
    expect(failed.details).toEqual({ paths: "ssh.banner backend docker.timeouts.http" });
  });
});

describe("a login's share of the processor", () => {
  it("is far below what a login takes", async () => {
    const answer = {
      backend: "docker",
      docker: { execution: { container: { Image: "registry.example.com/jane", Env: ["A=1"] } } },
    };
    for (let warm = 0; warm < 200; warm++) await overlaid(answer);
    const before = process.cpuUsage();
    const rounds = 200;
    for (let round = 0; round < rounds; round++) await overlaid(answer);
    const { user, system } = process.cpuUsage(before);
    const millisecondsEach = (user + system) / 1000 / rounds;
    expect(millisecondsEach).toBeLessThan(2);
  });
});
