/**
 * Where the Kerberos library notes the authenticators it has accepted, so that none is accepted twice: a file that all
 * servers of this user on this machine share (MIT Kerberos documentation: replay cache). Its own default is on a disk
 * that containers often can't write.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { Effect } from "effect";
import { KerberosMisconfigured } from "./failures.ts";
import { MEMORY_DIRECTORY } from "./library.ts";

/** Directories as the library looks for them, the first one first. */
const candidatesIn = ({ KRB5RCACHEDIR, TMPDIR = "/var/tmp" }: NodeJS.ProcessEnv): readonly string[] =>
  KRB5RCACHEDIR === undefined ? [TMPDIR, MEMORY_DIRECTORY] : [KRB5RCACHEDIR];

/** The file's name in it (krb5 1.18 and later). */
export const replayCacheIn = (directory: string): string =>
  join(directory, `krb5_${process.geteuid?.()}.rcache2`);

/** What the library does before it notes something; who else could write the file could forget things. */
const whyUnusable = async (directory: string): Promise<string | undefined> => {
  const path = replayCacheIn(directory);
  try {
    await using file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    const { uid } = await file.stat();
    return uid === process.geteuid?.() ? undefined : `${path} belongs to another user`;
  } catch (error) {
    return `${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`;
  }
};

/**
 * The directory of the cache, for `KRB5RCACHEDIR`: what this variable says, or else what the library would take, or
 * else memory. Undefined where `KRB5RCACHENAME` names a cache of the administrator's own. Fails when none can be
 * written: the library would refuse every ticket.
 */
export const replayCacheDirectory = (
  section: string,
  environment: NodeJS.ProcessEnv,
): Effect.Effect<string | undefined, KerberosMisconfigured> =>
  Effect.gen(function* () {
    if (environment.KRB5RCACHENAME !== undefined) return undefined;
    const reasons: string[] = [];
    for (const directory of candidatesIn(environment)) {
      const reason = yield* Effect.promise(() => whyUnusable(directory));
      if (reason === undefined) return directory;
      reasons.push(reason);
    }
    const reason = reasons.join(", ");
    return yield* Effect.fail(
      new KerberosMisconfigured({
        message: `${section} can't be used: the replay cache can't be written (${reason}): make one of these directories writable, or name another one in the environment variable KRB5RCACHEDIR`,
        details: { reason },
      }),
    );
  });
