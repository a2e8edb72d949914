/** Reads a configuration file: everything that is wrong with it, each with its place in the file, or the configuration. */
import { readFile } from "node:fs/promises";
import { Data, Effect, Result } from "effect";
import type { FailureFields } from "../failure.ts";
import { decodeWith } from "./decode.ts";
import { type Modernized, modernize } from "./deprecated.ts";
import {
  type Diagnostic,
  type Finding,
  formatDiagnostic,
  formatPath,
  type Path,
  startsWith,
} from "./diagnostic.ts";
import { formOf, isObject, type PlainObject } from "./form.ts";
import { normalize } from "./normalize.ts";
import { withoutNotBuilt } from "./not-built.ts";
import { Config } from "./schema.ts";
import { validate } from "./validate.ts";
import { beginning, type Positions, readYaml } from "./yaml.ts";

const CONFIG_ERROR = "CORE_CONFIG_ERROR";

/** A configuration that cannot be used. `diagnostics` has every reason, in the order of the file. */
export class ConfigInvalid extends Data.TaggedError("ConfigInvalid")<
  FailureFields & {
    readonly diagnostics: ReadonlyArray<Diagnostic>;
    readonly warnings: ReadonlyArray<Diagnostic>;
  }
> {
  readonly code = CONFIG_ERROR;
  readonly userMessage = "This server is not configured correctly. Please try again later.";
}

export interface Loaded {
  readonly config: Config;
  /** Deprecated spellings and parts without effect. */
  readonly warnings: ReadonlyArray<Diagnostic>;
}

/** Rules and warnings of a source about its part of the configuration, with paths from the root. */
export type Check = (config: Config) => Effect.Effect<ReadonlyArray<Finding>>;

/** Reads and checks a YAML file (JSON is YAML too). */
export const loadFile = (
  path: string,
  checks: ReadonlyArray<Check> = [],
): Effect.Effect<Loaded, ConfigInvalid> =>
  Effect.flatMap(
    Effect.tryPromise({
      try: () => readFile(path, "utf8"),
      catch: (cause) => {
        const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown error";
        return invalid([{ ...nowhere, file: path, message: `cannot be read: ${code}` }]);
      },
    }),
    (text) => parse(text, path, checks),
  );

/** Reads and checks YAML text; `file` is its name in messages. */
export const parse = (
  text: string,
  file: string,
  checks: ReadonlyArray<Check> = [],
): Effect.Effect<Loaded, ConfigInvalid> => {
  const { root, positions, problems } = readYaml(text);
  const syntax = problems.map(
    ({ position, path, message }): Diagnostic => ({
      code: CONFIG_ERROR,
      file,
      ...position,
      path: formatPath(path),
      message,
    }),
  );
  return root === undefined
    ? Effect.fail(invalid(inOrder(syntax)))
    : read(root, file, { positions, syntax, checks });
};

/** Checks a configuration that is there as an object already, as a file would hold it. */
export const fromObject = (
  root: PlainObject,
  name: string,
  checks: ReadonlyArray<Check> = [],
): Effect.Effect<Loaded, ConfigInvalid> => read(root, name, { positions: noPositions, syntax: [], checks });

interface Reading {
  readonly positions: Positions;
  /** What the YAML parser found already. */
  readonly syntax: ReadonlyArray<Diagnostic>;
  readonly checks: ReadonlyArray<Check>;
}

const form = formOf(Config);

const read = (root: unknown, file: string, { positions, syntax, checks }: Reading) =>
  Effect.gen(function* () {
    if (!isObject(root)) {
      const message = "expected a mapping of sections such as ssh, auth and backend";
      return yield* Effect.fail(invalid([...syntax, { ...nowhere, file, message }]));
    }
    const modern = modernize(root);
    const built = withoutNotBuilt(modern.root);
    const unmove = (path: Path) => (positions.has(path) ? path : undoMove(path, modern.moved));
    const normalized = normalize(form, built.root, {
      ignoreCase: false,
      textAt: (path) => positions.textAt(unmove(path)),
    });
    const decoded = decodeWith(Config, normalized.value);
    const later = Result.isFailure(decoded)
      ? decoded.failure
      : (yield* Effect.all([validate, ...checks].map((check) => check(decoded.success)))).flat();
    const findings = [
      ...modern.findings,
      ...built.findings,
      ...normalized.findings,
      ...later.map((finding) => ({ ...finding, path: normalized.asWritten(finding.path) })),
    ];
    const diagnose = ({ path, message, suggestion, code }: Finding): Diagnostic => {
      const original = unmove(path);
      return {
        code: code ?? CONFIG_ERROR,
        file,
        ...positions.of(original),
        path: formatPath(original),
        message,
        ...(suggestion === undefined ? {} : { suggestion }),
      };
    };
    const isWarning = ({ severity }: Finding) => severity === "warning";
    const warnings = inOrder(findings.filter(isWarning).map(diagnose));
    const errors = inOrder([...syntax, ...findings.filter((finding) => !isWarning(finding)).map(diagnose)]);
    return Result.isSuccess(decoded) && errors.length === 0
      ? { config: decoded.success, warnings }
      : yield* Effect.fail(invalid(errors, warnings));
  });

const undoMove = (path: Path, moved: Modernized["moved"]): Path => {
  const move = moved.find(({ to }) => startsWith(path, to));
  return move === undefined ? path : [...move.from, ...path.slice(move.to.length)];
};

/** By line; what was moved to two places and is wrong in both is told once. */
const inOrder = (diagnostics: ReadonlyArray<Diagnostic>): ReadonlyArray<Diagnostic> => {
  const distinct = new Map(diagnostics.map((diagnostic) => [formatDiagnostic(diagnostic), diagnostic]));
  return [...distinct.values()].sort((one, other) => one.line - other.line || one.column - other.column);
};

const invalid = (
  diagnostics: ReadonlyArray<Diagnostic>,
  warnings: ReadonlyArray<Diagnostic> = [],
): ConfigInvalid =>
  new ConfigInvalid({ message: diagnostics.map(formatDiagnostic).join("\n"), diagnostics, warnings });

/** For what is wrong with a file as a whole. */
const nowhere = { code: CONFIG_ERROR, ...beginning, path: "" } as const;

/** Of an object that was never a file. */
const noPositions: Positions = {
  has: () => true,
  of: () => ({ line: 0, column: 0 }),
  textAt: () => undefined,
};
