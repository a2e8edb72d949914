/**
 * Runs a program under bubblewrap (https://github.com/containers/bubblewrap), in namespaces of its own that end with
 * it. Arguments about the sandbox travel over a pipe: command lines are there for everybody to read, and the
 * variables among them may be secrets.
 *
 * bwrap answers 128 + n for death by signal n, as shells do, which is also what `exit 143` looks like. The program's
 * parent is therefore awk, whose `system` can tell: 256 + n by a signal, 512 + n with a core dump. Its answers are
 * bwrap's standard output; the program's own streams are file descriptors 3 and 4 until it gets them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { Duration, Effect } from "effect";
import type { Exit } from "../../../machines/facts.ts";
import type { Account } from "./executables.ts";
import { StartFailed } from "./failures.ts";
import { exitOf, type Launched, send, signalExit, signalName } from "./launched.ts";
import { firstChild, isAlive } from "./proc.ts";
import { quote } from "./shell-words.ts";

/** What it takes to make one on this host. */
export interface Sandbox {
  readonly bwrap: string;
  readonly awk: string;
  readonly setsid: string;
  /** Set when Berth is root: bwrap and everything in it run as this account of the host. */
  readonly account: Account | undefined;
  /** Arguments of bwrap that are the same for every program. */
  readonly arguments: readonly string[];
  /** Directories of the host's /etc that are bound into the sandbox's. */
  readonly configuration: readonly string[];
}

export interface SandboxedProgram {
  readonly command: readonly string[];
  /** Arguments of bwrap for this program: directories, working directory. */
  readonly arguments: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** File descriptors of standard input, output and error. */
  readonly streams: readonly [number, number, number];
  /** Whether standard input is to be the program's controlling terminal. */
  readonly hasTerminal: boolean;
}

const REPORT = 'BEGIN { print "started"; fflush(); print system(ARGV[1]) }';
/** It would make gawk's `system` answer in another way, so awk doesn't get it under its own name. */
const STANDARD_BEHAVIOUR = "POSIXLY_CORRECT";
const PUT_ASIDE = `BERTH_${STANDARD_BEHAVIOUR}`;
/** Longer answers are not awk's, longer complaints are of no use. */
const ANSWER_LIMIT = 100;
const COMPLAINT_LIMIT = 2000;
/** How often it is looked whether a sandbox whose bwrap has ended is gone, which takes a moment. */
const LOOK_AGAIN = Duration.millis(2);

/** @throws what `spawn` throws, for arguments that no program can have */
export const launchSandboxed = (sandbox: Sandbox, program: SandboxedProgram): Launched => {
  const [stdin, stdout, stderr] = program.streams;
  const everything = [...sandbox.arguments, ...program.arguments, ...variableArguments(program.variables)];
  // It separates arguments: what comes from outside must not become one.
  if (everything.some((argument) => argument.includes("\0"))) throw new Error("NUL character in an argument");
  const child = spawn(sandbox.bwrap, ["--args", "5", "--", sandbox.awk, REPORT, scriptOf(sandbox, program)], {
    ...sandbox.account,
    cwd: "/",
    env: {},
    detached: true,
    stdio: [stdin, "pipe", "pipe", stdout, stderr, "pipe"],
  });
  const [, status, diagnostics, , , argumentPipe] = child.stdio as unknown as Pipes;
  const answer = capture(status, ANSWER_LIMIT);
  const complaint = capture(diagnostics, COMPLAINT_LIMIT);
  let failure: Error | undefined;
  child.once("error", (error) => {
    failure = error;
  });
  argumentPipe.once("error", (error) => {
    failure ??= error;
  });
  argumentPipe.end([...everything, ""].join("\0"));

  let isClosed = false;
  const closed = new Promise<void>((resolve) =>
    child.once("close", () => {
      isClosed = true;
      resolve();
    }),
  );
  /** The sandbox's first process: when it is dead, so is everything in there. bwrap ends a little earlier. */
  let first: number | undefined;
  const answered = new Promise<void>((resolve) =>
    status.once("data", () => {
      first = firstChild(child.pid);
      resolve();
    }),
  );
  const isGone = (): boolean => isClosed && (first === undefined || !isAlive(first));
  const hasClosed = Effect.promise(() => closed);
  const gone = Effect.gen(function* () {
    yield* hasClosed;
    while (!isGone()) yield* Effect.sleep(LOOK_AGAIN);
  });
  return {
    started: Effect.flatMap(
      Effect.promise(() => Promise.race([answered, closed])),
      () =>
        answer().startsWith("started")
          ? Effect.void
          : Effect.fail(
              new StartFailed({
                message: "bubblewrap could not set up the sandbox",
                details: {
                  status: child.exitCode ?? -1,
                  diagnostics: complaint() || (failure?.message ?? ""),
                },
                cause: failure,
              }),
            ),
    ),
    ended: Effect.map(hasClosed, () => exitOfAnswer(answer()) ?? exitWithoutAnswer(child)),
    isGone,
    gone,
    signal: (signal) => void signalProgram(child.pid, signal),
    // Before there is a program, there is nothing to be gentle with.
    hangUp: () => void (signalProgram(child.pid, "SIGHUP") || child.kill("SIGKILL")),
    kill: Effect.suspend(() => {
      child.kill("SIGKILL");
      return gone;
    }),
  };
};

type Pipes = [null, Readable, Readable, null, null, Writable];

const variableArguments = (variables: Readonly<Record<string, string>>): readonly string[] =>
  Object.entries(variables).flatMap(([name, value]) => [
    "--setenv",
    name === STANDARD_BEHAVIOUR ? PUT_ASIDE : name,
    value,
  ]);

const scriptOf = ({ setsid }: Sandbox, { command, variables, hasTerminal }: SandboxedProgram): string => {
  const restore =
    STANDARD_BEHAVIOUR in variables
      ? `export ${STANDARD_BEHAVIOUR}="$${PUT_ASIDE}"; unset ${PUT_ASIDE}; `
      : "";
  const words = quote([setsid, ...(hasTerminal ? ["-c"] : []), ...command]);
  return `${restore}exec ${words} >&3 2>&4 3>&- 4>&-`;
};

/** The beginning of what a stream says; all of it is read. */
const capture = (stream: Readable, limit: number): (() => string) => {
  let beginning = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    beginning += text.slice(0, limit - beginning.length);
  });
  return () => beginning;
};

const CORE_DUMPED = 512;
const KILLED = 256;
const SHELL_KILLED = 128;

/** awk or bwrap themselves were killed, which nobody but the program or Berth does. */
const exitWithoutAnswer = (child: ChildProcess): Exit => {
  const exit = exitOf(child);
  return exit.kind === "status" && exit.status > SHELL_KILLED
    ? signalExit(signalName(exit.status - SHELL_KILLED), false)
    : exit;
};

const exitOfAnswer = (answer: string): Exit | undefined => {
  const value = /^started\n(\d+)\n/.exec(answer)?.[1];
  if (value === undefined) return undefined;
  const status = Number(value);
  if (status >= CORE_DUMPED) return signalExit(signalName(status - CORE_DUMPED), true);
  if (status >= KILLED) return signalExit(signalName(status - KILLED), false);
  return { kind: "status", status };
};

/** bwrap's child is the sandbox's first process, whose first child is awk, whose only child leads the program's session. */
const signalProgram = (bwrap: number | undefined, signal: NodeJS.Signals): boolean => {
  const program = firstChild(firstChild(firstChild(bwrap)));
  return program !== undefined && (send(-program, signal) || send(program, signal));
};
