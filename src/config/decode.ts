/** Decodes and encodes with a schema, and says in our words at which paths a value is wrong. */
import { Result, Schema, SchemaIssue } from "effect";
import type { Finding } from "./diagnostic.ts";

const words: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  boolean: "true or false",
  object: "a mapping",
  array: "a list",
};

/** Messages name what is expected and never what was found: it may be a secret. */
const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => {
    if (issue._tag === "MissingKey") {
      return "is missing";
    }
    const message = SchemaIssue.defaultLeafHook(issue);
    return message.replace(
      /^Expected (\w+)(.*)$/s,
      (_, first: string, rest: string) => `expected ${words[first] ?? first}${rest}`,
    );
  },
});

/** Every reason why a value is not what a schema wants, or the value it stands for. */
export const decodeWith = <A>(
  schema: Schema.Codec<A, unknown>,
  value: unknown,
): Result.Result<A, ReadonlyArray<Finding>> =>
  Result.mapError(Schema.decodeUnknownResult(schema, { errors: "all" })(value), ({ issue }) =>
    format(issue).issues.map(({ path, message }) => ({ path: (path ?? []).map(step), message })),
  );

const step = (key: PropertyKey | { readonly key: PropertyKey }): string | number => {
  const plain = typeof key === "object" ? key.key : key;
  return typeof plain === "number" ? plain : String(plain);
};
