/** A file as a destination of the log; opening it again lets a rotation move the old one away. */
import { type FileHandle, open } from "node:fs/promises";
import { Effect } from "effect";
import type { Destination, Written } from "./destination.ts";
import { LogFileOpenFailed, reasonOf } from "./failures.ts";

/** Readable by log shippers of other users, as the reference's; the umask can narrow it. */
const mode = 0o644;

/** Opens a file for appending; its directory must exist. */
export const openFile = (path: string): Effect.Effect<Destination, LogFileOpenFailed> =>
  Effect.tryPromise({
    try: async () => new LogFile(path, await open(path, "a", mode)),
    catch: (cause) =>
      new LogFileOpenFailed({
        message: `failed to open the log file ${path} (${reasonOf(cause)})`,
        details: { file: path },
        cause,
      }),
  });

class LogFile implements Destination {
  readonly description: string;
  readonly #path: string;
  #handle: FileHandle;
  /** The end of a line whose beginning is in the file already. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(path: string, handle: FileHandle) {
    this.description = `the file ${path}`;
    this.#path = path;
    this.#handle = handle;
  }

  async write(lines: ReadonlyArray<string>): Promise<Written> {
    const buffers = lines.map((line) => Buffer.from(line));
    const rest = this.#rest.length;
    let data = Buffer.concat([this.#rest, ...buffers]);
    const total = data.length;
    try {
      while (data.length > 0) {
        const { bytesWritten } = await this.#handle.write(data);
        data = data.subarray(bytesWritten);
      }
      this.#rest = data;
      return { lines: lines.length };
    } catch (cause) {
      const { whole, torn } = begun(buffers, total - data.length - rest);
      // A line that was begun counts as written: its end is owed to the file and comes with the next write.
      this.#rest = Buffer.from(data.subarray(0, torn));
      const reason = cause instanceof Error ? cause : new Error(String(cause));
      return { lines: whole, reason };
    }
  }

  async reopen(): Promise<void> {
    const old = this.#handle;
    this.#handle = await open(this.#path, "a", mode);
    this.#rest = Buffer.alloc(0);
    await old.close();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/**
 * How many lines were begun after `written` bytes, and how many bytes are missing of the last of them. A negative
 * number of bytes are those that the rest of an earlier line still lacks.
 */
const begun = (lines: ReadonlyArray<Buffer>, written: number): { whole: number; torn: number } => {
  let end = 0;
  let whole = 0;
  for (const line of lines) {
    if (end >= written) break;
    end += line.length;
    whole += 1;
  }
  return { whole, torn: end - written };
};
