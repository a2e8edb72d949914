/** The section `sshproxy`: the reference's names and defaults, jump hosts, and what is refused. */
import { Duration, Redacted } from "effect";
import { describe, expect, it } from "vitest";
import { defaults } from "../../../src/config/schema.ts";
import { errorsOf, load, someAuth } from "./support.ts";

const FINGERPRINT = `SHA256:${"A".repeat(43)}`;
const hop = `server: 192.0.2.1, username: root, password: changeme, allowedHostKeyFingerprints: ["${FINGERPRINT}"]`;
const start = `${someAuth}backend: sshproxy\n`;

describe("sshproxy", () => {
  it("has the reference's defaults", () => {
    const { password, privateKey, timeout, hostKeyAlgos, ...plain } = defaults.sshproxy;
    expect(plain).toEqual({
      server: "",
      port: 22,
      usernamePassThrough: false,
      username: "",
      allowedHostKeyFingerprints: [],
      ciphers: defaults.ssh.ciphers,
      kex: defaults.ssh.kex,
      macs: defaults.ssh.macs,
      clientVersion: "SSH-2.0-ContainerSSH",
      jumpHosts: [],
    });
    expect([Redacted.value(password), Redacted.value(privateKey)]).toEqual(["", ""]);
    expect(timeout).toEqual(Duration.seconds(60));
    expect(hostKeyAlgos).toHaveLength(9);
    expect(hostKeyAlgos.slice(6)).toEqual(["ssh-rsa", "ssh-dss", "ssh-ed25519"]);
  });

  it("is read as the reference documents it", async () => {
    const { config, warnings } = await load(`${start}
sshproxy:
  server: 127.0.0.1
  usernamePassThrough: true
  username: root
  password: changeme
  privateKey: |
    -----BEGIN OPENSSH PRIVATE KEY-----
    -----END OPENSSH PRIVATE KEY-----
  allowedHostKeyFingerprints:
    - ${FINGERPRINT}
  hostKeyAlgorithms: [ssh-ed25519]
`);
    expect(warnings).toEqual([]);
    expect(config.sshproxy).toMatchObject({ server: "127.0.0.1", usernamePassThrough: true });
    expect(config.sshproxy.hostKeyAlgos).toEqual(["ssh-ed25519"]);
  });

  it("has jump hosts with options of their own", async () => {
    const { config } = await load(`${start}sshproxy: {${hop}, jumpHosts: [{${hop}, port: 2222}]}\n`);
    expect(config.sshproxy.jumpHosts).toMatchObject([{ server: "192.0.2.1", port: 2222, username: "root" }]);
  });

  it.each([
    ["{}", ["sshproxy.server: is missing", "sshproxy.username: is missing"]],
    [`{${hop}, port: 70000}`, ["sshproxy.port: "]],
    [`{${hop}, kex: []}`, ["sshproxy.kex: must not be an empty list"]],
    [`{${hop}, ciphers: [rot13]}`, ["sshproxy.ciphers[0]: "]],
    [`{${hop}, timeout: 1ms}`, ["sshproxy.timeout: must be at least 100ms"]],
    [`{${hop}, clientVersion: Berth}`, ["sshproxy.clientVersion: "]],
    [`{${hop}, privateKey: /nowhere/key}`, ["sshproxy.privateKey: cannot read /nowhere/key"]],
    ["{server: a, username: b, password: c}", ["sshproxy.allowedHostKeyFingerprints: is empty"]],
    [
      '{server: a, username: b, password: c, allowedHostKeyFingerprints: ["MD5:00:11"]}',
      ["sshproxy.allowedHostKeyFingerprints[0]: expected a fingerprint"],
    ],
    [
      `{${hop}, jumpHosts: [{server: a, username: b, password: c}]}`,
      ["sshproxy.jumpHosts[0].allowedHostKeyFingerprints: is empty"],
    ],
    [`{${hop}, jumpHosts: [{serve: a}]}`, ["sshproxy.jumpHosts[0].serve: unknown key"]],
  ])("%s is refused", async (yaml, messages) => {
    const errors = (await errorsOf(`${start}sshproxy: ${yaml}\n`)).join("\n");
    for (const message of messages) expect(errors).toContain(message);
  });
});
