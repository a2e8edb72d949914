/**
 * Which daemon a container belongs to, and whether that daemon is still there. A daemon that was killed can't clean
 * up; the next one does, but only what it can prove to be nobody's: a container of a daemon that lives, on this host
 * or another, must never be taken for left over.
 */
import { randomUUID } from "node:crypto";
import { readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";
import { Effect } from "effect";

/** Where a daemon runs, so that another one can tell whether it still does. All of it is from Linux's /proc. */
export interface Whereabouts {
  readonly pid: number;
  /** When the process started, in clock ticks since the host booted: process ids are used again. */
  readonly started: string;
  /** The boot of the host. */
  readonly boot: string;
  /** The process id's namespace: two containers have different processes 1. */
  readonly pidNamespace: string;
  /** Who the host is over its boots: machine id and host name. */
  readonly host: string;
}

export interface Instance {
  readonly id: string;
  /** Missing where there is no /proc: then nobody can ever prove that this daemon is gone. */
  readonly whereabouts: Whereabouts | undefined;
}

/** This process. */
export const thisInstance: Effect.Effect<Instance> = Effect.promise(async () => ({
  id: randomUUID(),
  whereabouts: await locate(process.pid),
}));

export const encodeWhereabouts = (whereabouts: Whereabouts): string => JSON.stringify(whereabouts);

/** Undefined for what is no description of a daemon's whereabouts. */
export const decodeWhereabouts = (text: string): Whereabouts | undefined => {
  try {
    const value: unknown = JSON.parse(text);
    return isWhereabouts(value) ? value : undefined;
  } catch {
    return undefined;
  }
};

const isWhereabouts = (value: unknown): value is Whereabouts =>
  typeof value === "object" &&
  value !== null &&
  "pid" in value &&
  typeof value.pid === "number" &&
  ["started", "boot", "pidNamespace", "host"].every(
    (key) => typeof (value as Readonly<Record<string, unknown>>)[key] === "string",
  );

/**
 * Whether it is certain that a daemon is gone: the same boot and the same namespace, and no such process; or the same
 * host, booted since. Everything else, such as another host or a container of its own, is not certain.
 */
export const isGone = (other: Whereabouts, here: Whereabouts): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    if (other.boot !== here.boot) return other.host === here.host;
    if (other.pidNamespace !== here.pidNamespace) return false;
    return (await startTime(other.pid)) !== other.started;
  });

const locate = async (pid: number): Promise<Whereabouts | undefined> => {
  const [started, boot, pidNamespace, machine] = await Promise.all([
    startTime(pid),
    lineOf("/proc/sys/kernel/random/boot_id"),
    readlink("/proc/self/ns/pid").catch(() => undefined),
    lineOf("/etc/machine-id"),
  ]);
  if (started === undefined || boot === undefined || pidNamespace === undefined) return undefined;
  // Without a machine id the host is not known over its boots, only in this one.
  return { pid, started, boot, pidNamespace, host: `${machine ?? boot} ${hostname()}` };
};

const lineOf = (path: string): Promise<string | undefined> =>
  readFile(path, "utf8").then(
    (text) => text.trim() || undefined,
    () => undefined,
  );

/** Field 22 of /proc/PID/stat; the command before it may hold spaces and parentheses. */
const startTime = async (pid: number): Promise<string | undefined> => {
  const stat = await lineOf(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
};
