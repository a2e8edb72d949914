import { describe, expect, it } from "vitest";
import { load, someAuth } from "./support.ts";

const warningsOf = async (ssh: string): Promise<readonly string[]> => {
  const { warnings } = await load(`${someAuth}ssh: ${ssh}\n`);
  return warnings.map(({ path, message }) => `${path} ${message.split(" ")[0]}`);
};

describe("algorithms", () => {
  it("of the defaults are all offered by a current OpenSSH", async () => {
    expect(await warningsOf("{}")).toEqual([]);
  });

  it("that it does not offer are warned of, each with its place", async () => {
    const ssh = `{
      kex: [curve25519-sha256@libssh.org, diffie-hellman-group14-sha1, diffie-hellman-group1-sha1],
      macs: [hmac-sha1-96, hmac-sha1],
      ciphers: [arcfour, aes128-cbc, aes256-ctr, tripledescbcID, arcfour128, arcfour256]}`;
    expect(await warningsOf(ssh)).toEqual([
      "ssh.kex[1] diffie-hellman-group14-sha1",
      "ssh.kex[2] diffie-hellman-group1-sha1",
      "ssh.macs[0] hmac-sha1-96",
      "ssh.ciphers[0] arcfour",
      "ssh.ciphers[1] aes128-cbc",
      "ssh.ciphers[3] tripledescbcID",
      "ssh.ciphers[4] arcfour128",
      "ssh.ciphers[5] arcfour256",
    ]);
  });

  it("towards other servers are warned of as well", async () => {
    const { warnings } = await load(`${someAuth}backend: sshproxy
sshproxy:
  server: 127.0.0.1
  username: jane
  password: x
  allowedHostKeyFingerprints: ["SHA256:${"A".repeat(43)}"]
  kex: [mlkem768x25519-sha256, diffie-hellman-group14-sha1]
`);
    expect(warnings.map(({ path }) => path)).toEqual(["sshproxy.kex[1]"]);
  });
});
