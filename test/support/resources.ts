/** Temporary directories, and what Linux tells about a process: for tests and the bench, outside of vitest too. */
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PATIENCE_SECONDS } from "./patience.ts";

export interface Directory {
  readonly path: string;
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

/** A directory that is gone when its owner is disposed of. Its path is short enough for Unix sockets in it. */
export const directory = async (): Promise<Directory> => {
  const path = await mkdtemp(join(tmpdir(), "berth-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
};

/** Resident memory of a process in bytes. */
export const rssBytes = (pid: number): number => kibibytes(`/proc/${pid}/status`, "VmRSS");

/** The most memory in bytes that a process ever had resident. */
export const peakRssBytes = (pid: number): number => kibibytes(`/proc/${pid}/status`, "VmHWM");

/** Proportional share of memory of a process in bytes: what it shares with others is divided among them. */
export const pssBytes = (pid: number): number => kibibytes(`/proc/${pid}/smaps_rollup`, "Pss");

/** How many file descriptors a process has open. */
export const openFiles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

const kibibytes = (file: string, field: string): number => {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(file, "utf8"));
  if (match === null) throw new Error(`${file} has no ${field}`);
  return Number(match[1]) * 1024;
};

/** A process and all its descendants. */
export const processTree = async (root: number): Promise<ReadonlyArray<number>> => {
  const parents = new Map<number, number>();
  for (const pid of await pids()) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
    // The second field is the name in parentheses, which may hold spaces; the parent is the fourth.
    if (stat !== undefined) parents.set(pid, Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
  }
  const tree = [root];
  for (const pid of tree)
    tree.push(...[...parents].filter(([, parent]) => parent === pid).map(([each]) => each));
  return tree;
};

/**
 * Processes of this machine, those in containers included, with the marker in their command line. Seeing other
 * users' processes in containers needs root.
 */
export const processesWith = async (marker: string): Promise<ReadonlyArray<number>> => {
  const found: number[] = [];
  for (const pid of await pids()) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (pid !== process.pid && commandLine.includes(marker)) found.push(pid);
  }
  return found;
};

/**
 * Waits until the processes with the marker write no more, and tells in bytes what the one wrote that wrote most.
 * The clients' own, which may have the marker, too, don't write that much.
 */
export const writtenUntilStuck = async (marker: string): Promise<number> => {
  let before = -1;
  await eventually(async () => {
    const written = await writtenBy(marker);
    const isStuck = written > 0 && written === before;
    before = written;
    return isStuck;
  }, "the program stops writing");
  return before;
};

const writtenBy = async (marker: string): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, 200));
  const counts = await Promise.all(
    (await processesWith(marker)).map(async (pid) => {
      const io = await readFile(`/proc/${pid}/io`, "utf8").catch(() => "");
      return Number(/^wchar: (\d+)$/m.exec(io)?.[1] ?? 0);
    }),
  );
  return Math.max(0, ...counts);
};

const pids = async (): Promise<ReadonlyArray<number>> =>
  (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);

/** Looks again and again, for what has no event to wait for, until it holds; rejects when the time is over. */
export const eventually = async <A>(
  look: () => Promise<A | undefined | false>,
  what: string,
  withinSeconds = PATIENCE_SECONDS,
): Promise<A> => {
  const deadline = performance.now() + withinSeconds * 1000;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`not within ${withinSeconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
};
