/** The streams of a program: the ends that it gets, and the ends that are piped to and from its channel. */
import { closeSync, fchownSync } from "node:fs";
import { Socket } from "node:net";
import type { Writable } from "node:stream";
import type { TerminalSize } from "../../../machines/facts.ts";
import type { ProgramOutput } from "../backend.ts";
import type { Account } from "./executables.ts";
import type { Libc } from "./libc.ts";
import { PipeOutput } from "./output.ts";

export interface ProgramStreams {
  readonly stdin: Writable;
  readonly stdout: ProgramOutput;
  readonly stderr: ProgramOutput | undefined;
  /** File descriptors that become the program's standard input, output and error. */
  readonly programEnds: readonly [number, number, number];
  /** What a program that is attached to a terminal has more. */
  readonly terminal: AttachedTerminal | undefined;
  /** Closes our copies of the program's ends, or its end of file would never be seen. */
  readonly handOver: () => void;
  /**
   * Lets go of a program that is being hung up: its input ends and what it still has to say is dropped. Its outputs
   * stay open, or its last words would kill it before it has cleaned up; a terminal hangs up, as a line would.
   */
  readonly abandon: () => void;
  /** Closes everything. Can be called again. */
  readonly close: () => void;
}

export interface AttachedTerminal {
  readonly path: string;
  /** @throws when the terminal is gone */
  readonly resize: (size: TerminalSize) => void;
  /** Ends the output after what has been written so far, whoever else still has the terminal open. */
  readonly finish: () => void;
}

/**
 * Three pipes, as from sshd. The program's account becomes their owner, so that it can open /dev/stdin and its like.
 * @throws when there are no file descriptors left
 */
export const openPipes = (libc: Libc, account: Account | undefined): ProgramStreams => {
  const { input, output, errors } = threePipes(libc, account);
  const programEnds = [input.read, output.write, errors.write] as const;
  const stdin = new Socket({ fd: input.write, readable: false, writable: true });
  const stdout = new PipeOutput(output.read);
  const stderr = new PipeOutput(errors.read);
  // A program may close its input whenever it likes: who pipes into it hears of it by a listener of their own.
  stdin.on("error", () => undefined);
  const handOver = once(() => {
    for (const end of programEnds) closeSync(end);
  });
  const close = (): void => {
    handOver();
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
  };
  const abandon = (): void => {
    stdin.destroy();
    stdout.discard();
    stderr.discard();
  };
  return { stdin, stdout, stderr, programEnds, terminal: undefined, handOver, abandon, close };
};

const threePipes = (libc: Libc, account: Account | undefined) => {
  const opened: { readonly read: number; readonly write: number }[] = [];
  const pipe = () => {
    const ends = libc.openPipe();
    opened.push(ends);
    return ends;
  };
  try {
    const pipes = { input: pipe(), output: pipe(), errors: pipe() };
    if (account !== undefined) {
      for (const { read } of opened) fchownSync(read, account.uid, account.gid);
    }
    return pipes;
  } catch (error) {
    for (const { read, write } of opened) {
      closeSync(read);
      closeSync(write);
    }
    throw error;
  }
};

export const once = (act: () => void): (() => void) => {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    act();
  };
};
