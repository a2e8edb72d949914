/** Reads the fields that hold PEM text or the path of a file with it, as the reference tells them apart. */
import { readFile } from "node:fs/promises";
import { Effect, Redacted } from "effect";
import { failure } from "../failure.ts";

/** The file that a PEM field names could not be read. The message says which and why. */
export class PemUnreadable extends failure(
  "PemUnreadable",
  "CORE_CONFIG_ERROR",
  "This server is not configured correctly. Please try again later.",
) {}

/** Whether a PEM field holds the text itself; otherwise it is the path of a file. */
export const isPemText = (field: string): boolean => field.trimStart().startsWith("-----");

/** The text of a certificate field; undefined if the field is empty. */
export const readPem = (field: string): Effect.Effect<string | undefined, PemUnreadable> => {
  if (field.trim() === "") {
    return Effect.succeed(undefined);
  }
  return isPemText(field) ? Effect.succeed(field) : readPemFile(field);
};

/** The text of a private key field; undefined if the field is empty. */
export const readSecretPem = (
  field: Redacted.Redacted<string>,
): Effect.Effect<Redacted.Redacted<string> | undefined, PemUnreadable> =>
  Effect.map(readPem(Redacted.value(field)), (text) =>
    text === undefined ? undefined : Redacted.make(text),
  );

/** An empty file is one that somebody is writing: TLS would go on without what should be in it. */
const readPemFile = (path: string): Effect.Effect<string, PemUnreadable> =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => cause,
  }).pipe(
    Effect.filterOrFail(
      (text) => text.trim() !== "",
      () => new Error("it is empty"),
    ),
    Effect.mapError(
      (cause) =>
        new PemUnreadable({ message: `cannot read ${path}: ${whyOf(cause)}`, details: { path }, cause }),
    ),
  );

const whyOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return "unknown error";
  return "code" in cause ? String(cause.code) : cause.message;
};
