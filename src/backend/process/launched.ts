/** A program that was spawned, directly or in a sandbox, and what can be done to it. */
import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import type { Effect } from "effect";
import type { Exit } from "../../../machines/facts.ts";
import type { StartFailed } from "./failures.ts";

export interface Launched {
  /** Succeeds when the program runs. */
  readonly started: Effect.Effect<void, StartFailed>;
  readonly ended: Effect.Effect<Exit>;
  /** Sends to the program's process group, as sshd does. An ended program gets nothing. @throws EPERM */
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Whether the program and everything that it left in its session have ended. */
  readonly isGone: () => boolean;
  readonly gone: Effect.Effect<void>;
  /** SIGHUP to everything in the program's session. */
  readonly hangUp: () => void;
  /** SIGKILL to the same, until all are gone. */
  readonly kill: Effect.Effect<void>;
}

/** How a child of ours ended. */
export const exitOf = ({ exitCode, signalCode }: ChildProcess): Exit =>
  signalCode === null ? { kind: "status", status: exitCode ?? 0 } : signalExit(signalCode, false);

export const signalExit = (signal: NodeJS.Signals, coreDumped: boolean): Exit => ({
  kind: "signal",
  signal: signal.slice("SIG".length),
  coreDumped,
  message: "",
});

/** The name of a signal; its number where there is none, as for real-time signals. */
export const signalName = (number: number): NodeJS.Signals => {
  const names = Object.entries(constants.signals) as [NodeJS.Signals, number][];
  return names.find(([, value]) => value === number)?.[0] ?? (`SIG${number}` as NodeJS.Signals);
};

const codeOf = (error: unknown): unknown =>
  error instanceof Error && "code" in error ? error.code : undefined;

/**
 * Sends a signal to a process, or with a negative id to a process group.
 * @returns whether there was one
 * @throws EPERM when it became somebody else's
 */
export const send = (id: number, signal: NodeJS.Signals): boolean => {
  try {
    return process.kill(id, signal);
  } catch (error) {
    if (codeOf(error) === "ESRCH") return false;
    throw error;
  }
};

/** Whether there is a process or, with a negative id, a process group. */
export const exists = (id: number): boolean => {
  try {
    return process.kill(id, 0);
  } catch (error) {
    return codeOf(error) !== "ESRCH";
  }
};
