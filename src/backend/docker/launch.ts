/**
 * How a program is started and signalled inside a container: by the guest agent where the image has it, otherwise by
 * the image's own shell, otherwise directly and without signals. (The agent's usage: github.com/ContainerSSH/agent.)
 */
import type { Tooling } from "../../../machines/docker-facts.ts";
import type { Program, Terminal } from "../../../machines/facts.ts";
import type { DockerExecution } from "../../config/sections/docker.ts";
import { sttyModes } from "../process/modes.ts";
import type { PreamblePart } from "./preamble.ts";

export type Launcher = "agent" | "shell" | "none";

export interface Launch {
  readonly command: readonly string[];
  /** What it says before the program does. */
  readonly preamble: readonly PreamblePart[];
}

/** Lets a launcher go on that waits for the terminal to get its size. */
export const GO_ON = Buffer.from("\n");

export const launcherOf = (tooling: Tooling, { disableAgent }: DockerExecution): Launcher => {
  if (tooling.agent && !disableAgent) return "agent";
  return tooling.shell ? "shell" : "none";
};

export interface LaunchRequest {
  readonly launcher: Launcher;
  /** Whether there is `/bin/sh` beside the launcher. */
  readonly shell: boolean;
  readonly program: readonly string[];
  readonly agentPath: string;
  /** The program starts only once `GO_ON` was sent. */
  readonly waits: boolean;
  /** Modes for its terminal (RFC 4254 section 8); without a shell there is nothing that could set them. */
  readonly modes: Terminal["modes"];
}

export const launch = ({ launcher, shell, program, agentPath, waits, modes }: LaunchRequest): Launch => {
  const setModes = settingModes(modes);
  switch (launcher) {
    case "agent": {
      const inModes = setModes === "" || !shell ? program : byShell(`${setModes}exec "$@"`, program);
      return {
        command: [agentPath, "console", "--pid", ...(waits ? ["--wait"] : []), "--", ...inModes],
        preamble: waits ? ["echo", "binary"] : ["binary"],
      };
    }
    case "shell":
      return {
        command: byShell(
          `echo "$$"; ${waits ? "read -r berth; unset berth; " : ""}${setModes}exec "$@"`,
          program,
        ),
        preamble: waits ? ["line", "echo"] : ["line"],
      };
    case "none":
      return { command: program, preamble: [] };
  }
};

const byShell = (script: string, program: readonly string[]): readonly string[] => [
  "/bin/sh",
  "-c",
  script,
  "sh",
  ...program,
];

/** stty(1) sets everything or nothing: one mode that an old one does not know must not cost the others. */
const settingModes = (modes: Terminal["modes"]): string => {
  const groups = sttyModes(modes).map((words) => words.map(quoted).join(" "));
  if (groups.length === 0) return "";
  const oneByOne = groups.map((group) => `stty ${group}`).join("; ");
  return `{ stty ${groups.join(" ")} || { ${oneByOne}; }; } 2>/dev/null; `;
};

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** Signals the program, and with a shell its whole process group, as sshd does; undefined when there is no way. */
export const signalling = (
  launcher: Launcher,
  pid: number,
  signal: string,
  { agentPath }: DockerExecution,
): readonly string[] | undefined => {
  switch (launcher) {
    case "agent":
      return [agentPath, "signal", "--pid", String(pid), "--signal", signal];
    case "shell":
      return [
        "/bin/sh",
        "-c",
        // `kill -s TERM -- -8` signals the group in busybox, too, but is an error there.
        'kill "-$1" "-$2" 2>/dev/null || kill -s "$1" "$2"',
        "sh",
        signal,
        String(pid),
      ];
    case "none":
      return undefined;
  }
};

/** Waits for the signal that a container is stopped with, when the image has no agent to do it. */
export const IDLE_BY_SHELL: readonly string[] = [
  "/bin/sh",
  "-c",
  'trap "exit 0" INT TERM; while :; do sleep 3600 & wait $!; done',
];

/** Writes standard input to a file that only its owner can read; undefined when there is no way. */
export const writing = (
  launcher: Launcher,
  path: string,
  agentPath: string,
): readonly string[] | undefined => {
  switch (launcher) {
    case "agent":
      return [agentPath, "write-file", path];
    case "shell":
      return [
        "/bin/sh",
        "-c",
        'umask 077; mkdir -p "$(dirname "$1")" && rm -f "$1" && cat > "$1"',
        "sh",
        path,
      ];
    case "none":
      return undefined;
  }
};

/** A path and words that a shell would leave as they are. */
const PLAIN_COMMAND = /^\.{0,2}\/[\w@%+=:,./-]*(?: +[\w@%+=:,./-]+)*$/;

/**
 * The command line of what the client asked for; undefined for a subsystem that is not configured. Commands are the
 * shell's to read, unless there is nothing to read in them: those run in an image without a shell too.
 */
export const commandOf = (
  program: Program,
  { shellCommand, subsystems }: DockerExecution,
): readonly string[] | undefined => {
  switch (program.kind) {
    case "shell":
      return shellCommand;
    case "exec":
      return PLAIN_COMMAND.test(program.command)
        ? program.command.split(/ +/)
        : ["/bin/sh", "-c", program.command];
    case "subsystem": {
      const path = Object.hasOwn(subsystems, program.name) ? subsystems[program.name] : undefined;
      return path === undefined ? undefined : [path];
    }
  }
};
