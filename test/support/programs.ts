/** Programs in an environment that a backend provided: what a session's channel would ask for, without a channel. */
import { text } from "node:stream/consumers";
import { Effect, Exit, Redacted, Scope } from "effect";
import { onTestFinished } from "vitest";
import type { Environment, Program, Terminal } from "../../machines/facts.ts";
import type { RunningProgram } from "../../src/backend/backend.ts";

export const secret = (value: string) => ({ value: Redacted.make(value), sensitive: true });
export const open = (value: string) => ({ value: Redacted.make(value), sensitive: false });

export const exec = (command: string): Program => ({ kind: "exec", command });

export const terminal = (columns: number, rows: number): Terminal => ({
  term: "xterm",
  columns,
  rows,
  widthPixels: 0,
  heightPixels: 0,
  modes: {},
});

export interface Session extends RunningProgram {
  /** The session is closed by the client. */
  readonly close: () => Promise<void>;
}

/** Starts a program; it is closed when the test is over. */
export const startProgram = async (
  environment: Environment,
  program: Program,
  options: {
    readonly terminal?: Terminal;
    readonly environment?: Readonly<Record<string, string>>;
    readonly channel?: number;
  } = {},
): Promise<Session> => {
  const scope = Scope.makeUnsafe();
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void));
  onTestFinished(close);
  const running = await Effect.runPromise(
    Scope.provide(
      environment.start({ program, terminal: undefined, environment: {}, channel: 0, ...options }),
      scope,
    ),
  );
  return { ...running, close };
};

export interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  /** `0`, `143`, or a signal's name. */
  readonly exit: number | string;
}

/** Runs a program to its end. */
export const runProgram = async (
  environment: Environment,
  command: string | Program,
  input: string | Uint8Array = "",
  options: Parameters<typeof startProgram>[2] = {},
): Promise<Ended> => {
  const program = typeof command === "string" ? exec(command) : command;
  const running = await startProgram(environment, program, options);
  running.stdin.end(input);
  return endOf(running);
};

export const endOf = async ({ stdout, stderr, exit }: RunningProgram): Promise<Ended> => {
  const [out, errors, ending] = await Promise.all([
    text(stdout),
    stderr === undefined ? "" : text(stderr),
    Effect.runPromise(exit),
  ]);
  return { stdout: out, stderr: errors, exit: ending.kind === "status" ? ending.status : ending.signal };
};
