/**
 * What an exit code of the Engine says about how a program ended: 128 + n stands for "killed by signal n", but a
 * shell also exits with it when the last program it ran was.
 */
import type { Exit, Program } from "../../../machines/facts.ts";

/** The signals of RFC 4254 section 6.10, with their numbers on Linux. */
export const SIGNALS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  ABRT: 6,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
};

const nameByNumber: ReadonlyMap<number, string> = new Map(
  Object.entries(SIGNALS).map(([name, number]) => [number, name]),
);

export interface Ending {
  readonly code: number;
  readonly program: Program;
  /** The signals that were delivered to the program on the client's request. */
  readonly delivered: ReadonlySet<string>;
  /** Why the program was killed, where more is known of it. */
  readonly message: string;
}

/**
 * A login shell hands on the code of its last program when it exits, so it was killed itself only by a signal that
 * was sent to it, or by KILL.
 */
export const exitOf = ({ code, program, delivered, message }: Ending): Exit => {
  const signal = nameByNumber.get(code - 128);
  if (signal === undefined) return { kind: "status", status: code };
  const wasKilled = program.kind !== "shell" || delivered.has(signal) || signal === "KILL";
  return wasKilled
    ? { kind: "signal", signal, coreDumped: false, message }
    : { kind: "status", status: code };
};
