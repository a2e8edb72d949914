/** What sources find wrong with their part of a configuration before it is started, with its place in the file. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checks } from "../../src/checks.ts";
import { directory } from "../support/resources.ts";
import { errorsOf, load, someAuth } from "./config/support.ts";

describe("auth.users", () => {
  it("are checked entry by entry, and no secret is repeated", async () => {
    const errors = await errorsOf(
      `auth:
  publicKey: {method: users}
  users:
    - name: jane
      passwordHash: hunter2
      authorizedKeys:
        - ssh-ed25519 AAAA jane
    - name: jane
`,
      checks,
    );
    expect(errors).toEqual([
      expect.stringContaining("berth.yaml:5:7: auth.users[0].passwordHash: expected a hash that begins with"),
      "berth.yaml:7:11: auth.users[0].authorizedKeys[0]: is not a complete key",
      "berth.yaml:8:7: auth.users[1].name: is the name of another user too",
    ]);
    expect(errors.join()).not.toContain("hunter2");
  });
});

describe("ssh.hostkeys", () => {
  it("have to be keys, as text and in files", async () => {
    await using home = await directory();
    const file = join(home.path, "ssh_host_key");
    await writeFile(file, "not a key\n");
    const text = JSON.stringify("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
    const yaml = `${someAuth}ssh: {hostkeys: [${text}, ${file}, ${file}.gone]}\n`;
    expect(await errorsOf(yaml, checks)).toEqual([
      expect.stringContaining("ssh.hostkeys[0]: is not a private key in PEM or OpenSSH format"),
      expect.stringContaining("ssh.hostkeys[1]: is not a private key in PEM or OpenSSH format"),
      expect.stringContaining(`ssh.hostkeys[2]: cannot read ${file}.gone: ENOENT`),
    ]);
  });

  it("need not be there", async () => {
    expect((await load(someAuth, checks)).warnings).toEqual([]);
  });
});
