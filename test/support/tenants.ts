/** One Berth for many users, each with what the configuration server says about them: starting one for each costs more. */
import { type Configuration, type Daemon, startDaemon } from "./daemon.ts";
import { generateKey } from "./keys.ts";
import { type LinePattern, type LogLine, matches } from "./log.ts";
import { directory } from "./resources.ts";
import type { SshTarget } from "./ssh.ts";
import { answer, openWebhookServer } from "./webhook-server.ts";

export interface Tenant {
  readonly target: SshTarget;
  /** The next line about this user's connections, as `DaemonLog.next` gives it. */
  readonly next: (code: string, pattern?: LinePattern) => Promise<LogLine>;
  /** Every line so far about them. */
  readonly lines: () => readonly LogLine[];
}

export interface Tenants extends AsyncDisposable {
  readonly daemon: Daemon;
  /** Somebody new, with this answer of the configuration server. */
  readonly tenant: (config: Configuration) => Tenant;
}

/** Starts Berth with these sections besides logins and the configuration server; its host key is not checked. */
export const startTenants = async (sections: Configuration): Promise<Tenants> => {
  const home = await directory();
  const key = await generateKey(home.path, "user");
  const configurations = new Map<string, Configuration>();
  const webhooks = await openWebhookServer((response, asked, count) => {
    const { username } = asked.body as { readonly username: string };
    const body =
      asked.path === "/pubkey" ? { success: true } : { config: configurations.get(username) ?? {} };
    answer(body)(response, asked, count);
  });
  const daemon = await startDaemon({
    config: {
      auth: { publicKey: { method: "webhook", webhook: { url: webhooks.url } } },
      configserver: { url: `${webhooks.url}/config` },
      ...sections,
    },
  });
  let count = 0;
  const tenant = (config: Configuration): Tenant => {
    const username = `user${++count}`;
    configurations.set(username, config);
    const connections = new Set<unknown>();
    const isTheirs = ({ details }: LogLine): boolean => {
      if (details.username === username) connections.add(details.connectionId);
      return connections.has(details.connectionId);
    };
    const lines = () => daemon.log.lines.filter(isTheirs);
    return {
      target: daemon.target({ username, identityFile: key.file }),
      next: (code, pattern = {}) =>
        daemon.log.next(code, (line) => {
          lines();
          return isTheirs(line) && matches(line, pattern);
        }),
      lines,
    };
  };
  return {
    daemon,
    tenant,
    [Symbol.asyncDispose]: async () => {
      await daemon[Symbol.asyncDispose]();
      await webhooks[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
};
