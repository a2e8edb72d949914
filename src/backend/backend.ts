/**
 * What every backend gives: an environment in which programs are started, TCP connections opened and files put.
 * How it comes to be is its machine's business (machines/docker.ts, kubernetes.ts, sshproxy.ts, process.ts).
 */
import type { Duplex, Readable, Writable } from "node:stream";
import type { Effect, Scope } from "effect";
import type { Exit, Program, Terminal, TerminalSize } from "../../machines/facts.ts";
import type { Failure } from "../failure.ts";
import type { Logger } from "../log/logger.ts";

declare module "../../machines/facts.ts" {
  interface Environment {
    /**
     * Starts a program. The program belongs to the scope: closing it hangs the program up (SIGHUP, then SIGKILL
     * after a short while) and frees its streams.
     */
    readonly start: (request: ProgramRequest) => Effect.Effect<RunningProgram, Failure, Scope.Scope>;
    /** Opens a TCP connection as seen from inside the environment. */
    readonly openTcp: (host: string, port: number) => Effect.Effect<Duplex, Failure, Scope.Scope>;
  }
}

export interface ProgramRequest {
  readonly program: Program;
  readonly terminal: Terminal | undefined;
  /** What the client asked for by `env` requests; the login's own environment is the backend's to add, and wins. */
  readonly environment: Readonly<Record<string, string>>;
  /** The number of the session channel, for logs. */
  readonly channel: number;
}

/** What a program writes. Some of it can be passed on without being copied. */
export interface ProgramOutput extends Readable {
  /**
   * Instead of `pipe`, for a stream that has done with a chunk's memory when it calls back: the memory is used again.
   * It does not end that stream.
   */
  readonly pour?: (sink: Writable) => void;
}

/**
 * A started program. Its streams carry bytes with back-pressure and are piped to the SSH channel by the caller:
 * ending `stdin` is the program's end of input, `stdout` and `stderr` end when the program closed them. With a
 * terminal there is no `stderr`.
 */
export interface RunningProgram {
  readonly stdin: Writable;
  readonly stdout: ProgramOutput;
  readonly stderr: ProgramOutput | undefined;
  /** How the program ended. It succeeds once, also when the output has not been read yet. */
  readonly exit: Effect.Effect<Exit, Failure>;
  readonly resize: (size: TerminalSize) => Effect.Effect<void, Failure>;
  /** A signal by its RFC 4254 name, without `SIG`. */
  readonly signal: (name: string) => Effect.Effect<void, Failure>;
}

/** What a backend may use of the connection it works for. Found by `connectionId` (src/daemon.ts). */
export interface ConnectionResources {
  readonly connectionId: string;
  readonly logger: Logger;
  /** Closed when the connection ends, however it ends: what a backend acquires for the connection belongs here. */
  readonly scope: Scope.Scope;
  /** Shows a line to every session of this connection that has a terminal (the progress of an image pull). */
  readonly notify: (line: string) => void;
}
