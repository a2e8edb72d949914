/** What the parts of the conformance suite are given. */
import { randomInt } from "node:crypto";
import type { SshClient, SshTarget } from "../ssh.ts";

export interface Started {
  readonly ssh: SshTarget;
  readonly cleanup: () => Promise<unknown>;
}

/** What a subject cannot do by its nature; everything left out is demanded. */
export interface ConformanceOptions {
  /** Programs a bare image lacks: the SFTP subsystem, `scp -O`'s and rsync's programs in the environment. */
  readonly lacks?: ReadonlyArray<"sftp" | "scp" | "rsync">;
  /** Whether a session sees the files another session of the same connection wrote. Default true. */
  readonly sharesFiles?: boolean;
  /** Whether `env` requests for `LC_*` reach the program. Default true. */
  readonly acceptsEnvironment?: boolean;
  /** Whether `signal` requests reach the program. Default true. */
  readonly acceptsSignals?: boolean;
  /** Whether a program without terminal that neither reads nor writes is ended with its channel. Default true. */
  readonly hangsUpWithoutTerminal?: boolean;
  /** Whether tests run beside each other, for servers on which every login takes its time. Default false. */
  readonly concurrent?: boolean;
  /** Size of the large transfer, 10^6 bytes each. Default 64; 1000 for the long test. */
  readonly largeMegabytes?: number;
}

/**
 * A section `security` that allows what the suite needs and nothing else. Its commands hold random words, so that they
 * cannot be listed; terminals and shells have no lists.
 */
export const policyOfTheSuite = {
  defaultMode: "filter",
  maxSessions: 6,
  env: { allow: ["LC_CONFORMANCE"] },
  command: { mode: "enable" },
  shell: { mode: "enable" },
  subsystem: { allow: ["sftp", "no-such-subsystem"] },
  tty: { mode: "enable" },
  signal: { allow: ["TERM"] },
} as const;

export interface Subject {
  readonly ssh: () => SshClient;
  readonly target: () => SshTarget;
  readonly options: Required<ConformanceOptions>;
}

/** A word for a command line that finds its processes among all others of this machine. */
export const marker = (): string => `marker-${randomInt(2 ** 47).toString(36)}`;

/** A command that says `started` and then does nothing, with the marker in its command line, until it is ended. */
export const idling = (mark: string): string => `sh -c 'echo started; while :; do sleep 1; done' ${mark}`;
