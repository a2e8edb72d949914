/**
 * Writes the login's files where its programs will find them, and nowhere else: a user may have put symbolic links
 * into a home that stays, and the daemon may be root.
 */
import { createHash, randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { Effect, Redacted } from "effect";
import type { FileValue } from "../../metadata.ts";
import type { Account } from "./executables.ts";
import { FileWriteFailed } from "./failures.ts";

/** A directory of the host and what programs call it. */
export interface Root {
  readonly host: string;
  readonly seenAs: string;
}

export interface FilePlaces {
  /** Directories that programs have as their own. */
  readonly roots: readonly Root[];
  /** Paths, as programs see them, at and beneath which is something else already. */
  readonly taken: readonly string[];
  /** A directory for files that go to other places and are bound there one by one; missing where that cannot be. */
  readonly elsewhere: string | undefined;
  readonly account: Account | undefined;
}

/** A file of the host that is bound to a place in the sandbox. */
export interface BoundFile {
  readonly host: string;
  readonly seenAs: string;
}

/** @param files by absolute path, as programs see it */
export const writeFiles = (
  files: Readonly<Record<string, FileValue>>,
  places: FilePlaces,
): Effect.Effect<void, FileWriteFailed> =>
  Effect.forEach(
    Object.entries(files),
    ([path, { content }]) =>
      Effect.tryPromise({
        try: () => writeOne(path, Redacted.value(content), places, Object.keys(files)),
        catch: (cause) =>
          new FileWriteFailed({
            message: "A file of the login could not be written",
            details: { path, error: cause instanceof Error ? cause.message : String(cause) },
            cause,
          }),
      }),
    { discard: true },
  );

/** Which of the files have to be bound. */
export const boundFiles = (
  paths: readonly string[],
  { roots, elsewhere }: FilePlaces,
): readonly BoundFile[] =>
  elsewhere === undefined
    ? []
    : paths
        .filter((path) => !roots.some(({ seenAs }) => isBeneath(path, seenAs)))
        .map((path) => ({ host: join(elsewhere, keptAs(path)), seenAs: path }));

const writeOne = async (
  path: string,
  content: Uint8Array,
  { roots, taken, elsewhere, account }: FilePlaces,
  all: readonly string[],
): Promise<void> => {
  const parts = path.split("/").slice(1);
  if (!path.startsWith("/") || path.includes("\0") || parts.some((part) => ["", ".", ".."].includes(part))) {
    throw new Error("the path is not absolute and plain");
  }
  const inTheWay =
    taken.find((other) => path === other || isBeneath(path, other) || isBeneath(other, path)) ??
    roots.map(({ seenAs }) => seenAs).find((other) => path === other || isBeneath(other, path)) ??
    all.find((other) => isBeneath(path, other) || isBeneath(other, path));
  if (inTheWay !== undefined) throw new Error(`${inTheWay} is in the way`);
  const root = roots.find(({ seenAs }) => isBeneath(path, seenAs));
  if (root !== undefined) {
    const depth = root.seenAs.split("/").length - 1;
    return writeBeneath(root.host, parts.slice(depth), content, account);
  }
  if (elsewhere === undefined) throw new Error("without isolation, files can only be written to the home");
  return writeBeneath(elsewhere, [keptAs(path)], content, account);
};

const isBeneath = (path: string, directory: string): boolean => path.startsWith(`${directory}/`);

const keptAs = (path: string): string => createHash("sha256").update(path).digest("hex");

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW } = constants;
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** Goes down directory by directory, each opened in the one before, so that no link and no race leads elsewhere. */
const writeBeneath = async (
  root: string,
  parts: readonly string[],
  content: Uint8Array,
  account: Account | undefined,
): Promise<void> => {
  const name = parts.at(-1);
  if (name === undefined) throw new Error("the path is a directory");
  let directory = await open(root, O_RDONLY | O_DIRECTORY);
  try {
    for (const part of parts.slice(0, -1)) {
      const next = await enter(directory, part, account);
      await directory.close();
      directory = next;
    }
    await replace(directory, name, content, account);
  } finally {
    await directory.close();
  }
};

/** A path in an open directory: Node.js has no `openat`. */
const inside = (directory: FileHandle, name: string): string => `/proc/self/fd/${directory.fd}/${name}`;

const enter = async (
  directory: FileHandle,
  name: string,
  account: Account | undefined,
): Promise<FileHandle> => {
  const path = inside(directory, name);
  const created = await mkdir(path, { mode: DIRECTORY_MODE }).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "EEXIST") return false;
      throw error;
    },
  );
  const entered = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (created && account !== undefined) await entered.chown(account.uid, account.gid);
  return entered;
};

const replace = async (
  directory: FileHandle,
  name: string,
  content: Uint8Array,
  account: Account | undefined,
): Promise<void> => {
  const draft = inside(directory, `.berth-${randomUUID()}`);
  const file = await open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
  try {
    await file.writeFile(content);
    if (account !== undefined) await file.chown(account.uid, account.gid);
    await rename(draft, inside(directory, name));
  } catch (error) {
    await unlink(draft).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
};
