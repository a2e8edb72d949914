/** Finds programs of this machine. */
import { constants } from "node:fs";
import { access, readFile, stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { basename, isAbsolute, join } from "node:path";

/** Where system programs are, also when the daemon was started with a poorer PATH. */
const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

export const isExecutable = async (path: string): Promise<boolean> => {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
};

/** A program of the daemon's PATH, or of the system's directories. */
export const findExecutable = (name: string): Promise<string | undefined> =>
  firstOf([name], `${process.env.PATH ?? ""}:${SYSTEM_PATH}`);

/** The first of these programs that the system's directories have, where a sandbox sees it, too. */
export const findSystemProgram = (...names: readonly string[]): Promise<string | undefined> =>
  firstOf(names, SYSTEM_PATH);

const firstOf = async (names: readonly string[], path: string): Promise<string | undefined> => {
  for (const name of names) {
    for (const directory of path.split(":").filter(isAbsolute)) {
      const candidate = join(directory, name);
      if (await isExecutable(candidate)) return candidate;
    }
  }
  return undefined;
};

/** Empty when the user that runs Berth has no entry in the user database, as in many containers. */
const loginShell = (): string => {
  try {
    return userInfo().shell ?? "";
  } catch {
    return "";
  }
};

/** Shells for accounts that must not have one. */
const refusing: ReadonlySet<string> = new Set(["nologin", "false"]);

/**
 * The shells to try, best first: the configured one, or else the login shell of the user that runs Berth and
 * /bin/sh. `isVisible` says whether programs can see a path.
 */
export const findShell = async (
  configured: string,
  isVisible: (path: string) => boolean,
): Promise<{ readonly found: string | undefined; readonly tried: string }> => {
  const own = loginShell();
  const candidates = configured === "" ? [own, "/bin/sh"].filter((shell) => isAbsolute(shell)) : [configured];
  const tried = candidates.join(", ");
  for (const shell of candidates) {
    const usable = configured !== "" || !refusing.has(basename(shell));
    if (usable && isAbsolute(shell) && isVisible(shell) && (await isExecutable(shell))) {
      return { found: shell, tried };
    }
  }
  return { found: undefined, tried };
};

/** Who programs are on this machine when the daemon is root and need not be them. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const NOBODY: Account = { uid: 65534, gid: 65534 };

/** The account `nobody` of this machine. */
export const findNobody = async (): Promise<Account> => {
  const lines = (await readFile("/etc/passwd", "utf8").catch(() => "")).split("\n");
  const [, , uid, gid] = lines.find((line) => line.startsWith("nobody:"))?.split(":") ?? [];
  const account = { uid: Number(uid), gid: Number(gid) };
  return account.uid > 0 && account.gid > 0 ? account : NOBODY;
};
