/** People who log in without an authentication server, as the section `auth` of a configuration has them. */
import { must } from "./command.ts";
import { type Configuration, ENTRY } from "./daemon.ts";

export interface UserOfBerth {
  readonly name: string;
  readonly password?: string;
  /** Public keys in the authorized key format. */
  readonly keys?: ReadonlyArray<string>;
}

/** The section `auth` by which these users, and nobody else, log in with passwords and keys. */
export const usersAuth = async (...users: ReadonlyArray<UserOfBerth>): Promise<Configuration> => ({
  password: { method: "users" },
  publicKey: { method: "users" },
  users: await Promise.all(
    users.map(async ({ name, password, keys = [] }) => ({
      name,
      ...(password === undefined ? {} : { passwordHash: await passwordHash(password) }),
      authorizedKeys: keys,
    })),
  ),
});

/** By Berth's own `hash-password`. */
export const passwordHash = async (password: string): Promise<string> =>
  (await must(process.execPath, [ENTRY, "hash-password"], { stdin: `${password}\n` })).stdout.trim();
