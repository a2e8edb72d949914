/** People who log in without an authentication server: Berth's own `auth.users`. */
import { availableParallelism } from "node:os";
import { Effect, Semaphore } from "effect";
import { type Finding, formatPath } from "../config/diagnostic.ts";
import type { User } from "../config/sections/auth.ts";
import { failure } from "../failure.ts";
import type { Logger } from "../log/logger.ts";
import { type Authenticator, PasswordRefused, PublicKeyRefused, provenIdentity } from "./authenticator.ts";
import { blobOf, readAuthorizedKey } from "./authorized-key.ts";
import { type PasswordHash, readPasswordHash } from "./password-hash.ts";

/** A user of the configuration can't be used as written. The message names each path that is wrong, never a value. */
export class UsersInvalid extends failure(
  "UsersInvalid",
  "AUTH_CONFIG_ERROR",
  "This server is not configured correctly. Please tell your administrator.",
) {}

interface KnownUser {
  readonly passwordHash: PasswordHash | undefined;
  readonly keyBlobs: ReadonlySet<string>;
}

/**
 * Checks passwords and keys against a list of users. A wrong user name takes as long as a wrong password, as long
 * as all hashes ask for the same work.
 */
export const usersAuthenticator = (
  users: ReadonlyArray<User>,
  logger: Logger,
): Effect.Effect<Required<Authenticator>, UsersInvalid> =>
  Effect.gen(function* () {
    const known = yield* readUsers(users);
    const decoy = [...known.values()].find((user) => user.passwordHash !== undefined)?.passwordHash;
    // Hashes are made to cost memory and processor time; a crowd at the door has to queue for both. Half of libuv's
    // four threads stay free for files and names.
    const computations = yield* Semaphore.make(Math.min(2, availableParallelism()));
    return {
      password: (attempt) =>
        Effect.gen(function* () {
          const log = logger.with({ ...labels(attempt), authtype: "password" });
          log.debug("AUTH", "Password authentication request");
          const user = known.get(attempt.username);
          const hash = user?.passwordHash;
          const matches = yield* computations.withPermit(
            Effect.uninterruptible((hash ?? decoy)?.matches(attempt.password) ?? Effect.succeed(false)),
          );
          if (hash === undefined || !matches) {
            const why =
              user === undefined
                ? "no such user"
                : hash === undefined
                  ? "user has no password"
                  : "wrong password";
            log.debug("AUTH_FAILED", "Password authentication failed", { why });
            return yield* new PasswordRefused({
              message: "Password authentication failed",
              details: { username: attempt.username, why },
            });
          }
          log.debug("AUTH_SUCCESSFUL", "Password authentication successful");
          return provenIdentity(attempt);
        }),
      publicKey: (attempt) =>
        Effect.suspend(() => {
          const log = logger.with({ ...labels(attempt), authtype: "pubkey" });
          log.debug("AUTH", "Public key authentication request");
          if (known.get(attempt.username)?.keyBlobs.has(blobOf(attempt.key)) !== true) {
            log.debug("AUTH_FAILED", "Public key authentication failed");
            return Effect.fail(
              new PublicKeyRefused({
                message: "Public key authentication failed",
                details: { username: attempt.username },
              }),
            );
          }
          log.debug("AUTH_SUCCESSFUL", "Public key authentication successful");
          return Effect.succeed(provenIdentity(attempt));
        }),
    };
  });

const labels = ({ connectionId, username }: { connectionId: string; username: string }) => ({
  connectionId,
  username,
});

/** What keeps users from being used as written, by paths in the list. */
export const usersFindings = (users: ReadonlyArray<User>): ReadonlyArray<Finding> =>
  users.flatMap(({ name, passwordHash, authorizedKeys }, index) => {
    const isTaken = users.findIndex((user) => user.name === name) < index;
    const hash = passwordHash && readPasswordHash(passwordHash);
    return [
      ...(isTaken ? [{ path: [index, "name"], message: "is the name of another user too" }] : []),
      ...(typeof hash === "string" ? [{ path: [index, "passwordHash"], message: hash }] : []),
      ...authorizedKeys.flatMap((line, position) => {
        const key = readAuthorizedKey(line);
        return typeof key === "string" ? [{ path: [index, "authorizedKeys", position], message: key }] : [];
      }),
    ];
  });

const knownUser = ({ passwordHash, authorizedKeys }: User): KnownUser => {
  const hash = passwordHash && readPasswordHash(passwordHash);
  return {
    passwordHash: typeof hash === "string" ? undefined : hash,
    keyBlobs: new Set(
      authorizedKeys.flatMap((line) => {
        const key = readAuthorizedKey(line);
        return typeof key === "string" ? [] : [key.blob];
      }),
    ),
  };
};

const readUsers = (
  users: ReadonlyArray<User>,
): Effect.Effect<ReadonlyMap<string, KnownUser>, UsersInvalid> => {
  const findings = usersFindings(users);
  if (findings.length === 0)
    return Effect.succeed(new Map(users.map((user) => [user.name, knownUser(user)])));
  const problems = findings.map(
    ({ path, message }) => `${formatPath(["auth", "users", ...path])}: ${message}`,
  );
  return Effect.fail(
    new UsersInvalid({ message: problems.join("; "), details: { problems: problems.length } }),
  );
};
