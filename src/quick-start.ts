/**
 * The embedded default: what Berth runs without a configuration file. One machine, one user `demo` with a password
 * made for this run, and the invoking user's own public keys.
 */
import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { Duration, Effect, Redacted } from "effect";
import { hashPassword } from "./auth/password-hash.ts";
import { openEngine } from "./backend/docker/engine.ts";
import { defaults } from "./config/schema.ts";

export const DEMO_USER = "demo";

export interface QuickStart {
  /** A configuration as a file would hold it. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly password: Redacted.Redacted<string>;
  /** Public key files whose keys let their owner in. */
  readonly keyFiles: readonly string[];
}

/** Programs run in containers where a Docker Engine answers, otherwise on this machine. */
export const quickStart = (): Effect.Effect<QuickStart> =>
  Effect.gen(function* () {
    const backend = (yield* dockerAnswers) ? "docker" : "process";
    const password = Redacted.make(randomBytes(9).toString("base64url"));
    const passwordHash = yield* hashPassword(password);
    const keys = yield* Effect.promise(publicKeys);
    return {
      password,
      keyFiles: keys.map(({ file }) => file),
      config: {
        ssh: { listen: "127.0.0.1:2222" },
        log: { format: "text" },
        inspect: { enable: true, listen: "127.0.0.1:0" },
        auth: {
          password: { method: "users" },
          publicKey: { method: "users" },
          users: [{ name: DEMO_USER, passwordHash, authorizedKeys: keys.map(({ key }) => key) }],
        },
        backend,
      },
    };
  });

/** Whether an Engine answers at the default configuration's address. */
const dockerAnswers = openEngine(defaults.docker.connection).pipe(
  Effect.flatMap((engine) => engine.negotiate(Duration.seconds(2))),
  Effect.match({ onSuccess: () => true, onFailure: () => false }),
);

/** The invoking user's `~/.ssh/*.pub`; certificates (`*-cert.pub`) are no keys. */
const publicKeys = async (): Promise<readonly { file: string; key: string }[]> => {
  const folder = join(homedir(), ".ssh");
  const names = await readdir(folder).catch(() => []);
  const files = names.filter((name) => name.endsWith(".pub") && !name.endsWith("-cert.pub")).sort();
  return Promise.all(
    files.map(async (name) => ({
      file: join(folder, name),
      key: (await readFile(join(folder, name), "utf8")).trim(),
    })),
  );
};
