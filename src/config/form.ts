/**
 * The form of the configuration as it is written: which keys an object may have, which parts are maps with free keys,
 * lists or text. Derived once from a schema; what reads (`normalize.ts`) and merges (`merge.ts`) raw values walks it.
 */
import { type Schema, SchemaAST } from "effect";
import type { EncodedAnnotations } from "./codecs.ts";

export type Form =
  /** A Go struct: these keys, and others only if `rest` says what they hold. */
  | Struct
  /** A Go map: any key. */
  | { readonly kind: "map"; readonly value: Form }
  | { readonly kind: "list"; readonly item: Form }
  /** Text and nothing else, so that YAML's `1.3` can be read as the text it was written as. */
  | { readonly kind: "text" }
  /** Whichever of these the value looks like. */
  | { readonly kind: "either"; readonly forms: ReadonlyArray<Form> }
  /** A number or a boolean. */
  | { readonly kind: "value" }
  | { readonly kind: "anything" };

export interface Struct {
  readonly kind: "struct";
  readonly fields: ReadonlyMap<string, Field>;
  readonly rest: Form | undefined;
  readonly anyCase: boolean;
}

export interface Field {
  readonly form: Form;
  /** May be left out, so that Go's zero values stand for its default. */
  readonly optional: boolean;
  readonly zeroIsAValue: boolean;
  /** Other spellings of the key. */
  readonly alsoSpelt: ReadonlyArray<string>;
}

export const formOf = (schema: Schema.Constraint): Form => encodedForm(SchemaAST.toEncoded(schema.ast));

const encodedForm = (ast: SchemaAST.AST): Form => {
  switch (ast._tag) {
    case "Declaration": {
      const { expects } = annotationsOf(ast);
      return expects === undefined ? { kind: "anything" } : formOf(expects);
    }
    case "Objects": {
      const [index] = ast.indexSignatures;
      const rest = index === undefined ? undefined : encodedForm(index.type);
      const fields = new Map(ast.propertySignatures.map(({ name, type }) => [String(name), fieldOf(type)]));
      return rest !== undefined && fields.size === 0
        ? // A map to anything is an object of some API that is passed on: in Go that is a struct.
          rest.kind === "anything"
          ? rest
          : { kind: "map", value: rest }
        : { kind: "struct", fields, rest, anyCase: annotationsOf(ast).anyCase === true };
    }
    case "Arrays": {
      const [item] = ast.rest;
      return item === undefined ? { kind: "anything" } : { kind: "list", item: encodedForm(item) };
    }
    case "Union": {
      const forms = ast.types.map(encodedForm);
      return forms.every(({ kind }) => kind === "text") ? { kind: "text" } : { kind: "either", forms };
    }
    case "String":
    case "TemplateLiteral":
      return { kind: "text" };
    case "Literal":
      return typeof ast.literal === "string" ? { kind: "text" } : { kind: "value" };
    case "Unknown":
    case "Any":
    case "ObjectKeyword":
    case "Suspend":
      return { kind: "anything" };
    default:
      return { kind: "value" };
  }
};

const fieldOf = (ast: SchemaAST.AST): Field => {
  const outer = annotationsOf(ast);
  const inner = outer.expects === undefined ? outer : annotationsOf(SchemaAST.toEncoded(outer.expects.ast));
  return {
    form: encodedForm(ast),
    optional: SchemaAST.isOptional(ast),
    zeroIsAValue: inner.zeroIsAValue === true,
    alsoSpelt: inner.alsoSpelt ?? [],
  };
};

const annotationsOf = (ast: SchemaAST.AST): EncodedAnnotations => ast.annotations ?? {};

/** The form that fits a value: resolves `either` by what the value is; a number is text only where it can be nothing else. */
export const formFor = (form: Form, value: unknown): Form => {
  if (form.kind !== "either") {
    return form;
  }
  const fitting = form.forms.filter((candidate) => fits(candidate, value));
  const other = typeof value === "string" ? undefined : fitting.find(({ kind }) => kind !== "text");
  return other ?? fitting[0] ?? { kind: "anything" };
};

const fits = (form: Form, value: unknown): boolean => {
  switch (form.kind) {
    case "struct":
    case "map":
      return isObject(value);
    case "list":
      return Array.isArray(value);
    case "either":
      return form.forms.some((candidate) => fits(candidate, value));
    case "anything":
      return true;
    default:
      return !isObject(value) && !Array.isArray(value);
  }
};

export type PlainObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is PlainObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
