/** Berth and sshd side by side on loopback, logged in to by the same key, running the same shell as the same user. */
import { userInfo } from "node:os";
import { join } from "node:path";
import { type Configuration, startDaemon } from "../test/support/daemon.ts";
import { generateKey } from "../test/support/keys.ts";
import { directory } from "../test/support/resources.ts";
import { SshClient, type SshTarget } from "../test/support/ssh.ts";
import { startSshd } from "../test/support/sshd.ts";
import type { Pair, Settings } from "./measure.ts";

export interface Server extends AsyncDisposable {
  readonly pid: number;
  readonly target: SshTarget;
  readonly client: SshClient;
}

/** Both servers, each with a client; disposing ends them. */
export const startServers = async (settings: Settings): Promise<Pair<Server> & AsyncDisposable> => {
  const reference = await startReference();
  const ours = await (settings.noise ? startReference() : startBerth());
  return {
    ours,
    reference,
    [Symbol.asyncDispose]: async () => {
      await ours[Symbol.asyncDispose]();
      await reference[Symbol.asyncDispose]();
    },
  };
};

const startReference = async (): Promise<Server> => {
  const sshd = await startSshd();
  return server(sshd.pid, sshd.target, () => sshd[Symbol.asyncDispose]());
};

/** The backend is `process` without isolation, for sshd has none either. `more` are further sections. */
export const startBerth = async (more: Configuration = {}): Promise<Server> => {
  const home = await directory();
  const key = await generateKey(home.path, "user");
  const { username, homedir, shell } = userInfo();
  const daemon = await startDaemon({
    // sshd gives each connection one.
    ownSession: true,
    config: {
      log: { level: "info" },
      auth: {
        publicKey: { method: "users" },
        users: [{ name: username, authorizedKeys: [key.publicKey] }],
      },
      backend: "process",
      process: { isolation: "none", home: homedir, shell: shell ?? "/bin/sh" },
      ...more,
    },
  });
  return server(daemon.pid, daemon.target({ username, identityFile: join(home.path, "user") }), async () => {
    await daemon[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });
};

const server = async (pid: number, target: SshTarget, stop: () => Promise<void>): Promise<Server> => {
  const client = await SshClient.to(target);
  return {
    pid,
    target,
    client,
    [Symbol.asyncDispose]: async () => {
      await client[Symbol.asyncDispose]();
      await stop();
    },
  };
};
