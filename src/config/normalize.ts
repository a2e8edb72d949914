/**
 * Brings raw values into the spelling of the schema before they are decoded: finds unknown keys, and leaves out what
 * in the reference's Go structs stands for "the default" (`null`, `""`, `0`).
 */
import { closest, distance } from "fastest-levenshtein";
import { type Finding, type Path, samePath } from "./diagnostic.ts";
import { type Field, type Form, formFor, isObject, type PlainObject, type Struct } from "./form.ts";

export interface Source {
  /** Go's JSON decoder takes keys in any case, its YAML decoder does not. */
  readonly ignoreCase: boolean;
  /** The text of a scalar as it was written, where the format has no quotes to tell text from numbers. */
  readonly textAt: (path: Path) => string | undefined;
}

export interface Normalized {
  readonly value: unknown;
  /** Paths are as they were written. */
  readonly findings: ReadonlyArray<Finding>;
  /** A path of the schema, as it was written. */
  readonly asWritten: (path: Path) => Path;
}

export const normalize = (form: Form, value: unknown, source: Source): Normalized => {
  const findings: Finding[] = [];
  const respelt: Array<{ readonly path: Path; readonly key: string }> = [];

  const walk = (expected: Form, current: unknown, path: Path): unknown => {
    const fitting = formFor(expected, current);
    if (fitting.kind === "struct" && isObject(current)) {
      return walkStruct(fitting, current, path);
    }
    if (fitting.kind === "map" && isObject(current)) {
      return mapValues(current, (child, key) => walk(fitting.value, child, [...path, key]));
    }
    if (fitting.kind === "list" && Array.isArray(current)) {
      return current.map((child, index) => walk(fitting.item, child, [...path, index]));
    }
    if (fitting.kind === "text" && current === null) {
      return "";
    }
    if (fitting.kind === "text" && (typeof current === "number" || typeof current === "boolean")) {
      return source.textAt(asWritten(path)) ?? current;
    }
    return current;
  };

  const walkStruct = (struct: Struct, current: PlainObject, path: Path): PlainObject => {
    const known = new Map<string, unknown>();
    for (const [key, child] of Object.entries(current)) {
      const written = () => [...asWritten(path), key];
      const name = nameOf(struct.fields, key, source.ignoreCase || struct.anyCase);
      const field = name === undefined ? undefined : struct.fields.get(name);
      if (name === undefined || field === undefined) {
        if (struct.rest === undefined) {
          findings.push({ path: written(), message: "unknown key", ...suggest(key, struct.fields.keys()) });
        } else {
          known.set(key, walk(struct.rest, child, [...path, key]));
        }
        continue;
      }
      if (known.has(name)) {
        findings.push({ path: written(), message: `says the same as ${name}, which is there too` });
        continue;
      }
      if (name !== key) {
        respelt.push({ path: [...path, name], key });
      }
      if (!standsForDefault(field, child)) {
        known.set(name, walk(field.form, child, [...path, name]));
      }
    }
    return Object.fromEntries(known);
  };

  const asWritten = (path: Path): Path =>
    path.map(
      (step, index) => respelt.find((other) => samePath(other.path, path.slice(0, index + 1)))?.key ?? step,
    );

  return { value: walk(form, value, []), findings, asWritten };
};

export const mapValues = (
  object: PlainObject,
  change: (value: unknown, key: string) => unknown,
): PlainObject => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value, key)]));

const nameOf = (fields: ReadonlyMap<string, Field>, key: string, ignoreCase: boolean): string | undefined => {
  if (fields.has(key)) {
    return key;
  }
  const same = ignoreCase
    ? (name: string) => name.toLowerCase() === key.toLowerCase()
    : (name: string) => name === key;
  for (const [name, { alsoSpelt }] of fields) {
    if (same(name) || alsoSpelt.some(same)) {
      return name;
    }
  }
  return undefined;
};

const standsForDefault = (field: Field, value: unknown): boolean =>
  value === null || (field.optional && !field.zeroIsAValue && (value === "" || value === 0));

/** The known key that was probably meant, unless none is near. */
export const suggest = (key: string, known: Iterable<string>): Pick<Finding, "suggestion"> => {
  const names = [...known];
  if (names.length === 0) {
    return {};
  }
  const lower = key.toLowerCase();
  const nearest = closest(
    lower,
    names.map((name) => name.toLowerCase()),
  );
  const name = names.find((candidate) => candidate.toLowerCase() === nearest);
  const near = distance(lower, nearest) <= Math.max(1, Math.floor(key.length / 3));
  return near && name !== undefined ? { suggestion: name } : {};
};
