/** The command line, and the signals and surroundings of a daemon that was started by it. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { run } from "../support/command.ts";
import { ENTRY, startDaemon } from "../support/daemon.ts";
import { directory, eventually } from "../support/resources.ts";
import { projectRoot } from "../support/root.ts";
import { SshClient } from "../support/ssh.ts";
import { usersAuth } from "../support/users.ts";

const PASSWORD = "correct horse";

const berth = (...args: readonly string[]) => run(process.execPath, [ENTRY, ...args]);

const config = async () => ({
  auth: await usersAuth({ name: "demo", password: PASSWORD }),
  backend: "process",
});

const textOf = (file: string): Promise<string | undefined> =>
  readFile(file, "utf8").catch((error) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });

const logged = (file: string, code: string) =>
  eventually(() => textOf(file).then((text) => text?.includes(code)), code);

describe("without a file", () => {
  it("--dump-config shows the defaults, to begin a configuration with", async () => {
    const { code, stdout } = await berth("--dump-config");
    expect(code).toBe(0);
    expect(parse(stdout)).toMatchObject({ ssh: { listen: "0.0.0.0:2222" }, backend: "docker" });
  });

  it.each(["--check-config", "--healthcheck"])("%s asks for one", async (option) => {
    const { code, stderr } = await berth(option);
    expect(code).toBe(1);
    expect(stderr).toBe("CORE_CONFIG_ERROR: which configuration is meant? Name its file with --config\n");
  });
});

describe("--check-config", () => {
  it("tells what would keep the daemon from starting, with its place", async () => {
    await using home = await directory();
    const file = join(home.path, "berth.yaml");
    await writeFile(
      file,
      `ssh:
  lisen: 127.0.0.1:2222
auth:
  password: {method: users}
  users:
    - name: jane
      passwordHash: hunter2
`,
    );
    const { code, stdout, stderr } = await berth("--config", file, "--check-config");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(
      `CORE_CONFIG_ERROR: ${file}:2:3: ssh.lisen: unknown key (did you mean "listen"?)`,
    );
    expect(stderr).not.toContain("hunter2");
  });
});

describe("a daemon", () => {
  it("opens its log again at SIGHUP", async () => {
    await using home = await directory();
    const file = join(home.path, "berth.log");
    await using daemon = await startDaemon({
      config: { ...(await config()), log: { level: "debug", destination: "file", file } },
      ready: () => logged(file, "SSH_AVAILABLE"),
    });
    await rename(file, `${file}.1`);
    daemon.signal("SIGHUP");
    await eventually(() => textOf(file).then((text) => text !== undefined), "a new file");
    await using client = await SshClient.to(daemon.target({ password: PASSWORD }));
    expect(await client.run("echo in")).toMatchObject({ code: 0, stdout: "in\n" });
    await logged(file, "AUTH_SUCCESSFUL");
    expect(await textOf(`${file}.1`)).not.toContain("AUTH_SUCCESSFUL");
  });

  it("says once that ssh2's native cryptography is not there, and serves without it", async () => {
    const binding = join(projectRoot, "node_modules/ssh2/lib/protocol/crypto/build/Release/sshcrypto.node");
    await using daemon = await startDaemon({
      config: await config(),
      beforehand: `mount --bind /dev/null ${binding}`,
    });
    await daemon.log.next("SSH_NO_NATIVE_CRYPTO", ({ level }) => level === "warning");
    await using client = await SshClient.to(daemon.target({ password: PASSWORD }));
    for (const word of ["one", "two"]) {
      expect(await client.run(`echo ${word}`)).toMatchObject({ code: 0, stdout: `${word}\n` });
    }
    expect(daemon.log.all("SSH_NO_NATIVE_CRYPTO")).toHaveLength(1);
  });
});
