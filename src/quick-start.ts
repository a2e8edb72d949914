/**
 * The embedded default: what Berth runs without a configuration file. One machine, one user `demo` with a password
 * made for this run, and the invoking user's own public keys.
 */
import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { Duration, Effect, Redacted } from "effect";
import { readAuthorizedKey } from "./auth/authorized-key.ts";
import { hashPassword } from "./auth/password-hash.ts";
import { type Engine, openEngine } from "./backend/docker/engine.ts";
import { findImage, pullImage } from "./backend/docker/images.ts";
import { defaults } from "./config/schema.ts";

export const DEMO_USER = "demo";
/** Or the next one that is free. */
export const QUICK_START_PORT = 2222;

export interface QuickStart {
  /** A configuration as a file would hold it. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly password: Redacted.Redacted<string>;
  /** Public key files whose keys let their owner in. */
  readonly keyFiles: readonly string[];
  /** Where programs run, as a sentence. */
  readonly place: string;
}

/** `say` tells whoever waits what it is that takes long. */
export const quickStart = (say: (line: string) => void): Effect.Effect<QuickStart> =>
  Effect.gen(function* () {
    const { sentence: place, ...backend } = yield* findPlace(say);
    const password = Redacted.make(randomBytes(9).toString("base64url"));
    const passwordHash = yield* hashPassword(password);
    const keys = yield* Effect.promise(publicKeys);
    return {
      password,
      place,
      keyFiles: keys.map(({ file }) => file),
      config: {
        ssh: { listen: `127.0.0.1:${QUICK_START_PORT}` },
        log: { format: "text" },
        inspect: { enable: true, listen: "127.0.0.1:0" },
        auth: {
          password: { method: "users" },
          publicKey: { method: "users" },
          users: [{ name: DEMO_USER, passwordHash, authorizedKeys: keys.map(({ key }) => key) }],
        },
        ...backend,
      },
    };
  });

interface Place {
  readonly sentence: string;
  readonly backend: "docker" | "process";
  readonly docker?: object;
}

/** The default of the configuration, with a shell and an SFTP server. */
const IMAGE = { name: "containerssh/containerssh-guest-image", tag: "latest" };
/** How long an Engine may take to answer. */
const ANSWER_WITHIN = Duration.seconds(2);
/** How long a pull may stand still. */
const PULL_PATIENCE = Duration.seconds(15);

/** Programs run in containers where a Docker Engine answers and has their image or can fetch it, otherwise here. */
const findPlace = (say: (line: string) => void): Effect.Effect<Place> => {
  // Where `docker` on the command line finds its Engine, too.
  const host = process.env.DOCKER_HOST || defaults.docker.connection.host;
  const here = (reason: string): Place => ({
    sentence: `Programs run on this machine: ${reason}.`,
    backend: "process",
  });
  return openEngine({ ...defaults.docker.connection, host }).pipe(
    Effect.tap((engine) => engine.negotiate(ANSWER_WITHIN)),
    Effect.matchEffect({
      onFailure: () => Effect.succeed(here("no Docker Engine answers")),
      onSuccess: (engine) =>
        Effect.match(fetchImage(engine, say), {
          onFailure: ({ message }) => here(`a Docker Engine answers, but has no ${IMAGE.name} (${message})`),
          onSuccess: (): Place => ({
            sentence: `Every connection gets a container of its own, of ${IMAGE.name}.`,
            backend: "docker",
            docker: { connection: { host }, execution: { container: { image: IMAGE.name } } },
          }),
        }),
    }),
  );
};

/** Before anybody logs in, who would have to wait for it, or would learn that it can't be had. */
const fetchImage = (engine: Engine, say: (line: string) => void) =>
  Effect.gen(function* () {
    if ((yield* findImage(engine, IMAGE.name, ANSWER_WITHIN)) !== undefined) return;
    say(`Fetching ${IMAGE.name} ...`);
    const pull = { image: IMAGE, platform: "", registryAuth: undefined, patience: PULL_PATIENCE };
    yield* pullImage(engine, pull, say);
  });

/** Those of the invoking user's `~/.ssh/*.pub` that can let somebody in: certificates and old kinds of keys can't. */
const publicKeys = async (): Promise<readonly { file: string; key: string }[]> => {
  const folder = join(homedir(), ".ssh");
  const names = await readdir(folder).catch(() => []);
  const files = names.filter((name) => name.endsWith(".pub")).sort();
  const found = await Promise.all(
    files.map(async (name) => ({
      file: join(folder, name),
      key: (await readFile(join(folder, name), "utf8").catch(() => "")).trim(),
    })),
  );
  return found.filter(({ key }) => typeof readAuthorizedKey(key) !== "string");
};
