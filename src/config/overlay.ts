/**
 * Lays the configuration server's answer over the file's configuration. The answer may set what decides about one
 * connection and nothing else, and is decoded by the same schema as the file.
 */
import { Effect, Result, Schema } from "effect";
import { failure } from "../failure.ts";
import { decodeWith } from "./decode.ts";
import { didYouMean, type Finding, formatPath, type Path } from "./diagnostic.ts";
import { formOf, isObject, type PlainObject } from "./form.ts";
import { merge } from "./merge.ts";
import { normalize, suggest } from "./normalize.ts";
import { notBuiltSections } from "./not-built.ts";
import { Config, PerConnection } from "./schema.ts";
import { Log } from "./sections/log.ts";
import { validatePerConnection } from "./validate.ts";
import { isZero } from "./zero.ts";

/** The answer cannot be used. The message names every wrong key and no value. */
export class OverlayRejected extends failure(
  "OverlayRejected",
  "BACKEND_CONFIG_ERROR",
  "Your environment is not configured correctly. Please ask your administrator for help.",
) {}

/** @param answer the `config` of the server's response, as parsed from JSON */
export const overlay = (base: Config, answer: unknown): Effect.Effect<Config, OverlayRejected> => {
  if (answer === undefined || answer === null) {
    return Effect.succeed(base);
  }
  if (!isObject(answer)) {
    return reject([{ path: [], message: "expected an object" }]);
  }
  const { allowed, findings } = sortOut(answer);
  const normalized = normalize(form, allowed, { ignoreCase: true, textAt: () => undefined });
  const asWritten = (finding: Finding) => ({ ...finding, path: normalized.asWritten(finding.path) });
  const merged = merge(form, encode(base), normalized.value);
  const decoded = decodeWith(PerConnection, merged);
  if (Result.isFailure(decoded)) {
    return reject([...findings, ...normalized.findings, ...decoded.failure.map(asWritten)]);
  }
  const invalid = validatePerConnection(decoded.success)
    .filter(({ severity }) => severity !== "warning")
    .map(asWritten);
  const wrong = [...findings, ...normalized.findings, ...invalid];
  return wrong.length > 0 ? reject(wrong) : Effect.succeed({ ...base, ...decoded.success });
};

const form = formOf(PerConnection);
const encode = Schema.encodeSync(PerConnection);
const settable = Object.keys(PerConnection.fields);
const sections = [...Object.keys(Config.fields), ...notBuiltSections];

const notSettable = "cannot be set by the configuration server";

/** Takes out what an answer may not set: an error, unless it says nothing. */
const sortOut = (answer: PlainObject): { allowed: PlainObject; findings: ReadonlyArray<Finding> } => {
  const findings: Finding[] = [];
  const allowed = Object.entries(answer).flatMap(([key, value]): ReadonlyArray<[string, unknown]> => {
    const name = sections.find((section) => section === key.toLowerCase());
    if (name === undefined) {
      findings.push({ path: [key], message: "unknown key", ...suggest(key, sections) });
      return [];
    }
    if (name === "log" && isObject(value)) {
      return [[key, onlyLevel(key, value, findings)]];
    }
    if (settable.includes(name)) {
      return [[key, value]];
    }
    if (!isZero(value)) {
      findings.push(...leaves(value, [key]).map((path) => ({ path, message: notSettable })));
    }
    return [];
  });
  return { allowed: Object.fromEntries(allowed), findings };
};

/** Of the log, a user may have a level of their own. Go writes its zero level as `emerg`. */
const onlyLevel = (section: string, log: PlainObject, findings: Finding[]): PlainObject =>
  Object.fromEntries(
    Object.entries(log).filter(([key, value]) => {
      const name = key.toLowerCase();
      if (name === "level") {
        return value !== "emerg" && !isZero(value);
      }
      if (!(name in Log.fields)) {
        return true;
      }
      if (!isZero(value)) {
        findings.push(...leaves(value, [section, key]).map((path) => ({ path, message: notSettable })));
      }
      return false;
    }),
  );

/** The paths under which something is said. */
const leaves = (value: unknown, path: Path): ReadonlyArray<Path> => {
  if (isZero(value)) {
    return [];
  }
  return isObject(value)
    ? Object.entries(value).flatMap(([key, child]) => leaves(child, [...path, key]))
    : [path];
};

const reject = (findings: ReadonlyArray<Finding>) => {
  const paths = findings.map(({ path }) => formatPath(path));
  const sentences = findings.map(
    (finding, index) => `${paths[index] || "config"}: ${finding.message}${didYouMean(finding)}`,
  );
  return Effect.fail(
    new OverlayRejected({
      message: `The configuration server's answer cannot be used: ${sentences.join("; ")}`,
      details: { paths: paths.join(" ") },
    }),
  );
};
