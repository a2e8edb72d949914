/** What /proc tells about processes (proc(5)). One that is gone, or just going, has nothing to tell. */
import { readdirSync, readFileSync } from "node:fs";

export interface Process {
  readonly pid: number;
  readonly group: number;
}

/** The living processes of a session. */
export const processesOf = (session: number): readonly Process[] =>
  readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    const [state, , group, sid] = statOf(name);
    return isLife(state) && Number(sid) === session ? [{ pid: Number(name), group: Number(group) }] : [];
  });

export const isAlive = (pid: number): boolean => isLife(statOf(String(pid))[0]);

/** The oldest child of a process. */
export const firstChild = (pid: number | undefined): number | undefined => {
  if (pid === undefined) return undefined;
  const [child] = read(`/proc/${pid}/task/${pid}/children`).split(" ");
  return child ? Number(child) : undefined;
};

/** Neither gone, nor a zombie, nor about to be one. */
const isLife = (state: string | undefined): boolean => state !== undefined && state !== "Z" && state !== "X";

/** State, parent, group, session: the fields after the program's name, which may contain anything. */
const statOf = (pid: string): readonly string[] => {
  const stat = read(`/proc/${pid}/stat`);
  return stat === "" ? [] : stat.slice(stat.lastIndexOf(")") + 2).split(" ");
};

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};
