/**
 * Configurations as the documentation of the reference shows them (docs/reference, docs/getting-started, docs/guides)
 * and as public installations write them, each in our own words: they are read without a change.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duration } from "effect";
import { afterAll, describe, expect, it } from "vitest";
import { load } from "./support.ts";

const folder = await mkdtemp(join(tmpdir(), "berth-config-"));
const hostKey = join(folder, "ssh_host_key");
await writeFile(hostKey, "-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n");

afterAll(() => rm(folder, { recursive: true }));

const start = `ssh: {hostkeys: [${hostKey}]}\n`;
const auth = 'auth: {password: {method: webhook, webhook: {url: "http://127.0.0.1:8080"}}}\n';

describe("documented configurations", () => {
  it("installation: a host key and an authentication server", async () => {
    const { config, warnings } = await load(`${start}
auth:
  password:
    method: webhook
    webhook:
      url: http://your-auth-server/
`);
    expect(config.auth.password.webhook.url).toBe("http://your-auth-server/");
    expect(config.backend).toBe("docker");
    expect(warnings).toEqual([]);
  });

  it("webhook authentication: every method, and authorization", async () => {
    const webhook =
      "{method: webhook, webhook: {url: https://auth.example.org, timeout: 10s, authTimeout: 90s}}";
    const { config } = await load(
      `auth:\n  password: ${webhook}\n  publicKey: ${webhook}\n  authz: ${webhook}\n`,
    );
    expect(config.auth.authz).toMatchObject({
      method: "webhook",
      webhook: { timeout: Duration.seconds(10), authTimeout: Duration.seconds(90) },
    });
  });

  it("authentication: every method by name, those that are off with empty sections", async () => {
    const { config } = await load(`
auth:
  password: {method: webhook, webhook: {url: http://127.0.0.1}, kerberos: }
  publicKey: {method: "", webhook: }
  keyboardInteractive: {method: "", oauth2: }
  gssapi: {method: "", kerberos: }
  authz: {method: ""}
`);
    expect(config.auth.gssapi.method).toBe("");
  });

  it("development: the 0.4 form without public keys", async () => {
    const { config, warnings } = await load(`---
log:
  level: debug
${start}
backend: docker
auth:
  url: "http://127.0.0.1:8080"
  pubkey: false
configserver:
  url: "http://127.0.0.1:8080/config"
`);
    expect([config.auth.password.method, config.auth.publicKey.method]).toEqual(["webhook", ""]);
    expect(config.configserver.url).toBe("http://127.0.0.1:8080/config");
    expect(warnings.map(({ path }) => path)).toEqual(["auth.url"]);
  });

  it("HTTP and TLS: lists with colons and OpenSSL names", async () => {
    const { config } = await load(`${auth}
health:
  enable: true
  listen: 0.0.0.0:7000
  tlsVersion: "1.2"
  curve: x25519:secp384r1
  cipher: TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256
`);
    expect(config.health.curves).toEqual(["x25519", "secp384r1"]);
    expect(config.health.cipher).toEqual(["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
  });

  it("SSH: keep-alives", async () => {
    const { config } = await load(`${auth}ssh: {clientAliveInterval: 10s, clientAliveCountMax: 3}\n`);
    expect(config.ssh.clientAliveInterval).toEqual(Duration.seconds(10));
  });

  it.each([
    ["log: {level: info, format: ljson, destination: stdout}"],
    ["log: {destination: file, file: /var/log/containerssh/containerssh.log}"],
    [
      "log: {destination: syslog, syslog: {destination: /dev/log, facility: auth, tag: ContainerSSH, pid: false}}",
    ],
    ["log: {destination: syslog, syslog: {destination: '127.0.0.1:514', facility: local7}}"],
  ])("logging: %s", async (yaml) => {
    expect((await load(auth + yaml)).warnings).toEqual([]);
  });

  it("honeypot: a Docker container in a corset", async () => {
    const { config } = await load(`${start}${auth}
backend: docker
docker:
  connection: {host: "tcp://192.0.2.1:2376"}
  execution:
    imagePullPolicy: Never
    container:
      image: containerssh/test-guest
      hostname: bitcoin
      networkdisabled: true
      user: 1000
      workingdir: /home/ubuntu
    host:
      readonlyrootfs: true
      resources: {cpuperiod: 10000, cpuquota: 1000, memoryswap: 52428800, memory: 26214400, pidslimit: 1000}
      tmpfs: {/tmp: "rw,noexec,nosuid,size=65536k,uid=1000,gid=1000"}
`);
    expect(config.docker.execution.container).toMatchObject({
      Hostname: "bitcoin",
      NetworkDisabled: true,
      User: "1000",
      WorkingDir: "/home/ubuntu",
    });
    expect(config.docker.execution.host).toMatchObject({ ReadonlyRootfs: true });
  });

  it("Kubernetes: a pod in the cluster that ContainerSSH runs in", async () => {
    const { config } = await load(`${auth}
backend: kubernetes
kubernetes:
  connection:
    host: kubernetes.default.svc
    cacertFile: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
  pod:
    consoleContainerNumber: 0
    metadata: {namespace: default, labels: {app: guest}}
    spec:
      volumes: [{name: home, hostPath: {path: /home/ubuntu, type: Directory}}]
      containers:
        - name: shell
          image: containerssh/containerssh-guest-image
          volumeMounts: [{name: home, mountPath: /home/ubuntu}]
`);
    expect(config.kubernetes.pod.spec).toMatchObject({ volumes: [{ hostPath: { path: "/home/ubuntu" } }] });
  });

  it("release 0.6: persistent pods", async () => {
    const { config } = await load(`${auth}
backend: kubernetes
kubernetes:
  pod:
    mode: persistent
    createMissingPods: true
    metadata: {name: my-pod, namespace: default}
    spec: {containers: [{name: shell, image: containerssh/containerssh-guest-image}]}
`);
    expect(config.kubernetes.pod).toMatchObject({ mode: "persistent", createMissingPods: true });
  });
});

describe("a whole file of 0.4 with everything at its default", () => {
  it("is read, with a warning for what is deprecated", async () => {
    const tls = `tlsVersion: "1.3"
  curves: [x25519, secp256r1, secp384r1, secp521r1]
  cipher: [TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256]`;
    const http = `allowRedirects: false
  timeout: 2s
  cacert: ""
  cert: ""
  key: ""
  ${tls}`;
    const { config, warnings } = await load(`
ssh:
  listen: 0.0.0.0:2222
  serverVersion: SSH-2.0-ContainerSSH
  ciphers: [chacha20-poly1305@openssh.com, aes256-gcm@openssh.com]
  kex: [curve25519-sha256@libssh.org]
  macs: [hmac-sha2-256-etm@openssh.com]
  banner: ""
  hostkeys: []
configserver:
  url: ""
  ${http}
auth:
  url: "http://localhost:8080"
  ${http}
  authTimeout: 1m0s
  password: true
  pubkey: true
log:
  level: notice
  syslog: {destination: /dev/log, facility: auth, tag: ContainerSSH, pid: false}
metrics:
  listen: 0.0.0.0:9100
  enable: false
  path: /metrics
geoip: {provider: dummy, maxmind-geoip2-file: /var/lib/GeoIP/GeoIP2-Country.mmdb}
audit: {enable: false, format: none, storage: none, file: {directory: /var/log/audit}}
security:
  defaultMode: ""
  env: {mode: "", allow: [], deny: []}
  maxSessions: -1
backend: docker
docker:
  connection: {host: "unix:///var/run/docker.sock", cacert: "", cert: "", key: ""}
  execution:
    container:
      hostname: ""
      attachstdin: false
      exposedports: {}
      env: []
      healthcheck: null
      image: containerssh/containerssh-guest-image
      volumes: {}
      entrypoint: []
      stoptimeout: null
    host: null
    network: null
    platform: null
    containername: ""
    mode: connection
    imagePullPolicy: IfNotPresent
  timeouts: {containerStart: 1m0s, http: 15s}
kubernetes:
  connection: {host: kubernetes.default.svc, path: /api, qps: 5, burst: 10}
  pod:
    metadata: {creationTimestamp: null, generateName: containerssh-, namespace: default}
    spec: {containers: [{image: containerssh/containerssh-guest-image, name: shell, resources: {}}]}
sshproxy: {server: "", port: 22, timeout: 1m0s}
`);
    expect(config.auth.password).toMatchObject({
      method: "webhook",
      webhook: { url: "http://localhost:8080" },
    });
    expect(config.auth.publicKey.webhook.authTimeout).toEqual(Duration.seconds(60));
    expect(warnings.find(({ path }) => path === "auth.url")?.code).toBe("CONFIG_AUTH_URL_DEPRECATED");
  });
});
