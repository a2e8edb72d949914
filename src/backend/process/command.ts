/** What is run for a shell, a command or a subsystem (RFC 4254 section 6.5). */
import { basename } from "node:path";
import { Effect } from "effect";
import type { Program } from "../../../machines/facts.ts";
import type { Failure } from "../../failure.ts";
import { isExecutable } from "./executables.ts";
import { CommandUnusable, SftpServerMissing, StartFailed, SubsystemUnknown } from "./failures.ts";

export type Command = readonly [file: string, ...args: string[]];

/** Shells that read the files of a login when they are told so. sshd tells all others by a hyphen in their name. */
const loginShells: ReadonlySet<string> = new Set(
  "ash bash csh dash fish ksh ksh93 mksh rbash sh tcsh yash zsh".split(" "),
);

/** Where Debian, Alpine and Arch, Fedora, and FreeBSD keep OpenSSH's sftp-server. Debian's is the configuration's default. */
const [DEBIAN_SFTP_SERVER, ...otherSftpServers] = [
  "/usr/lib/openssh/sftp-server",
  "/usr/lib/ssh/sftp-server",
  "/usr/libexec/openssh/sftp-server",
  "/usr/libexec/sftp-server",
] as const;

export const commandOf = (
  program: Program,
  shell: string,
  subsystems: Readonly<Record<string, string>>,
): Effect.Effect<Command, Failure> => {
  switch (program.kind) {
    case "shell":
      return Effect.succeed(loginShells.has(basename(shell)) ? [shell, "-l"] : [shell]);
    case "exec":
      return program.command.includes("\0")
        ? Effect.fail(new CommandUnusable({ message: "The command contains a NUL character" }))
        : Effect.succeed([shell, "-c", program.command]);
    case "subsystem":
      return subsystemCommand(
        program.name,
        Object.hasOwn(subsystems, program.name) ? subsystems[program.name] : undefined,
      );
  }
};

const subsystemCommand = (name: string, path: string | undefined): Effect.Effect<Command, Failure> =>
  Effect.gen(function* () {
    if (path === undefined || path === "") {
      return yield* Effect.fail(
        new SubsystemUnknown({
          message: "The client asked for a subsystem that process.subsystems does not name",
          details: { subsystem: name },
        }),
      );
    }
    const candidates = path === DEBIAN_SFTP_SERVER ? [path, ...otherSftpServers] : [path];
    for (const candidate of candidates) {
      if (yield* Effect.promise(() => isExecutable(candidate))) return [candidate];
    }
    return yield* Effect.fail(
      name === "sftp"
        ? new SftpServerMissing({
            message:
              "There is no SFTP server on this host; Debian's package openssh-sftp-server and Fedora's openssh-server " +
              "have one, and process.subsystems names another",
            details: { tried: candidates.join(", ") },
          })
        : new StartFailed({
            message: "The program of a subsystem does not exist or cannot be executed",
            details: { subsystem: name, program: path },
          }),
    );
  });
