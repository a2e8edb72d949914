/** Reads YAML and keeps where everything was written: the line and column of a path, the text of a scalar. */
import { Result } from "effect";
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParsedNode,
  parseDocument,
  visit,
  type YAMLError,
} from "yaml";
import type { Path } from "./diagnostic.ts";

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface Positions {
  readonly has: (path: Path) => boolean;
  /** The key of a value, the item of a list, or what is nearest around it. */
  readonly of: (path: Path) => Position;
  readonly textAt: (path: Path) => string | undefined;
}

/** What is wrong with a document before anybody asks what it means. */
export interface Problem {
  readonly position: Position;
  readonly path: Path;
  readonly message: string;
}

export interface Read {
  /** Undefined if the problems leave nothing to be looked at. */
  readonly root: unknown;
  readonly positions: Positions;
  readonly problems: ReadonlyArray<Problem>;
}

/** Where an empty document, or one as a whole, is. */
export const beginning: Position = { line: 1, column: 1 };

export const readYaml = (text: string): Read => {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, merge: true, stringKeys: true, prettyErrors: false });
  const at = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const positions = positionsIn(document, at);
  const syntax = document.errors.map((error) => problemOf(error, document, at));
  const aliases = aliasProblems(document, at);
  if (document.errors.some(({ code }) => code !== "DUPLICATE_KEY") || aliases.length > 0) {
    return { root: undefined, positions, problems: [...syntax, ...aliases] };
  }
  readOctals(document);
  const root = Result.try((): unknown => document.toJS({ maxAliasCount: 1000 }));
  if (Result.isFailure(root)) {
    const message = "repeats its parts by aliases so often that it would exhaust the memory";
    return { root: undefined, positions, problems: [...syntax, { position: beginning, path: [], message }] };
  }
  return { root: root.success ?? {}, positions, problems: syntax };
};

/** A number with a leading zero is octal, as in YAML 1.1 and for the reference: file modes are written so. */
const readOctals = (document: Document.Parsed): void =>
  visit(document, {
    Scalar: (_, scalar) => {
      if (typeof scalar.value === "number" && /^0[0-7]+$/.test(scalar.source ?? "")) {
        scalar.value = Number.parseInt(scalar.source ?? "", 8);
      }
    },
  });

const problemOf = (
  { code, message, pos }: YAMLError,
  document: Document.Parsed,
  at: (offset: number) => Position,
): Problem => {
  const position = at(pos[0]);
  switch (code) {
    case "DUPLICATE_KEY":
      return { position, path: pathOfKeyAt(document, pos[0]), message: "this key is there twice" };
    case "MULTIPLE_DOCS":
      return { position, path: [], message: "there is more than one document" };
    default:
      // Some messages end with a quotation of the file, which may be a secret.
      return { position, path: [], message: message.replace(/: ".*$/s, "") };
  }
};

const aliasProblems = (
  document: Document.Parsed,
  at: (offset: number) => Position,
): ReadonlyArray<Problem> => {
  const problems: Problem[] = [];
  visit(document, {
    Alias: (_, alias, ancestors) => {
      const target = alias.resolve(document);
      const position = at(alias.range?.[0] ?? 0);
      if (target === undefined) {
        problems.push({ position, path: [], message: "this alias has no anchor before it" });
      } else if (ancestors.includes(target)) {
        problems.push({ position, path: [], message: "this alias stands for what it is a part of" });
      }
    },
  });
  return problems;
};

const positionsIn = (document: Document.Parsed, at: (offset: number) => Position): Positions => {
  const walk = (path: Path) => {
    let node: unknown = document.contents;
    let offset = document.contents?.range[0] ?? 0;
    for (const step of path) {
      const found = child(resolve(node, document), step);
      if (found === undefined) {
        return { found: false, node: undefined, offset };
      }
      node = found.node;
      offset = found.offset;
    }
    return { found: true, node: resolve(node, document), offset };
  };
  return {
    has: (path) => walk(path).found,
    of: (path) => at(walk(path).offset),
    textAt: (path) => {
      const { node } = walk(path);
      return isScalar(node) ? node.source : undefined;
    },
  };
};

const resolve = (node: unknown, document: Document.Parsed): unknown =>
  isAlias(node) ? node.resolve(document) : node;

/** A value of a mapping is shown at its key: that is where one reads what it is for. */
const child = (
  node: unknown,
  step: string | number,
): { readonly node: unknown; readonly offset: number } | undefined => {
  if (isMap<ParsedNode, ParsedNode | null>(node)) {
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
    return pair === undefined ? undefined : { node: pair.value, offset: pair.key.range[0] };
  }
  if (isSeq<ParsedNode>(node) && typeof step === "number") {
    const item = node.items[step];
    return item === undefined ? undefined : { node: item, offset: item.range[0] };
  }
  return undefined;
};

/** The path of the key that begins at an offset. */
const pathOfKeyAt = (document: Document.Parsed, offset: number): Path => {
  let path: Path = [];
  visit(document, {
    Pair: (_, pair, ancestors) => {
      if (isNode(pair.key) && pair.key.range?.[0] === offset) {
        path = [...ancestors, pair].flatMap((ancestor, index, all) => stepInto(ancestor, all[index + 1]));
        return visit.BREAK;
      }
      return undefined;
    },
  });
  return path;
};

const stepInto = (ancestor: unknown, next: unknown): Path => {
  if (isPair(ancestor)) {
    return [isScalar(ancestor.key) ? String(ancestor.key.value) : ""];
  }
  return isSeq<Node>(ancestor) && isNode(next) ? [ancestor.items.indexOf(next)] : [];
};
