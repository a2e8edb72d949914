/** Debian's own sshd on a loopback port, as the user who runs the tests: what Berth is compared with. */
import { mkdir, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { start, transcriptOf } from "./command.ts";
import { generateKey, type Key } from "./keys.ts";
import { freePort } from "./ports.ts";
import { directory } from "./resources.ts";
import type { SshTarget } from "./ssh.ts";
import type { Transcript } from "./transcript.ts";

export interface Sshd {
  readonly pid: number;
  /** Logs in as the user who runs the tests, with a key made for it. */
  readonly target: SshTarget;
  readonly hostKey: Key;
  readonly userKey: Key;
  /** What it logs, at `DEBUG1` when the settings say so. */
  readonly log: Transcript;
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

/** Starts sshd with these settings of sshd_config(5) besides its own: no PAM, no motd, keys only. */
export const startSshd = async (settings: Readonly<Record<string, string>> = {}): Promise<Sshd> => {
  const home = await directory();
  const { uid, username } = userInfo();
  // Where the privileged part of sshd confines the other one.
  if (uid === 0) await mkdir("/run/sshd", { recursive: true, mode: 0o755 });
  const hostKey = await generateKey(home.path, "host");
  const userKey = await generateKey(home.path, "user");
  const port = await freePort();
  const configuration = {
    ListenAddress: `127.0.0.1:${port}`,
    HostKey: hostKey.file,
    PidFile: "none",
    AuthorizedKeysFile: `${userKey.file}.pub`,
    StrictModes: "no",
    PermitRootLogin: "prohibit-password",
    PasswordAuthentication: "no",
    KbdInteractiveAuthentication: "no",
    UsePAM: "no",
    PrintMotd: "no",
    PrintLastLog: "no",
    UseDNS: "no",
    X11Forwarding: "no",
    AcceptEnv: "LC_* LANG",
    Subsystem: "sftp /usr/lib/openssh/sftp-server",
    MaxStartups: "1000",
    ...settings,
  };
  const file = join(home.path, "sshd_config");
  await writeFile(
    file,
    Object.entries(configuration)
      .map(([name, value]) => `${name} ${value}\n`)
      .join(""),
  );
  const sshd = start("/usr/sbin/sshd", ["-D", "-e", "-f", file]);
  sshd.stdout.resume();
  const log = transcriptOf(sshd.stderr);
  await log.waitFor("Server listening on");
  return {
    pid: sshd.pid,
    hostKey,
    userKey,
    log,
    target: {
      host: "127.0.0.1",
      port,
      username,
      identityFile: userKey.file,
      hostKeys: [hostKey.publicKey],
    },
    [Symbol.asyncDispose]: async () => {
      await sshd[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
};
