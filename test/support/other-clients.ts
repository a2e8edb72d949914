/** SSH clients of other families than OpenSSH: paramiko (Python), PuTTY's plink, dropbear's dbclient. */
import { join } from "node:path";
import { type CommandOptions, must, type Result, run } from "./command.ts";
import { directory } from "./resources.ts";
import { inTerminal, type SshTarget, type TerminalSession } from "./ssh.ts";

/** Logs in, runs a command to its end and tells what it printed. */
export type OtherClient = (target: SshTarget, command: string, options?: CommandOptions) => Promise<Result>;

/** Prints what the command printed and ends as it ended; 255 when there was no exit status. */
const PARAMIKO = `
import base64, os, sys, paramiko
host, port, username, key, host_keys, command = sys.argv[1:]
client = paramiko.SSHClient()
for line in host_keys.splitlines():
    kind, data = line.split()[:2]
    known = {"ssh-ed25519": paramiko.Ed25519Key, "ssh-rsa": paramiko.RSAKey}.get(kind, paramiko.ECDSAKey)
    client.get_host_keys().add("[%s]:%s" % (host, port), kind, known(data=base64.b64decode(data)))
if not host_keys:
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect(host, int(port), username, password=os.environ.get("ANSWER") or None, key_filename=key or None,
               look_for_keys=False, allow_agent=False, timeout=30)
stdin, stdout, stderr = client.exec_command(command)
stdin.write(sys.stdin.buffer.read())
stdin.flush()
stdin.channel.shutdown_write()
sys.stdout.buffer.write(stdout.read())
sys.stderr.buffer.write(stderr.read())
sys.stdout.flush()
status = stdout.channel.recv_exit_status()
client.close()
os._exit(status if status >= 0 else 255)
`;

export const paramiko: OtherClient = (target, command, options = {}) => {
  const { host, port, username, password = "", identityFile = "", hostKeys = [] } = target;
  const args = ["-c", PARAMIKO, host, String(port), username, identityFile, hostKeys.join("\n"), command];
  // Debian's own Python: only it has Debian's paramiko.
  return run("/usr/bin/python3", args, { ...options, env: { ...options.env, ANSWER: password } });
};

/** With `-v`, its standard error tells what the protocol did. */
export const plink: OtherClient = async (target, command, options = {}) => {
  await using home = await directory();
  const { host, password, identityFile } = target;
  const key = join(home.path, "key.ppk");
  if (identityFile !== undefined) await must("puttygen", [identityFile, "-O", "private", "-o", key]);
  const args = [
    ...["-batch", "-v", ...(await plinkLogin(target))],
    ...(identityFile === undefined ? [] : ["-i", key]),
    ...(password === undefined ? [] : ["-pw", password]),
    ...[host, command],
  ];
  return await run("plink", args, { ...options, env: { ...options.env, HOME: home.path } });
};

/** In a terminal, where a person answers its prompts. */
export const plinkInTerminal = async (target: SshTarget, command: string): Promise<TerminalSession> => {
  const home = await directory();
  const args = [...(await plinkLogin(target)), target.host, command];
  const terminal = inTerminal("plink", args, { env: { HOME: home.path } });
  return {
    ...terminal,
    [Symbol.asyncDispose]: async () => {
      await terminal[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
};

const plinkLogin = async (target: SshTarget): Promise<readonly string[]> => {
  const fingerprints = await Promise.all((target.hostKeys ?? [await scanned(target)]).map(fingerprint));
  return [
    ...["-ssh", "-noagent", "-P", String(target.port), "-l", target.username],
    ...fingerprints.flatMap((each) => ["-hostkey", each]),
  ];
};

export const dbclient: OtherClient = async (target, command, options = {}) => {
  await using home = await directory();
  const { host, port, username, password, identityFile } = target;
  const key = join(home.path, "key");
  if (identityFile !== undefined) {
    await must("dropbearconvert", ["openssh", "dropbear", identityFile, key]);
  }
  const args = [
    "-y",
    "-y",
    "-p",
    String(port),
    "-l",
    username,
    ...(identityFile === undefined ? [] : ["-i", key]),
  ];
  const env = {
    ...options.env,
    HOME: home.path,
    ...(password === undefined ? {} : { DROPBEAR_PASSWORD: password }),
  };
  return await run("dbclient", [...args, host, command], { ...options, env });
};

const fingerprint = async (publicKey: string): Promise<string> => {
  const { stdout } = await must("ssh-keygen", ["-l", "-f", "-"], { stdin: `${publicKey}\n` });
  return stdout.split(" ")[1] ?? "";
};

const scanned = async ({ host, port }: SshTarget): Promise<string> => {
  const { stdout } = await must("ssh-keyscan", ["-t", "ed25519", "-p", String(port), host]);
  return stdout.trim().split(" ").slice(1).join(" ");
};
