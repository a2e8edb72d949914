/**
 * A configuration of the reference's own documentation, run by the daemon as it stands there: the guide to a honeypot
 * (containerssh.io/guides/honeypot) has the whole `docker` section, of which only the placeholders are filled in.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type Authority, certificateAuthority } from "../support/certificates.ts";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { startTlsEngine, type TlsEngine } from "../support/docker-tls.ts";
import { generateKey } from "../support/keys.ts";
import { type Directory, directory, eventually } from "../support/resources.ts";
import { SshClient } from "../support/ssh.ts";
import { usersAuth } from "../support/users.ts";

const HONEYPOT = `
docker:
  connection:
    host: tcp://SACRIFICIAL-HOST-IP:2376
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
      resources:
        cpuperiod: 10000
        cpuquota: 1000
        memoryswap: 52428800
        memoryswappiness: 50
        memory: 26214400
        memoryreservation: 20000000
        pidslimit: 1000
      tmpfs:
        /tmp: rw,noexec,nosuid,size=65536k,uid=1000,gid=1000
        /run: rw,noexec,nosuid,size=65536k,uid=1000,gid=1000
        /home/ubuntu: rw,noexec,nosuid,size=65536k,uid=1000,gid=1000
`;

let home: Directory;
let authority: Authority;
let engine: TlsEngine;
let daemon: Daemon;
let client: SshClient;

beforeAll(async () => {
  home = await directory();
  authority = await certificateAuthority(home.path, "authority");
  engine = await startTlsEngine(home.path, authority, await authority.issue("engine"));
  await engine.image("containerssh/test-guest", {
    programs: ["/bin/bash", "/usr/lib/openssh/sftp-server", "/usr/bin/scp", "/usr/bin/rsync"],
  });
  const key = await generateKey(home.path, "user");
  const { docker } = parse(HONEYPOT.replace("SACRIFICIAL-HOST-IP:2376", engine.address));
  const { cert, key: clientKey } = await authority.issue("berth");
  daemon = await startDaemon({
    config: {
      auth: await usersAuth({ name: "demo", keys: [key.publicKey] }),
      backend: "docker",
      docker: {
        ...docker,
        connection: { ...docker.connection, cacert: authority.cert, cert, key: clientKey },
      },
    },
  });
  client = await SshClient.to(daemon.target({ identityFile: key.file }));
});
afterAll(async () => {
  await client?.[Symbol.asyncDispose]();
  await daemon?.[Symbol.asyncDispose]();
  await engine?.[Symbol.asyncDispose]();
  await home?.[Symbol.asyncDispose]();
});

describe("the reference's honeypot", () => {
  it("runs a program as its user, in its directory, under its limits", async () => {
    await using terminal = client.terminal("echo here; read line");
    await terminal.waitFor("here");
    const [container] = await engine.containers();
    const { Config, HostConfig } = await engine.docker.getContainer(container?.Id ?? "").inspect();
    expect(Config).toMatchObject({ Hostname: "bitcoin", NetworkDisabled: true, User: "1000" });
    expect(HostConfig).toMatchObject({
      ReadonlyRootfs: true,
      CpuPeriod: 10000,
      CpuQuota: 1000,
      Memory: 26214400,
      MemoryReservation: 20000000,
      PidsLimit: 1000,
    });
    expect(
      await client.run("id -u; hostname; pwd; touch /file 2>/dev/null || echo read-only; touch file && ls"),
    ).toMatchObject({ code: 0, stdout: "1000\nbitcoin\n/home/ubuntu\nread-only\nfile\n" });
  });

  it("has a shell", async () => {
    await using terminal = client.terminal();
    terminal.write("echo $((6 * 7)) is the answer of $0\n");
    await terminal.waitFor("42 is the answer of /bin/bash");
    terminal.write("exit 7\n");
    expect(await terminal.ending).toEqual({ code: 7, signal: null });
  });

  it("takes and gives files by sftp, scp and rsync, in one container for all sessions of a connection", async () => {
    await using shared = await client.multiplexed();
    const local = (name: string) => join(home.path, name);
    await writeFile(local("sent"), "a file\n");
    const must = async (result: ReturnType<SshClient["run"]>) =>
      expect(await result).toMatchObject({ code: 0 });
    await must(shared.sftp([`put ${local("sent")} by-sftp`, `get by-sftp ${local("from-sftp")}`]));
    await must(shared.scp(local("sent"), ":by-scp"));
    await must(shared.scp(":by-scp", local("from-scp")));
    await must(shared.scp(local("sent"), ":by-old-scp", { legacy: true }));
    await must(shared.scp(":by-old-scp", local("from-old-scp"), { legacy: true }));
    await must(shared.rsync(local("sent"), ":by-rsync"));
    await must(shared.rsync(":by-rsync", local("from-rsync")));
    for (const name of ["from-sftp", "from-scp", "from-old-scp", "from-rsync"])
      expect(await readFile(local(name), "utf8")).toBe("a file\n");
    // They all found what the others had left in memory: it was one container.
    const sessions = await Promise.all([1, 2, 3].map(() => shared.run("ls; sleep 1")));
    for (const { stdout } of sessions) expect(stdout).toBe("by-old-scp\nby-rsync\nby-scp\nby-sftp\n");
    expect(await engine.containers()).toHaveLength(1);
  });

  it("leaves no container behind", async () => {
    await client.run("true");
    await eventually(async () => (await engine.containers()).length === 0, "the containers are gone");
  });
});
