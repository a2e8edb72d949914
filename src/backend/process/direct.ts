/**
 * Runs a program as the daemon's own child, in a session of its own. Without a terminal it is a single spawn; with
 * one, /bin/sh makes it the session's controlling terminal and becomes the program.
 */
import { type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { Duration, Effect } from "effect";
import type { Exit } from "../../../machines/facts.ts";
import { StartFailed } from "./failures.ts";
import { exists, exitOf, type Launched, send } from "./launched.ts";
import { processesOf } from "./proc.ts";

export interface DirectProgram {
  readonly command: readonly [file: string, ...args: string[]];
  readonly variables: Readonly<Record<string, string>>;
  readonly directory: string;
  /** File descriptors of standard input, output and error. */
  readonly streams: readonly [number, number, number];
  readonly terminal: { readonly path: string } | undefined;
}

/** How often what is left of a session is looked for while it is being ended. */
const LOOK_AGAIN = Duration.millis(50);

/** @throws what `spawn` throws, for arguments that no program can have */
export const launchDirect = ({
  command,
  variables,
  directory,
  streams,
  terminal,
}: DirectProgram): Launched => {
  const [file, ...args] = terminal === undefined ? command : onTerminal(command, terminal);
  const options: SpawnOptions = { cwd: directory, env: variables, detached: true, stdio: [...streams] };
  const child = spawn(file, args, options);
  const { pid } = child;
  if (pid === undefined) return neverStarted(once(child, "error"), file);

  const exited = new Promise<Exit>((resolve) => child.once("exit", () => resolve(exitOf(child))));
  const ended = Effect.promise(() => exited);
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  /** Without a terminal there is rarely job control, and no process group but the program's own to look at first. */
  const isGone = (): boolean =>
    hasEnded() && ((terminal === undefined && !exists(-pid)) || processesOf(pid).length === 0);
  /** The program's group at once, or what it forks meanwhile would be missed; then what is in other groups. */
  const sendAll = (signal: NodeJS.Signals): void => {
    sendIfAllowed(-pid, signal);
    for (const member of processesOf(pid)) if (member.group !== pid) sendIfAllowed(member.pid, signal);
  };
  const untilGone = (act: () => void): Effect.Effect<void> =>
    Effect.gen(function* () {
      while (!isGone()) {
        act();
        yield* Effect.sleep(LOOK_AGAIN);
      }
    });
  return {
    started: Effect.void,
    ended,
    isGone,
    gone: Effect.andThen(
      ended,
      untilGone(() => undefined),
    ),
    signal: (signal) => void (hasEnded() || send(-pid, signal)),
    hangUp: () => sendAll("SIGHUP"),
    kill: untilGone(() => sendAll("SIGKILL")),
  };
};

/** What became somebody else's, by sudo for one, stays; it is reported as left behind. */
const sendIfAllowed = (id: number, signal: NodeJS.Signals): void => {
  try {
    send(id, signal);
  } catch {
    return;
  }
};

/** To open a terminal makes it the controlling one of a session leader that has none. */
const onTerminal = (
  command: readonly string[],
  { path }: { readonly path: string },
): readonly [string, ...string[]] => ["/bin/sh", "-c", ': <"$1"; shift; exec "$@"', "sh", path, ...command];

const neverStarted = (failed: Promise<unknown[]>, file: string): Launched => ({
  started: Effect.flatMap(
    Effect.promise(() => failed),
    ([error]) =>
      Effect.fail(
        new StartFailed({
          message: "The program could not be started",
          details: { program: file, error: error instanceof Error ? error.message : String(error) },
          cause: error,
        }),
      ),
  ),
  ended: Effect.never,
  isGone: () => true,
  gone: Effect.void,
  signal: () => undefined,
  hangUp: () => undefined,
  kill: Effect.void,
});
