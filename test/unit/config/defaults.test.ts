/** The names and defaults of ContainerSSH 0.6 (config/*.go and docs/reference of the reference), and Berth's own. */
import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Config, defaults, settingsOf } from "../../../src/config/schema.ts";

const written = Schema.encodeSync(Config)(defaults);

const tls = {
  tlsVersion: "1.3",
  curves: ["x25519", "secp256r1", "secp384r1", "secp521r1"],
  cipher: [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
  ],
};

const httpClient = { url: "", allowRedirects: false, timeout: "2s", cacert: "", cert: "", key: "", ...tls };
const webhook = { ...httpClient, authTimeout: "1m0s" };
const httpServer = { listen: "0.0.0.0:8080", key: "", cert: "", clientcacert: "", ...tls };
const oauth2 = {
  redirect: { ...httpServer, webroot: "" },
  clientId: "",
  clientSecret: "",
  provider: "",
  github: {
    url: "https://github.com",
    apiurl: "https://api.github.com",
    enforceUsername: true,
    requireOrgMembership: "",
    require2FA: false,
    extraScopes: [],
    enforceScopes: false,
    timeout: "10s",
    cacert: "",
    cert: "",
    key: "",
    ...tls,
  },
  oidc: {
    ...httpClient,
    deviceFlow: false,
    authorizationCodeFlow: false,
    usernameField: "sub",
    redirectURI: "",
    extraScopes: [],
    enforceScopes: false,
  },
  generic: { authorizeEndpointURL: "", tokenEndpoint: httpClient, redirectURI: "" },
  qrCodeClients: [],
  deviceFlowClients: [],
  authTimeout: "2m0s",
};

describe("the configuration of an empty file", () => {
  it("has the reference's ssh section, and Berth's limits before authentication", () => {
    expect(written.ssh).toEqual({
      listen: "0.0.0.0:2222",
      serverVersion: "SSH-2.0-ContainerSSH",
      ciphers: [
        "chacha20-poly1305@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "aes256-ctr",
        "aes192-ctr",
        "aes128-ctr",
      ],
      kex: [
        "mlkem768x25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp521",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp256",
      ],
      macs: ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"],
      banner: "",
      hostkeys: [],
      clientAliveInterval: "0s",
      clientAliveCountMax: 3,
      loginGraceTime: "1m0s",
      maxStartups: "100:30:1000",
    });
  });

  it("has the reference's log section", () => {
    expect(written.log).toEqual({
      level: "notice",
      format: "ljson",
      destination: "stdout",
      file: "/var/log/containerssh/containerssh.log",
      syslog: { destination: "/dev/log", facility: "auth", tag: "ContainerSSH", pid: false },
    });
  });

  const kerberos = {
    keytab: "/etc/krb5.keytab",
    acceptor: "any",
    configPath: "/etc/krb5.conf",
    enforceUsername: true,
    credentialCachePath: "/tmp/krb5cc",
    clockSkew: "5m0s",
  };

  it("has the reference's auth section with every method off, and no users", () => {
    expect(written.auth).toEqual({
      password: { method: "", webhook, kerberos },
      publicKey: { method: "", webhook },
      keyboardInteractive: { method: "", oauth2, loginGraceTime: "5m0s" },
      gssapi: { method: "", kerberos },
      authz: { method: "", webhook },
      users: [],
    });
  });

  it("has the reference's configuration server", () => {
    expect(written.configserver).toEqual({ ...httpClient, transmitSensitiveMetadata: false });
  });

  it("has the reference's health check", () => {
    expect(written.health).toEqual({
      enable: false,
      listen: "0.0.0.0:7000",
      key: "",
      cert: "",
      clientcacert: "",
      ...tls,
      client: { ...httpClient, url: "http://127.0.0.1:7000/" },
    });
  });

  it("has Berth's inspector: off, for this machine only, without a token that everybody knows", () => {
    expect(written.inspect).toEqual({
      enable: false,
      listen: "127.0.0.1:7001",
      key: "",
      cert: "",
      clientcacert: "",
      ...tls,
      token: "",
      allowControl: false,
      history: { connections: 1000, mebibytes: 64 },
    });
  });

  it("has the reference's backend", () => {
    expect(written.backend).toBe("docker");
  });

  it("has Berth's process section", () => {
    expect(written.process).toEqual({
      shell: "",
      isolation: "auto",
      network: true,
      home: "",
      subsystems: { sftp: "/usr/lib/openssh/sftp-server" },
      environment: {},
    });
  });
});

describe("the settings of a connection", () => {
  it("are the part of the configuration that a connection can have of its own", () => {
    const { backend, log, docker, kubernetes, sshproxy, process, security } = defaults;
    expect(settingsOf(defaults)).toEqual({ backend, log, docker, kubernetes, sshproxy, process, security });
  });
});
