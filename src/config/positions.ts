/** Finds the line and column of a path in a YAML document and back, and the text of a scalar as it was written. */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  type LineCounter,
  type Node,
  type ParsedNode,
  visit,
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

export const positionsIn = (document: Document.Parsed, lines: LineCounter): Positions => {
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
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
export const pathOfKeyAt = (document: Document.Parsed, offset: number): Path => {
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
