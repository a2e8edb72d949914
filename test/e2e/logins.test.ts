/** Logins with each kind of key and with a password, by clients of four families. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { generateKey, type Key, type KeyType } from "../support/keys.ts";
import { dbclient, paramiko, plink } from "../support/other-clients.ts";
import { type Directory, directory } from "../support/resources.ts";
import { SshClient, type SshTarget } from "../support/ssh.ts";
import { usersAuth } from "../support/users.ts";

const password = "correct horse 'battery' staple ✓";
const keyTypes: ReadonlyArray<KeyType> = ["ed25519", "rsa", "ecdsa"];

let home: Directory;
let daemon: Daemon;
let keys: ReadonlyMap<KeyType, Key>;

beforeAll(async () => {
  home = await directory();
  keys = new Map(
    await Promise.all(
      keyTypes.map(async (type) => [type, await generateKey(home.path, type, type)] as const),
    ),
  );
  daemon = await startDaemon({
    config: {
      auth: await usersAuth({
        name: "demo",
        password,
        keys: [...keys.values()].map(({ publicKey }) => publicKey),
      }),
      backend: "process",
    },
  });
});

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

const proofs: ReadonlyArray<readonly [name: string, login: () => Partial<SshTarget>]> = [
  ["a password", () => ({ password })],
  ...keyTypes.map(
    (type) => [`a key of type ${type}`, () => ({ identityFile: `${keys.get(type)?.file}` })] as const,
  ),
];

const expected = { code: 3, stdout: "in\n" };
const command = "cat; echo err >&2; exit 3";

describe("a login", () => {
  it.each(proofs)("by OpenSSH with %s", async (_, login) => {
    await using ssh = await SshClient.to(daemon.target(login()));
    expect(await ssh.run(command, { stdin: "in\n" })).toMatchObject({ ...expected, stderr: "err\n" });
    await using terminal = ssh.terminal();
    terminal.write("exit 4\n");
    expect(await terminal.ending).toEqual({ code: 4, signal: null });
  });

  describe.each([
    ["paramiko", paramiko],
    ["PuTTY's plink", plink],
    ["dropbear's dbclient", dbclient],
  ])("by %s", (_, client) => {
    it.each(proofs)("with %s", async (__, login) => {
      const result = await client(daemon.target(login()), command, { stdin: "in\n" });
      expect(result, result.stderr).toMatchObject({ ...expected, stderr: expect.stringContaining("err\n") });
    });
  });

  it("tells PuTTY the signal that ended the program", async () => {
    const { stderr } = await plink(daemon.target({ password }), "kill -TERM $$");
    expect(stderr).toMatch(/exited on .*signal "(SIG)?TERM"/);
  });

  it.each(keyTypes)("with another key of type %s is refused", async (type) => {
    await using elsewhere = await directory();
    const { file } = await generateKey(elsewhere.path, "other", type);
    await using ssh = await SshClient.to(daemon.target({ identityFile: file }));
    const result = await ssh.run("echo never");
    expect(result).toMatchObject({
      code: 255,
      stdout: "",
      stderr: expect.stringContaining("Permission denied"),
    });
  });

  it("with another password is refused", async () => {
    await using ssh = await SshClient.to(daemon.target({ password: `${password} ` }));
    const result = await ssh.run("echo never");
    expect(result).toMatchObject({
      code: 255,
      stdout: "",
      stderr: expect.stringContaining("Permission denied"),
    });
  });
});
