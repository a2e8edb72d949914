/**
 * The directories of one connection: a home, and for a sandbox a /tmp and the few files of /etc that name its user.
 * What is made for a connection is removed with it; a home that the configuration names stays.
 */
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { Effect, Scope } from "effect";
import type { Home, Placement } from "../../../machines/process.ts";
import type { Logger } from "../../log/logger.ts";
import type { ConnectionResources } from "../backend.ts";
import type { Account } from "./executables.ts";
import { HomeFailed } from "./failures.ts";
import type { Sandbox } from "./sandbox.ts";
import { furnishConfiguration } from "./sandbox-view.ts";
import { safeUserName } from "./user-name.ts";

declare module "../../../machines/process.ts" {
  interface Home {
    readonly userName: string;
    /** The home as this host sees it. */
    readonly hostDirectory: string;
    /** What is removed when the connection ends: the private home is in it, and what a sandbox needs. */
    readonly workspace: Workspace;
    readonly account: Account | undefined;
  }
}

export interface Workspace {
  readonly directory: string;
  /** Seen as /tmp. */
  readonly temporary: string;
  /** Seen as /etc. */
  readonly configuration: string;
  /** Holds the login's files that are neither in the home nor in /tmp. */
  readonly files: string;
}

/** The user and group of sandboxed programs, as they see it themselves. */
export const SANDBOX_ID = 1000;
const PRIVATE = 0o700;
/** In `process.home`, it stands for the user's name. */
const USER_TOKEN = "%u";

/** @param sandbox missing when programs run without isolation */
export const prepareHome = (
  { identity, settings, shell }: Placement,
  { scope, logger }: ConnectionResources,
  sandbox: Sandbox | undefined,
): Effect.Effect<Home, HomeFailed> =>
  Effect.gen(function* () {
    const account = sandbox?.account;
    const userName = safeUserName(identity.authenticatedUsername || identity.username);
    const directory = yield* Effect.uninterruptible(makeWorkspace(scope, logger));
    const workspace: Workspace = {
      directory,
      temporary: join(directory, "tmp"),
      configuration: join(directory, "etc"),
      files: join(directory, "files"),
    };
    const configured = settings.process.home.replaceAll(USER_TOKEN, userName);
    const hostDirectory = configured === "" ? join(directory, "home") : configured;
    const home = sandbox === undefined ? hostDirectory : `/home/${userName}`;
    yield* attempt("prepare the home directory", async () => {
      if (!isAbsolute(hostDirectory)) throw new Error("process.home is not an absolute path");
      if (account !== undefined) await chown(directory, account.uid, account.gid);
      await ensureDirectory(hostDirectory, account);
      if (sandbox === undefined) return;
      await ensureDirectory(workspace.temporary, account);
      await ensureDirectory(workspace.files, account);
      await furnishConfiguration(directory, sandbox.configuration);
      await writeFile(join(workspace.configuration, "passwd"), passwdOf(userName, home, shell));
      await writeFile(join(workspace.configuration, "group"), groupOf(userName));
    });
    return { directory: home, hostDirectory, userName, workspace, account };
  });

const makeWorkspace = (scope: Scope.Scope, logger: Logger): Effect.Effect<string, HomeFailed> =>
  Effect.gen(function* () {
    const directory = yield* attempt("make a directory for the connection", () =>
      mkdtemp(join(tmpdir(), "berth-connection-")),
    );
    const removed = attempt("remove the directory of the connection", () => remove(directory));
    yield* Scope.addFinalizer(
      scope,
      Effect.catch(removed, ({ code, message, details }) =>
        Effect.sync(() => logger.error(code, message, { ...details, directory })),
      ),
    );
    return directory;
  });

const attempt = <A>(what: string, act: () => Promise<A>): Effect.Effect<A, HomeFailed> =>
  Effect.tryPromise({
    try: act,
    catch: (cause) =>
      new HomeFailed({
        message: `Could not ${what}`,
        details: { error: cause instanceof Error ? cause.message : String(cause) },
        cause,
      }),
  });

/** One that is there already belongs to whom it belongs. */
const ensureDirectory = async (path: string, account: Account | undefined): Promise<void> => {
  await mkdir(dirname(path), { recursive: true });
  try {
    await mkdir(path, { mode: PRIVATE });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return;
    throw error;
  }
  if (account !== undefined) await chown(path, account.uid, account.gid);
};

const passwdOf = (userName: string, home: string, shell: string): string =>
  [
    "root:x:0:0:root:/root:/usr/sbin/nologin",
    `${userName}:x:${SANDBOX_ID}:${SANDBOX_ID}::${home}:${shell}`,
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
    "",
  ].join("\n");

const groupOf = (userName: string): string =>
  ["root:x:0:", `${userName}:x:${SANDBOX_ID}:`, "nogroup:x:65534:", ""].join("\n");

/** A sandbox that was just killed may still be letting go of its files. */
const patiently = { recursive: true, force: true, maxRetries: 10, retryDelay: 20 } as const;

const remove = async (directory: string): Promise<void> => {
  try {
    await rm(directory, patiently);
  } catch {
    await makeRemovable(directory);
    await rm(directory, patiently);
  }
};

/** Users may take their own rights to a directory away. The attempt before may still be removing something. */
const makeRemovable = async (directory: string): Promise<void> => {
  await chmod(directory, PRIVATE);
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const entry = await lstat(path).catch(() => undefined);
    if (entry?.isDirectory()) await makeRemovable(path).catch(ignoreAbsence);
  }
};

const ignoreAbsence = (error: NodeJS.ErrnoException): void => {
  if (error.code !== "ENOENT") throw error;
};
