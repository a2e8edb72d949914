/**
 * The real OpenSSH client and its companions (sftp, scp, rsync), each with a configuration, known hosts and a way
 * to answer password prompts of its own: nothing of the machine's `~/.ssh` or agent takes part.
 */
import { readFile, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { type IPty, spawn as spawnPty } from "@lydell/node-pty";
import { type CommandOptions, type Ending, must, type Result, type Running, run, start } from "./command.ts";
import { PATIENCE_SECONDS } from "./patience.ts";
import { directory } from "./resources.ts";
import { Transcript, within } from "./transcript.ts";

/** An SSH server and who logs in there. */
export interface SshTarget {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  /** Answer to a password or keyboard-interactive prompt; without one such methods are not tried. */
  readonly password?: string;
  /** Path of a private key. */
  readonly identityFile?: string;
  /** The server's public keys, `ssh-ed25519 AAAA…`; the client insists on them. Any key is accepted without. */
  readonly hostKeys?: ReadonlyArray<string>;
  /** Options of ssh_config(5) for every command. */
  readonly options?: SshOptions;
  /** The server through which this one is reached (`-J`). */
  readonly jump?: SshTarget;
}

export type SshOptions = Readonly<Record<string, string>>;

export interface SshRun extends CommandOptions {
  /** Options of ssh_config(5) for this command. */
  readonly options?: SshOptions;
  /** Asks for a terminal (`-tt`) although there is none here. */
  readonly terminal?: boolean;
}

export interface TerminalOptions {
  readonly options?: SshOptions;
  readonly columns?: number;
  readonly rows?: number;
  /** The client's `$TERM`; default `xterm-256color`. */
  readonly term?: string;
  /** Whether prompts are shown in the terminal, to be answered by hand; default is that they are answered unseen. */
  readonly prompts?: boolean;
}

/** An interactive session in a terminal of our own, as a person has it. */
export interface TerminalSession {
  readonly pid: number;
  readonly output: Transcript;
  readonly write: (text: string) => void;
  /** Waits for text after the last text waited for. */
  readonly waitFor: Transcript["waitFor"];
  readonly resize: (columns: number, rows: number) => void;
  /** How the client ended. */
  readonly ending: Promise<Ending>;
  readonly kill: (signal?: NodeJS.Signals) => void;
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

/** Where a transfer comes from or goes to; a path that begins with `:` is the server's. */
export type TransferPath = string;

const ALIAS = "target";
const JUMP_ALIAS = "jump";

export class SshClient implements AsyncDisposable {
  readonly #directory: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #release: () => Promise<void>;
  readonly #options: ReadonlyArray<string>;

  private constructor(
    path: string,
    env: Readonly<Record<string, string>>,
    options: ReadonlyArray<string>,
    release: () => Promise<void>,
  ) {
    this.#directory = path;
    this.#env = env;
    this.#options = options;
    this.#release = release;
  }

  static async to(target: SshTarget): Promise<SshClient> {
    const home = await directory();
    const askpass = join(home.path, "askpass");
    await writeFile(join(home.path, "config"), configFor(target, home.path));
    await writeFile(join(home.path, "known_hosts"), knownHosts(target));
    await writeFile(join(home.path, "prompts"), "");
    await writeFile(askpass, '#!/bin/sh\nprintf "%s\\0" "$1" >>"$ASKED"\nprintf "%s\\n" "$ANSWER"\n', {
      mode: 0o700,
    });
    const env = {
      SSH_ASKPASS: askpass,
      SSH_ASKPASS_REQUIRE: "force",
      SSH_AUTH_SOCK: "",
      ASKED: join(home.path, "prompts"),
      ANSWER: target.password ?? "",
    };
    return new SshClient(home.path, env, [], () => home[Symbol.asyncDispose]());
  }

  /** Runs a command to its end, or a shell without terminal when there is none. */
  run(command: string | undefined, options: SshRun = {}): Promise<Result> {
    return run("ssh", this.#args(command, options), this.#with(options));
  }

  /** Asks for a subsystem (`-s`). */
  subsystem(name: string, options: SshRun = {}): Promise<Result> {
    return run("ssh", ["-s", ...this.#args(name, options)], this.#with(options));
  }

  /** Starts a command and leaves its streams to the caller. */
  start(command: string | undefined, options: SshRun = {}): Running {
    return start("ssh", this.#args(command, options), this.#with(options));
  }

  /** A shell, or a command, in a terminal. */
  terminal(command?: string, options: TerminalOptions = {}): TerminalSession {
    const { prompts = false, ...terminal } = options;
    return inTerminal("ssh", [...(command === undefined ? [] : ["-t"]), ...this.#args(command, options)], {
      ...terminal,
      env: { ...this.#env, ...(prompts ? { SSH_ASKPASS_REQUIRE: "never" } : {}) },
    });
  }

  /** Runs lines of sftp(1) commands as a batch, which ends at the first that fails. */
  sftp(commands: ReadonlyArray<string>, options: CommandOptions = {}): Promise<Result> {
    const args = ["-F", this.#config, "-o", "BatchMode=no", ...this.#options, "-b", "-", ALIAS];
    return run("sftp", args, { ...this.#with(options), stdin: `${commands.join("\n")}\n` });
  }

  /** Copies with scp(1): over SFTP, or with `legacy` by the old protocol (`-O`). */
  scp(
    from: TransferPath,
    to: TransferPath,
    options: CommandOptions & { readonly legacy?: boolean } = {},
  ): Promise<Result> {
    const args = ["-F", this.#config, ...this.#options, "-r", "-p", options.legacy ? "-O" : "-s"];
    return run("scp", [...args, remote(from), remote(to)], this.#with(options));
  }

  rsync(from: TransferPath, to: TransferPath, options: CommandOptions = {}): Promise<Result> {
    const shell = ["ssh", "-F", this.#config, ...this.#options].join(" ");
    return run("rsync", ["-a", "--checksum", "-e", shell, remote(from), remote(to)], this.#with(options));
  }

  /** The same client over one connection that stays open until this is disposed of (ControlMaster). */
  async multiplexed(): Promise<SshClient & { readonly masterPid: number }> {
    const socket = join(this.#directory, `control-${Math.random().toString(36).slice(2, 8)}`);
    const options = [...this.#options, "-o", `ControlPath=${socket}`];
    // `-f` ends once the connection is made and leaves the master behind; its streams must not be ours.
    const master = ["-F", this.#config, ...options, "-o", "ControlMaster=yes", "-N", "-f", ALIAS];
    await must(
      "sh",
      ["-c", 'log=$1; shift; exec "$@" >"$log" 2>&1', "-", `${socket}.log`, "ssh", ...master],
      {
        env: this.#env,
      },
    ).catch(async (error: Error) => {
      throw new Error(`${error.message} ${await readFile(`${socket}.log`, "utf8")}`);
    });
    const check = await must("ssh", ["-F", this.#config, ...options, "-O", "check", ALIAS]);
    const masterPid = Number(/pid=(\d+)/.exec(check.stderr)?.[1]);
    const release = async () => {
      await run("ssh", ["-F", this.#config, ...options, "-O", "exit", ALIAS]);
    };
    return Object.assign(new SshClient(this.#directory, this.#env, options, release), { masterPid });
  }

  /** The start of a shell's command line that runs ssh, which needs `surroundings`; the command is to follow. */
  commandLine(options: SshOptions = {}): string {
    return ["ssh", ...this.#args(undefined, { options })].join(" ");
  }

  /** The environment in which ssh answers prompts by itself. */
  get surroundings(): { readonly env: Readonly<Record<string, string>> } {
    return { env: this.#env };
  }

  /** The prompts that were answered so far. */
  async prompts(): Promise<ReadonlyArray<string>> {
    const text = await readFile(join(this.#directory, "prompts"), "utf8");
    return text.split("\0").slice(0, -1);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#release();
  }

  get #config(): string {
    return join(this.#directory, "config");
  }

  #args(command: string | undefined, { options = {}, terminal = false }: SshRun): ReadonlyArray<string> {
    return [
      ...["-F", this.#config, ...this.#options],
      ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
      ...(terminal ? ["-tt"] : []),
      ALIAS,
      ...(command === undefined ? [] : [command]),
    ];
  }

  #with<O extends CommandOptions>(options: O): O {
    return { ...options, env: { ...this.#env, ...options.env } };
  }
}

/** Runs a client in a terminal. */
export const inTerminal = (
  file: string,
  args: ReadonlyArray<string>,
  options: Pick<TerminalOptions, "columns" | "rows" | "term"> & Pick<CommandOptions, "env"> = {},
): TerminalSession => {
  const { columns = 80, rows = 24, term = "xterm-256color", env } = options;
  return terminalSession(
    spawnPty(file, [...args], { name: term, cols: columns, rows, env: { ...process.env, ...env } }),
  );
};

const remote = (path: TransferPath): string => (path.startsWith(":") ? `${ALIAS}${path}` : path);

const configFor = (target: SshTarget, home: string): string =>
  target.jump === undefined
    ? hostConfig(ALIAS, target, home)
    : hostConfig(ALIAS, { ...target, options: { ...target.options, ProxyJump: JUMP_ALIAS } }, home) +
      hostConfig(JUMP_ALIAS, target.jump, home);

const hostConfig = (alias: string, target: SshTarget, home: string): string => {
  const methods = [
    ...(target.identityFile === undefined ? [] : ["publickey"]),
    ...(target.password === undefined ? [] : ["keyboard-interactive", "password"]),
  ];
  // ssh_config takes the first value it finds: what the caller says comes first.
  const settings: ReadonlyArray<readonly [string, string]> = [
    ...Object.entries(target.options ?? {}),
    ["HostName", target.host],
    ["Port", String(target.port)],
    ["User", target.username],
    ["UserKnownHostsFile", `${home}/known_hosts`],
    ["GlobalKnownHostsFile", "/dev/null"],
    ["StrictHostKeyChecking", target.hostKeys === undefined ? "accept-new" : "yes"],
    ["UpdateHostKeys", "no"],
    ["PreferredAuthentications", methods.length === 0 ? "none" : methods.join(",")],
    ["IdentitiesOnly", "yes"],
    ["IdentityAgent", "none"],
    ["IdentityFile", target.identityFile ?? "none"],
    ["NumberOfPasswordPrompts", "1"],
    ["ConnectTimeout", String(PATIENCE_SECONDS)],
    ["ControlPath", "none"],
  ];
  return `Host ${alias}\n${settings.map(([name, value]) => `  ${name} ${value}\n`).join("")}`;
};

const knownHosts = ({ host, port, hostKeys = [], jump }: SshTarget): string =>
  hostKeys.map((key) => `${port === 22 ? host : `[${host}]:${port}`} ${key}\n`).join("") +
  (jump === undefined ? "" : knownHosts(jump));

const terminalSession = (pty: IPty): TerminalSession => {
  const output = new Transcript();
  let ended = false;
  const ending = new Promise<Ending>((resolve) => {
    pty.onExit(({ exitCode, signal }) => {
      ended = true;
      output.end();
      resolve({ code: signal ? null : exitCode, signal: signal ? signalName(signal) : null });
    });
  });
  pty.onData((text) => output.append(text));
  const kill = (signal: NodeJS.Signals = "SIGTERM") => {
    if (!ended) pty.kill(signal);
  };
  return {
    pid: pty.pid,
    output,
    write: (text) => pty.write(text),
    waitFor: (wanted, withinSeconds) => output.waitFor(wanted, withinSeconds),
    resize: (columns, rows) => pty.resize(columns, rows),
    ending,
    kill,
    [Symbol.asyncDispose]: async () => {
      kill("SIGKILL");
      await within(PATIENCE_SECONDS, ending, () => "a killed ssh did not end");
    },
  };
};

const signalName = (number: number): NodeJS.Signals => {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  if (found === undefined) throw new Error(`no signal has the number ${number}`);
  return found[0] as NodeJS.Signals;
};
