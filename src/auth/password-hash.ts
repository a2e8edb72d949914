/**
 * Password hashes as PHC strings: `$argon2id$v=19$m=…,t=…,p=…$salt$hash` and `$scrypt$ln=…,r=…,p=…$salt$hash`,
 * computed off the event loop's thread.
 */
import { type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { hash, parseOptions, verify } from "@node-rs/argon2";
import { Effect, Redacted } from "effect";

/** A hash that was read and found fit to be computed here. */
export interface PasswordHash {
  /** Memory of one computation, in bytes. */
  readonly memoryBytes: number;
  /** Can't be stopped once it began: whoever limits how many run at once must wait for the end. */
  readonly matches: (password: Redacted.Redacted<string>) => Effect.Effect<boolean>;
}

/** One computation may take this much; a hash that asks for more is a mistake or an attack on the daemon. */
const memoryLimitBytes = 256 * 1024 * 1024;

/** A hash for the configuration: argon2id with 19 MiB, 2 passes, 1 lane (OWASP Password Storage Cheat Sheet). */
export const hashPassword = (password: Redacted.Redacted<string>): Effect.Effect<string> =>
  Effect.promise(() => hash(Redacted.value(password), { memoryCost: 19456, timeCost: 2, parallelism: 1 }));

/** Reads a hash; what is wrong with it is a text for the operator that never repeats it. */
export const readPasswordHash = (text: Redacted.Redacted<string>): PasswordHash | string => {
  const phc = Redacted.value(text);
  const read = phc.startsWith("$argon2id$")
    ? readArgon2id(phc)
    : phc.startsWith("$scrypt$")
      ? readScrypt(phc)
      : "expected a hash that begins with $argon2id$ or $scrypt$, as `berth hash-password` prints it";
  return typeof read === "string" || read.memoryBytes <= memoryLimitBytes
    ? read
    : `asks for more than ${memoryLimitBytes / 1024 / 1024} MiB of memory`;
};

const readArgon2id = (phc: string): PasswordHash | string => {
  const options = argon2Options(phc);
  if (options === undefined) {
    return "not a complete $argon2id$ hash";
  }
  if (options.timeCost > 20 || options.parallelism > 16) {
    return "asks for more than 20 passes or 16 lanes";
  }
  return {
    memoryBytes: options.memoryCost * 1024,
    matches: (password) => Effect.promise(() => verify(phc, Redacted.value(password))),
  };
};

const argon2Options = (phc: string) => {
  try {
    return parseOptions(phc);
  } catch {
    // The library says only that the string is invalid, which the caller's sentence says better.
    return undefined;
  }
};

const computeScrypt: (
  password: string,
  salt: Buffer,
  keyLength: number,
  options: ScryptOptions,
) => Promise<Buffer> = promisify(scrypt);

const scryptForm =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})={0,2}\$([A-Za-z0-9+/]{43,86})={0,2}$/;

const readScrypt = (phc: string): PasswordHash | string => {
  const [, ln, r, p, salt, key] = scryptForm.exec(phc) ?? [];
  if (salt === undefined || key === undefined) {
    return "not a complete $scrypt$ hash ($scrypt$ln=…,r=…,p=…$salt$hash with at least 8 bytes of salt and 32 of hash)";
  }
  const [logN, blockSize, parallelization] = [Number(ln), Number(r), Number(p)];
  if (logN < 1 || blockSize < 1 || parallelization < 1 || parallelization > 16) {
    return "ln, r and p have to be at least 1, and p at most 16";
  }
  const expected = Buffer.from(key, "base64");
  const memoryBytes = 128 * blockSize * (2 ** logN + parallelization);
  const options = { N: 2 ** logN, r: blockSize, p: parallelization, maxmem: memoryBytes + 1024 * 1024 };
  return {
    memoryBytes,
    matches: (password) =>
      Effect.promise(async () =>
        timingSafeEqual(
          await computeScrypt(
            Redacted.value(password),
            Buffer.from(salt, "base64"),
            expected.length,
            options,
          ),
          expected,
        ),
      ),
  };
};
