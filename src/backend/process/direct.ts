/**
 * Runs a program as the daemon's own child, in a session of its own. Without a terminal it is a single spawn; with
 * one, /bin/sh makes it the session's controlling terminal and becomes the program.
 */
import { type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { Duration, Effect } from "effect";
import type { Exit } from "../../../machines/facts.ts";
import { StartFailed } from "./failures.ts";
import { exitOf, type Launched, send } from "./launched.ts";

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
  /** Without a terminal there is no job control, and all is in one process group unless a program made another. */
  const isGone = (): boolean =>
    hasEnded() && !send(-pid, 0) && (terminal === undefined || membersOf(pid).length === 0);
  const sendAll = (signal: NodeJS.Signals): void => {
    for (const member of membersOf(pid)) send(member, signal);
  };
  return {
    started: Effect.void,
    ended,
    isGone,
    gone: Effect.gen(function* () {
      yield* ended;
      while (!isGone()) yield* Effect.sleep(LOOK_AGAIN);
    }),
    signal: (signal) => void (hasEnded() || send(-pid, signal)),
    hangUp: () => sendAll("SIGHUP"),
    kill: () => sendAll("SIGKILL"),
  };
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
  kill: () => undefined,
});

/** The living processes of a session (proc_pid_stat(5): state is the third field, session the sixth). */
const membersOf = (session: number): readonly number[] =>
  readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid)) return false;
      const [state, , , sid] = statOf(pid);
      return Number(sid) === session && state !== "Z" && state !== "X";
    });

/** The fields after the program's name, which may contain anything. */
const statOf = (pid: number): readonly string[] => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
};
