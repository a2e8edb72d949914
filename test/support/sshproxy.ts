/** Berth with the backend `sshproxy` in front of servers that tests start. */
import { type Configuration, type Daemon, startDaemon } from "./daemon.ts";
import { generateKey, type Key } from "./keys.ts";
import { directory } from "./resources.ts";
import type { SshTarget } from "./ssh.ts";
import { type Sshd, startSshd } from "./sshd.ts";
import { usersAuth } from "./users.ts";

export interface BerthAsProxy extends AsyncDisposable {
  readonly daemon: Daemon;
  /** Logs in to the proxy with a key. */
  readonly target: SshTarget;
  readonly userKey: Key;
}

/** The options of `sshproxy` that lead to an sshd. */
export const hopTo = ({ target, hostKey }: Sshd): Configuration => ({
  server: target.host,
  port: target.port,
  username: target.username,
  privateKey: target.identityFile,
  allowedHostKeyFingerprints: [hostKey.fingerprint],
});

/** Starts Berth with these options of `sshproxy`, and sections besides it. */
export const startProxy = async (
  sshproxy: Configuration,
  sections: Configuration = {},
): Promise<BerthAsProxy> => {
  const home = await directory();
  const userKey = await generateKey(home.path, "user");
  const daemon = await startDaemon({
    config: {
      auth: await usersAuth({ name: "demo", keys: [userKey.publicKey] }),
      backend: "sshproxy",
      sshproxy,
      ...sections,
    },
  });
  return {
    daemon,
    userKey,
    target: daemon.target({ identityFile: userKey.file }),
    [Symbol.asyncDispose]: async () => {
      await daemon[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
};

/** Debian's sshd, and Berth in front of it. */
export const startProxiedSshd = async (
  settings: Readonly<Record<string, string>> = {},
  sections: Configuration = {},
): Promise<{ readonly sshd: Sshd; readonly proxy: BerthAsProxy } & AsyncDisposable> => {
  const sshd = await startSshd(settings);
  const proxy = await startProxy(hopTo(sshd), sections);
  return {
    sshd,
    proxy,
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]();
      await sshd[Symbol.asyncDispose]();
    },
  };
};
