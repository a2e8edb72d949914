/** The built daemon as a process of its own, with a configuration given as an object and its log to wait in. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { type Ending, start } from "./command.ts";
import { generateKey, type Key } from "./keys.ts";
import { DaemonLog } from "./log.ts";
import { PATIENCE_SECONDS } from "./patience.ts";
import { freePort } from "./ports.ts";
import { directory, rssBytes } from "./resources.ts";
import { projectRoot } from "./root.ts";
import type { SshTarget } from "./ssh.ts";
import type { Transcript } from "./transcript.ts";

export interface DaemonOptions {
  /**
   * The configuration as a YAML file would hold it. What it leaves out of `ssh.listen`, `ssh.hostkeys` and `log` is
   * filled in: a free port of 127.0.0.1, an ed25519 key made for it, `debug` lines as JSON on standard output.
   */
  readonly config: Configuration;
  /** The port and the host key of a daemon that ran before, to start it again as clients know it. */
  readonly again?: Pick<Daemon, "port" | "hostKey">;
  /** More arguments. */
  readonly args?: ReadonlyArray<string>;
  readonly env?: Readonly<Record<string, string>>;
  /** The Node.js that runs it; this process's by default. */
  readonly node?: string;
  /** A shell command that runs before it, in a mount namespace of its own; needs root. */
  readonly beforehand?: string;
  /** In a session of its own, as a service is: the kernel then shares processor time by sessions (autogroup). */
  readonly ownSession?: boolean;
  /** What to wait for before the start counts as done; default is the log's `SSH_AVAILABLE`. */
  readonly ready?: (daemon: Daemon) => Promise<unknown>;
}

export type Configuration = Readonly<Record<string, unknown>>;

export interface Daemon extends AsyncDisposable {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  /** The host key that was made for it; not in use when the configuration brings others. */
  readonly hostKey: Key;
  readonly log: DaemonLog;
  /** Standard output that is no log line in JSON, and all of standard error. */
  readonly output: Transcript;
  /** Where an SSH client finds it; the username is `demo` unless another is given. */
  readonly target: (login?: Partial<SshTarget>) => SshTarget;
  readonly rssBytes: () => number;
  readonly signal: (name: NodeJS.Signals) => void;
  /** How it ended, once it did. */
  readonly ending: Promise<Ending>;
  /** SIGTERM, and how it ended. */
  readonly stop: () => Promise<Ending>;
  /** SIGKILL, as a crash of the machine would end it. */
  readonly kill9: () => Promise<Ending>;
}

/** The built command line, to start without the rest. */
export const ENTRY = join(projectRoot, "dist/src/main.js");

/** As `npm start`, `berth` and the image start it: young garbage costs up to 30 MB less. */
const SMALL_YOUNG_GENERATION = "--max-semi-space-size=4";

/** Starts the daemon and waits until it listens. Rejects with what it said when it ends before. */
export const startDaemon = async (options: DaemonOptions): Promise<Daemon> => {
  const home = await directory();
  const hostKey = options.again?.hostKey ?? (await generateKey(home.path, "host"));
  const port = await portFor(options);
  const file = join(home.path, "berth.yaml");
  await writeFile(file, stringify(complete(options.config, hostKey, port)), { mode: 0o600 });
  const node = [options.node ?? process.execPath, SMALL_YOUNG_GENERATION];
  const command = [...node, ENTRY, "--config", file, ...(options.args ?? [])];
  const [program = "", ...args] = [...surroundings(options.beforehand), ...command];
  const berth = start(program, args, { env: options.env ?? {}, ownSession: options.ownSession ?? false });
  berth.stdin.end();
  const log = new DaemonLog(berth.stdout, berth.stderr);
  const daemon: Daemon = {
    pid: berth.pid,
    host: "127.0.0.1",
    port,
    hostKey,
    log,
    output: log.other,
    target: (login = {}) => ({
      host: "127.0.0.1",
      port,
      username: "demo",
      ...(section(options.config, "ssh").hostkeys === undefined ? { hostKeys: [hostKey.publicKey] } : {}),
      ...login,
    }),
    rssBytes: () => rssBytes(berth.pid),
    signal: berth.kill,
    ending: berth.ending,
    stop: () => {
      berth.kill("SIGTERM");
      return berth.ending;
    },
    kill9: () => {
      berth.kill("SIGKILL");
      return berth.ending;
    },
    [Symbol.asyncDispose]: async () => {
      // What the daemon started for connections is its own to clean up; only a hung one is killed.
      berth.kill("SIGTERM");
      const drained = setTimeout(() => berth.kill("SIGTERM"), 10_000);
      const hung = setTimeout(() => berth.kill("SIGKILL"), PATIENCE_SECONDS * 1000);
      await berth.ending;
      clearTimeout(drained);
      clearTimeout(hung);
      await home[Symbol.asyncDispose]();
    },
  };
  try {
    await (options.ready ?? ((started) => started.log.next("SSH_AVAILABLE")))(daemon);
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
  return daemon;
};

const surroundings = (beforehand: string | undefined): readonly string[] =>
  beforehand === undefined ? [] : ["unshare", "--mount", "sh", "-c", `${beforehand} && exec "$@"`, "sh"];

const complete = (config: Configuration, hostKey: Key, port: number): Configuration => ({
  ...config,
  ssh: { hostkeys: [hostKey.privateKey], ...section(config, "ssh"), listen: `127.0.0.1:${port}` },
  log: { level: "debug", format: "ljson", ...section(config, "log") },
});

const section = (config: Configuration, name: string): Configuration => (config[name] ?? {}) as Configuration;

const portFor = async ({ config, again }: DaemonOptions): Promise<number> => {
  const { listen } = section(config, "ssh");
  const match = /:(\d+)$/.exec(typeof listen === "string" ? listen : "");
  return match === null ? (again?.port ?? (await freePort())) : Number(match[1]);
};
