/** Programs at a pseudoterminal: its master as two streams with back-pressure that never block the event loop. */
import { closeSync, fchownSync, readSync, writeSync } from "node:fs";
import { Readable, Writable } from "node:stream";
import { ReadStream } from "node:tty";
import type { Terminal, TerminalSize } from "../../../machines/facts.ts";
import type { Account } from "./executables.ts";
import type { Libc } from "./libc.ts";
import { once, type ProgramStreams } from "./streams.ts";

/** For clients that give no size. */
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;

/** @throws when there are no terminals or file descriptors left */
export const openTerminal = (
  libc: Libc,
  terminal: Terminal,
  account: Account | undefined,
): ProgramStreams => {
  const { master, slave, path } = libc.openTerminal();
  try {
    libc.setSize(master, orDefault(terminal));
    if (account !== undefined) fchownSync(slave, account.uid, account.gid);
    // It owns the master from here on and closes it when it is destroyed.
    const reader = new ReadStream(master);
    const stdin = new TerminalInput(master, reader);
    const stdout = new TerminalOutput(master, reader);
    const handOver = once(() => closeSync(slave));
    const resize = (size: TerminalSize): void => {
      if (!reader.destroyed) libc.setSize(master, orDefault(size));
    };
    const close = (): void => {
      handOver();
      stdin.destroy();
      stdout.destroy();
    };
    return {
      stdin,
      stdout,
      stderr: undefined,
      programEnds: [slave, slave, slave],
      terminal: { path, resize, finish: () => stdout.finish() },
      handOver,
      abandon: close,
      close,
    };
  } catch (error) {
    closeSync(slave);
    closeSync(master);
    throw error;
  }
};

const orDefault = (size: TerminalSize): TerminalSize => ({
  ...size,
  columns: size.columns || DEFAULT_COLUMNS,
  rows: size.rows || DEFAULT_ROWS,
});

const codeOf = (error: unknown): unknown =>
  error instanceof Error && "code" in error ? error.code : undefined;

/**
 * What is typed. libuv writes to terminals in a blocking loop, and a program that doesn't read would stop the whole
 * daemon: this writes what fits, and tries again a little later. The end of input closes nothing, as in sshd: a
 * terminal's end of input is a character that is typed.
 */
class TerminalInput extends Writable {
  static readonly #FIRST_PAUSE_MILLIS = 1;
  static readonly #LONGEST_PAUSE_MILLIS = 64;
  readonly #master: number;
  readonly #owner: ReadStream;
  #retry: NodeJS.Timeout | undefined;

  constructor(master: number, owner: ReadStream) {
    super();
    this.#master = master;
    this.#owner = owner;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error) => void): void {
    this.#put(chunk, TerminalInput.#FIRST_PAUSE_MILLIS, callback);
  }

  #put(rest: Buffer, pauseMillis: number, callback: (error?: Error) => void): void {
    const written = this.#writeSome(rest);
    if (written instanceof Error || written === rest.length) {
      callback(written instanceof Error ? written : undefined);
      return;
    }
    const nextPause =
      written > 0
        ? TerminalInput.#FIRST_PAUSE_MILLIS
        : Math.min(pauseMillis * 2, TerminalInput.#LONGEST_PAUSE_MILLIS);
    this.#retry = setTimeout(() => this.#put(rest.subarray(written), nextPause, callback), pauseMillis);
  }

  #writeSome(bytes: Buffer): number | Error {
    // A closed number may already be another connection's file.
    if (this.#owner.destroyed) return bytes.length;
    try {
      return writeSync(this.#master, bytes);
    } catch (error) {
      if (codeOf(error) === "EAGAIN") return 0;
      if (codeOf(error) === "EIO") return bytes.length;
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#retry);
    callback(error);
  }
}

/** What is shown. It ends when nobody has the terminal open any more, or when it is told to finish. */
class TerminalOutput extends Readable {
  static readonly #CHUNK_BYTES = 65_536;
  readonly #master: number;
  readonly #reader: ReadStream;
  #finishing = false;
  #ended = false;

  constructor(master: number, reader: ReadStream) {
    super();
    this.#master = master;
    this.#reader = reader;
    reader.on("data", this.#pass);
    // libuv takes a short read of a closed terminal for its last, and it is not: the kernel may have more.
    reader.once("end", () => this.#takeAll());
    reader.once("close", () => this.#end());
    reader.on("error", (error) => {
      // The answer to reading when the last program has closed the terminal (pty(7)).
      if (codeOf(error) === "EIO") this.#end();
      else this.destroy(error);
    });
  }

  readonly #pass = (chunk: Buffer): void => {
    if (!this.push(chunk)) this.#reader.pause();
  };

  finish(): void {
    this.#finishing = true;
    this.#reader.off("data", this.#pass).pause();
    this.#takeRest();
  }

  override _read(): void {
    if (this.#finishing) this.#takeRest();
    else this.#reader.resume();
  }

  /** First what the reader has read already, then what the terminal holds: the kernel keeps only so much. */
  #takeRest(): void {
    while (!this.#ended) {
      const chunk: Buffer | null = this.#reader.read() ?? this.#readNow();
      if (chunk === null) this.#end();
      else if (!this.push(chunk)) return;
    }
  }

  #takeAll(): void {
    for (let chunk = this.#readNow(); chunk !== null && !this.#ended; chunk = this.#readNow())
      this.push(chunk);
    this.#end();
  }

  #readNow(): Buffer | null {
    if (this.#reader.destroyed) return null;
    const chunk = Buffer.allocUnsafe(TerminalOutput.#CHUNK_BYTES);
    try {
      const length = readSync(this.#master, chunk);
      return length === 0 ? null : chunk.subarray(0, length);
    } catch (error) {
      if (codeOf(error) === "EAGAIN" || codeOf(error) === "EIO") return null;
      throw error;
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.push(null);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#reader.destroy();
    callback(error);
  }
}
