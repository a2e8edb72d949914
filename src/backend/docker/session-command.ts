/**
 * What the container of a session starts: the client's program as its command, as the reference does it. A program
 * with a terminal is started by a shell where the image has one, which sets the terminal's modes and waits for its
 * size on Engines that take none at the start.
 */
import { Effect } from "effect";
import type { LocalImage, Tooling } from "../../../machines/docker-facts.ts";
import type { Program } from "../../../machines/facts.ts";
import type { DockerExecution } from "../../config/sections/docker.ts";
import type { ProgramRequest } from "../backend.ts";
import type { OwnCommand } from "./creation.ts";
import { SubsystemMissing } from "./failures.ts";
import { commandOf, type Launcher, launch, launcherOf } from "./launch.ts";
import type { PreamblePart } from "./preamble.ts";

export interface SessionSurroundings {
  readonly execution: DockerExecution;
  readonly image: LocalImage;
  readonly tooling: Tooling;
}

export interface SessionCommand {
  readonly launcher: Launcher;
  readonly own: OwnCommand;
  /** What the launcher says before the program does. */
  readonly preamble: readonly PreamblePart[];
}

/** `waits`: the program has to wait for the size of its terminal. */
export const sessionCommand = (
  surroundings: SessionSurroundings,
  { program, terminal }: ProgramRequest,
  waits: boolean,
): Effect.Effect<SessionCommand, SubsystemMissing> =>
  Effect.map(commandFor(surroundings, program), (command) => {
    const { execution, tooling } = surroundings;
    const words = allWords(surroundings, command);
    const launcher = tooling.shell ? "shell" : launcherOf(tooling, execution);
    if (terminal === undefined || words.length === 0 || launcher === "none") {
      return { launcher: "none", own: command === undefined ? {} : { Cmd: command }, preamble: [] };
    }
    const launched = launch({
      launcher,
      shell: tooling.shell,
      program: words,
      agentPath: execution.agentPath,
      waits,
      modes: terminal.modes,
    });
    return { launcher, own: { Entrypoint: launched.command, Cmd: [] }, preamble: launched.preamble };
  });

/** A shell is the image's or the configuration's own command; `undefined` leaves that to the Engine. */
const commandFor = (
  { execution }: SessionSurroundings,
  program: Program,
): Effect.Effect<readonly string[] | undefined, SubsystemMissing> => {
  const configured = execution.container.Cmd ?? [];
  if (program.kind === "shell" && configured.length > 0) return Effect.succeed(configured);
  const command = commandOf(program, execution);
  if (command === undefined) {
    const subsystem = program.kind === "subsystem" ? program.name : "";
    return Effect.fail(
      new SubsystemMissing({ message: "The subsystem is not configured", details: { subsystem } }),
    );
  }
  return Effect.succeed(command.length === 0 ? undefined : command);
};

/** What the Engine would start: a configured entry point takes the image's command along with the image's own. */
const allWords = (
  { execution: { container }, image }: SessionSurroundings,
  command: readonly string[] | undefined,
): readonly string[] =>
  container.Entrypoint === undefined
    ? [...image.entryPoint, ...(command ?? image.command)]
    : [...container.Entrypoint, ...(command ?? [])];
