/** How large a state's box is at least, and where its words stand in it: title, what it invokes, transitions that are text. */
import type { ChartInvoke, ChartState, ChartTransition } from "./chart.ts";
import { FONT, LINE_HEIGHT, widthOf, wrapped } from "./text.ts";

/** Sizes in CSS pixels. */
export const PADDING = 7;
/** From one column of rows to the next. */
const GUTTER = 18;
const ROW_COLUMNS = 52;

export interface TextRow<Content> {
  readonly content: Content;
  readonly lines: readonly string[];
  /** Where the first line begins, from the left and the top of the box or plate. */
  readonly x: number;
  readonly y: number;
}

export interface Box {
  readonly invokes: readonly TextRow<ChartInvoke>[];
  readonly rows: readonly TextRow<ChartTransition>[];
  readonly width: number;
  readonly height: number;
}

/** `room` is how wide the box will be for what is within: rows then stand in as many columns as there is room for. */
export const boxOf = ({ title, invokes, rows, kind }: ChartState, room = 0): Box => {
  const border = kind === "final" ? 4 : 0;
  const invoked = column(invokes, ({ text }) => text, PADDING + 12, PADDING + LINE_HEIGHT.title);
  const written = columns(rows, room - 2 * PADDING, invoked.bottom);
  const widest = Math.max(widthOf(title, FONT.title, true) + PADDING, invoked.right, written.right);
  return {
    invokes: invoked.rows,
    rows: written.rows,
    width: Math.ceil(Math.max(widest + PADDING, 60) + 2 * border),
    height: Math.ceil(written.bottom + PADDING - 4 + border),
  };
};

interface Column<Content> {
  readonly rows: readonly TextRow<Content>[];
  readonly right: number;
  readonly bottom: number;
}

const column = <Content>(
  contents: readonly Content[],
  textOf: (content: Content) => string,
  x: number,
  top: number,
): Column<Content> => {
  let bottom = top;
  const rows = contents.map((content) => {
    const lines = wrapped(textOf(content), ROW_COLUMNS);
    const y = bottom;
    bottom += lines.length * LINE_HEIGHT.row;
    return { content, lines, x, y };
  });
  const widths = rows.flatMap(({ lines }) => lines).map((line) => widthOf(line, FONT.row));
  return { rows, right: x + Math.max(0, ...widths), bottom };
};

/** As many columns as fit next to each other; one in any case. */
const columns = (
  contents: readonly ChartTransition[],
  room: number,
  top: number,
  wanted = contents.length,
): Column<ChartTransition> => {
  const size = Math.ceil(contents.length / Math.max(1, wanted));
  const placed: Column<ChartTransition>[] = [];
  for (let first = 0; first < contents.length; first += size) {
    const left = placed.at(-1)?.right;
    const x = left === undefined ? PADDING : left + GUTTER;
    placed.push(column(contents.slice(first, first + size), ({ label }) => label, x, top));
  }
  const right = Math.max(0, ...placed.map((each) => each.right));
  if (wanted > 1 && right > room) return columns(contents, room, top, wanted - 1);
  return {
    rows: placed.flatMap(({ rows }) => rows),
    right,
    bottom: Math.max(top, ...placed.map(({ bottom }) => bottom)),
  };
};
