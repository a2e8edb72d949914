/** Host keys: read from the configuration, or made once and kept in the user's state directory. */
import { generateKeyPair, randomBytes } from "node:crypto";
import { link, mkdir, readFile, unlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { promisify } from "node:util";
import { Effect, Redacted } from "effect";
import type { Ssh } from "../config/sections/ssh.ts";
import { failure } from "../failure.ts";
import type { Logger } from "../log/logger.ts";
import { HostKey } from "./host-key.ts";
import { readKeyFile } from "./key-file.ts";

export class HostKeyUnusable extends failure(
  "HostKeyUnusable",
  "CORE_CONFIG_ERROR",
  "The server is not configured correctly. Please ask your administrator.",
) {}

export class HostKeyNotMade extends failure(
  "HostKeyNotMade",
  "CORE_HOST_KEY_GENERATION_FAILED",
  "The server has no host key. Please ask your administrator.",
) {}

/**
 * The configured host keys. Without any, an ed25519 key of the user's state directory is used, and made first when
 * there is none; where it can't be kept it lasts for this run.
 */
export const loadHostKeys = (
  { hostkeys }: Pick<Ssh, "hostkeys">,
  logger: Logger,
  folder: string = stateFolder(process.env),
): Effect.Effect<readonly HostKey[], HostKeyUnusable | HostKeyNotMade> =>
  hostkeys.length === 0
    ? Effect.map(keptKey(join(folder, "ssh_host_ed25519_key"), logger), (key) => [key])
    : Effect.forEach(hostkeys, (hostkey, index) => configuredKey(hostkey, `ssh.hostkeys[${index}]`, logger));

/** The XDG Base Directory Specification's place for what lasts between runs: `$XDG_STATE_HOME/berth`. */
export const stateFolder = (environment: NodeJS.ProcessEnv): string => {
  const { XDG_STATE_HOME: state = "" } = environment;
  return join(isAbsolute(state) ? state : join(homedir(), ".local", "state"), "berth");
};

const configuredKey = (
  hostkey: Redacted.Redacted<string>,
  option: string,
  logger: Logger,
): Effect.Effect<HostKey, HostKeyUnusable> => {
  const text = Redacted.value(hostkey).trim();
  if (text.startsWith("-----")) return parsed(text, option);
  return Effect.flatMap(
    Effect.tryPromise({
      try: () => readHostKey(text, logger),
      catch: (cause) =>
        new HostKeyUnusable({ message: `${option}: ${text} cannot be read: ${codeOf(cause)}`, cause }),
    }),
    (pem) => parsed(pem, `${option}: ${text}`),
  );
};

const parsed = (pem: string, name: string): Effect.Effect<HostKey, HostKeyUnusable> => {
  const key = HostKey.read(pem);
  return typeof key === "string"
    ? Effect.fail(new HostKeyUnusable({ message: `${name} ${key}`, details: { option: "ssh.hostkeys" } }))
    : Effect.succeed(key);
};

const readHostKey = (file: string, logger: Logger): Promise<string> =>
  readKeyFile(file, (exposed) =>
    logger.warning("SSH_HOST_KEY_EXPOSED", "Others than its owner can read a host key: chmod 600 it", {
      ...exposed,
    }),
  );

/** The key in a file of ours, made when there is none yet. */
const keptKey = (file: string, logger: Logger): Effect.Effect<HostKey, HostKeyUnusable | HostKeyNotMade> =>
  Effect.gen(function* () {
    const kept = yield* Effect.promise(() => readIfThere(file, logger));
    if (kept instanceof Error) {
      return yield* new HostKeyUnusable({ message: `${file} cannot be read: ${codeOf(kept)}`, cause: kept });
    }
    if (kept !== undefined) {
      logger.info("CORE_NO_HOST_KEYS", "ssh.hostkeys is empty: the key in this file is used", { file });
      return yield* parsed(kept, file);
    }
    const pem = yield* generated;
    const stored = yield* Effect.promise(() => keep(file, pem));
    if (stored instanceof Error) {
      const details = { file, error: codeOf(stored) };
      const message = "The host key that was made cannot be kept: clients will complain after the next start";
      logger.warning("CORE_CONFIG_CANNOT_WRITE_FILE", message, details);
      return yield* parsed(pem, "the new host key");
    }
    const message = "ssh.hostkeys is empty: a key was made and is kept in this file";
    logger.notice("CORE_NO_HOST_KEYS", message, { file });
    return yield* parsed(stored, file);
  });

const readIfThere = async (file: string, logger: Logger): Promise<string | Error | undefined> => {
  try {
    return await readHostKey(file, logger);
  } catch (error) {
    // A folder that is none, or may not be entered, shows in the attempt to write.
    return ["ENOENT", "ENOTDIR", "EACCES"].includes(codeOf(error)) ? undefined : asError(error);
  }
};

const generated: Effect.Effect<string, HostKeyNotMade> = Effect.tryPromise({
  try: () =>
    promisify(generateKeyPair)("ed25519", {
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    }),
  catch: (cause) => new HostKeyNotMade({ message: `No host key could be made: ${codeOf(cause)}`, cause }),
}).pipe(Effect.map(({ privateKey }) => privateKey));

/** Writes a key file whole or not at all; where another process was faster, its key counts. */
const keep = async (file: string, pem: string): Promise<string | Error> => {
  const temporary = `${file}.${randomBytes(6).toString("hex")}`;
  try {
    await mkdir(join(file, ".."), { recursive: true, mode: 0o700 });
    await writeFile(temporary, pem, { mode: 0o600, flag: "wx" });
    try {
      await link(temporary, file);
      return pem;
    } finally {
      await unlink(temporary);
    }
  } catch (error) {
    if (codeOf(error) !== "EEXIST") return asError(error);
    return readFile(file, "utf8").catch(asError);
  }
};

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

const codeOf = (error: unknown): string => {
  const { code, message } = asError(error) as NodeJS.ErrnoException;
  return code ?? message;
};
