/** Programs on this machine as tests run them: what they printed, how they ended, and none left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { PATIENCE_SECONDS } from "./patience.ts";
import { Transcript, within } from "./transcript.ts";

/** How a program ended: with a status, or by a signal (`SIGTERM`). */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Result extends Ending {
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as it came. */
  readonly bytes: Buffer;
}

export interface CommandOptions {
  /** What to write to standard input before its end; the end comes at once without. */
  readonly stdin?: string | Uint8Array | Readable;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** After this the program is killed and the run fails. Default `PATIENCE_SECONDS`. */
  readonly withinSeconds?: number;
}

/** A program that is running, with its three streams in the caller's hands. */
export interface Running {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** How it ended; resolves once. */
  readonly ending: Promise<Ending>;
  readonly kill: (signal?: NodeJS.Signals) => void;
  /** Kills it and waits until it is gone. */
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

/** Children of this process: a test run that dies takes them along. */
const alive = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

/** `ownSession`: by setsid(2), as a service has one. */
export const start = (
  file: string,
  args: ReadonlyArray<string>,
  options: Pick<CommandOptions, "env" | "cwd"> & { readonly ownSession?: boolean } = {},
): Running => {
  const child = spawn(file, args, {
    detached: options.ownSession ?? false,
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    cwd: options.cwd,
  });
  alive.add(child);
  const ending = new Promise<Ending>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve({ code, signal }));
  }).finally(() => alive.delete(child));
  // Whoever awaits the ending learns of a program that could not be started; nobody has to.
  ending.catch(() => {});
  // A program may end without reading its input.
  child.stdin.on("error", () => {});
  const kill = (signal: NodeJS.Signals = "SIGTERM") => {
    child.kill(signal);
  };
  return {
    pid: child.pid ?? -1,
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    ending,
    kill,
    [Symbol.asyncDispose]: async () => {
      kill("SIGKILL");
      await ending.catch(() => {});
    },
  };
};

/** Runs a program to its end and tells everything it printed. Any exit status is a result, not an error. */
export const run = async (
  file: string,
  args: ReadonlyArray<string>,
  options: CommandOptions = {},
): Promise<Result> => {
  await using running = start(file, args, options);
  const input = options.stdin ?? "";
  const [bytes, stderr, ending] = await within(
    options.withinSeconds ?? PATIENCE_SECONDS,
    Promise.all([
      collect(running.stdout),
      collect(running.stderr),
      running.ending,
      feed(running.stdin, input),
    ]),
    () => `${file} ${args.join(" ")} did not end in time`,
  );
  return { ...ending, bytes, stdout: bytes.toString("utf8"), stderr: stderr.toString("utf8") };
};

/** Runs a program that must succeed. */
export const must = async (
  file: string,
  args: ReadonlyArray<string>,
  options: CommandOptions = {},
): Promise<Result> => {
  const result = await run(file, args, options);
  if (result.code === 0) return result;
  throw new Error(
    `${file} ${args.join(" ")} ended with ${result.code ?? result.signal}: ${result.stderr || result.stdout}`,
  );
};

/** A stream's text, to wait in. */
export const transcriptOf = (stream: Readable): Transcript => {
  const transcript = new Transcript();
  const decoder = new TextDecoder();
  stream.on("data", (chunk: Uint8Array) => transcript.append(decoder.decode(chunk, { stream: true })));
  stream.once("close", () => transcript.end());
  return transcript;
};

const collect = async (stream: Readable): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  if (!stream.closed) await once(stream, "close");
  return Buffer.concat(chunks);
};

/** A program that ends before it has read everything is no error of the feeder. */
const feed = async (stdin: Writable, input: string | Uint8Array | Readable): Promise<void> => {
  if (typeof input === "string" || input instanceof Uint8Array) {
    stdin.end(input);
    await finished(stdin).catch(() => {});
  } else {
    await pipeline(input, stdin).catch(() => {});
  }
};
