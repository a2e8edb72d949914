/** What the tests of Kerberos logins share: a daemon that asks a KDC, and clients with tickets. */
import { readFile } from "node:fs/promises";
import { onTestFinished } from "vitest";
import { type Result, run } from "../support/command.ts";
import { type Configuration, type Daemon, startDaemon } from "../support/daemon.ts";
import type { Kdc, Tickets } from "../support/kdc.ts";
import { processTree } from "../support/resources.ts";
import { SshClient, type SshOptions, type SshTarget } from "../support/ssh.ts";

/** The section `auth` by which a KDC's users log in with tickets and passwords. */
export const kerberosAuth = (
  { keytab, configPath }: Pick<Kdc, "keytab" | "configPath">,
  options: Configuration = {},
): Configuration => {
  const kerberos = { keytab, configPath, ...options };
  return { password: { method: "kerberos", kerberos }, gssapi: { method: "kerberos", kerberos } };
};

export const kerberosDaemon = (auth: Configuration, more: Configuration = {}): Promise<Daemon> =>
  startDaemon({ config: { auth, backend: "process", ...more } });

/** For use inside a test, at whose end the daemon is stopped. */
export const daemonForTest = async (auth: Configuration, more: Configuration = {}): Promise<Daemon> => {
  const daemon = await kerberosDaemon(auth, more);
  onTestFinished(() => daemon[Symbol.asyncDispose]());
  return daemon;
};

/** Options of ssh for logins with tickets only. */
export const byTicket: SshOptions = {
  PreferredAuthentications: "gssapi-with-mic",
  GSSAPIAuthentication: "yes",
};

/** Runs a command over the real ssh; the server is called `localhost`, as its principal is. */
export const ssh = async (
  daemon: Daemon,
  login: Partial<SshTarget>,
  command: string,
  { tickets, options = {} }: { readonly tickets?: Tickets; readonly options?: SshOptions } = {},
) => {
  await using client = await SshClient.to(daemon.target({ host: "localhost", ...login }));
  return await client.run(command, {
    options: { ...(login.password === undefined ? byTicket : {}), ...options },
    ...(tickets === undefined ? {} : { env: { ...tickets } }),
  });
};

/** Where a daemon's library process keeps what has to go through a file. */
export const scratchOf = async (daemon: Daemon): Promise<string> => {
  const [, library] = await processTree(daemon.pid);
  const commandLine = await readFile(`/proc/${library}/cmdline`, "utf8");
  const scratch = commandLine.split("\0").find((argument) => argument.includes("berth-kerberos-"));
  if (scratch === undefined) throw new Error(`no scratch directory in ${commandLine}`);
  return scratch;
};

/** Logs in by gssapi-with-mic, with delegated credentials. */
const PARAMIKO = `
import os, sys, paramiko
host, port, username, command = sys.argv[1:]
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect(host, int(port), username, gss_auth=True, gss_deleg_creds=True, gss_host="localhost",
               look_for_keys=False, allow_agent=False, timeout=30)
stdin, stdout, stderr = client.exec_command(command)
sys.stdout.buffer.write(stdout.read())
sys.stderr.buffer.write(stderr.read())
sys.stdout.flush()
os._exit(stdout.channel.recv_exit_status())
`;

export const paramikoByTicket = (
  { host, port, username }: SshTarget,
  command: string,
  tickets: Tickets,
): Promise<Result> =>
  run("/usr/bin/python3", ["-c", PARAMIKO, host, String(port), username, command], { env: { ...tickets } });
