/**
 * Draws a chart that has been laid out. Colours are custom properties, light and dark; a page that shows the picture
 * finds each state and each transition by `data-state` and `data-transition`, and lights them by class.
 */
import type { ElkPoint } from "elkjs";
import { PADDING } from "./boxes.ts";
import type { Placed, PlacedEdge, PlacedState, Rectangle } from "./layout.ts";
import { FONT, LINE_HEIGHT } from "./text.ts";

/** The same in every diagram. `.active`, `.taken` and `.last` are for pages that show where a machine is. */
const STYLE = `
.statechart { --sc-paper: #ffffff; --sc-ink: #1b2430; --sc-soft: #55606e; --sc-line: #6b7686; --sc-border: #9aa4b2;
  --sc-state: #f4f7fb; --sc-within: #ffffff; --sc-final: #eef0f3; --sc-does: #0b5a8a; --sc-active: #ffd34d;
  --sc-active-ink: #1b2430; --sc-taken: #0067b8;
  font-family: Arial, "Liberation Sans", Helvetica, sans-serif; background: var(--sc-paper); }
@media (prefers-color-scheme: dark) { .statechart { --sc-paper: #12161c; --sc-ink: #e8edf3; --sc-soft: #a9b4c2;
  --sc-line: #8b97a7; --sc-border: #566273; --sc-state: #1d242e; --sc-within: #171d25; --sc-final: #262e39;
  --sc-does: #7cc4f2; --sc-active: #8a6a00; --sc-active-ink: #ffffff; --sc-taken: #5fb3ff; } }
.statechart .page { fill: var(--sc-paper); }
.statechart .box { fill: var(--sc-state); stroke: var(--sc-border); stroke-width: 1.2; }
.statechart .odd > .box { fill: var(--sc-within); }
.statechart .final > .box { fill: var(--sc-final); }
.statechart .parallel > .box { stroke-dasharray: 6 3; }
.statechart .title { font-size: ${FONT.title}px; font-weight: bold; fill: var(--sc-ink); }
.statechart .does { font-size: ${FONT.row}px; font-style: italic; fill: var(--sc-does); }
.statechart a .does { text-decoration: underline; }
.statechart .row text { font-size: ${FONT.row}px; fill: var(--sc-soft); }
.statechart .line { fill: none; stroke: var(--sc-line); stroke-width: 1.2; }
.statechart .head, .statechart .dot { fill: var(--sc-line); }
.statechart .label { font-size: ${FONT.label}px; fill: var(--sc-ink); }
.statechart .plate { fill: var(--sc-paper); opacity: 0.88; }
.statechart .again:not(.taken) > .line, .statechart .again:not(.taken) > .head { display: none; }
.statechart .active > .box { fill: var(--sc-active); stroke: var(--sc-active-ink); stroke-width: 2.4; }
.statechart .active > .title, .statechart .active .does, .statechart .active .row text { fill: var(--sc-active-ink); }
.statechart .compound.active > .box, .statechart .parallel.active > .box { fill: var(--sc-within); stroke: var(--sc-active); }
.statechart .compound.active > .title, .statechart .parallel.active > .title,
.statechart .compound.active .row text, .statechart .parallel.active .row text { fill: var(--sc-ink); }
.statechart .taken .line { stroke: var(--sc-taken); stroke-width: 2.2; }
.statechart .taken .head { fill: var(--sc-taken); }
.statechart .taken .label, .statechart .taken.row text { fill: var(--sc-taken); }
.statechart .last .line { stroke-width: 3.4; }
.statechart .last .label, .statechart .last.row text { font-weight: bold; }
`;

export const svgOf = ({ name, width, height, states, edges, beginnings }: Placed): string => {
  const [w, h] = [Math.ceil(width), Math.ceil(height)];
  return `<svg xmlns="http://www.w3.org/2000/svg" class="statechart" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}" role="img" aria-labelledby="${name}-title">
<title id="${name}-title">The statechart of ${escaped(name)}</title>
<style>${STYLE}</style>
<rect class="page" width="${w}" height="${h}"/>
${states.map(stateGroup).join("\n")}
${beginnings.map(({ dot, points }) => `<circle class="dot" cx="${px(dot.x)}" cy="${px(dot.y)}" r="5"/>${line(points)}`).join("\n")}
${edges.map(edgeGroup).join("\n")}
</svg>
`;
};

const stateGroup = (placed: PlacedState): string => {
  const { state, x, y, width, height, depth, invokes, rows } = placed;
  const classes = ["state", state.kind, ...(depth % 2 === 1 ? ["odd"] : [])].join(" ");
  const inset = 3.5;
  return [
    `<g class="${classes}" data-state="${escaped(state.id)}">`,
    `<rect class="box" x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}" rx="8"/>`,
    ...(state.kind === "final"
      ? [
          `<rect class="box" x="${px(x + inset)}" y="${px(y + inset)}" width="${px(width - 2 * inset)}" height="${px(height - 2 * inset)}" rx="5"/>`,
        ]
      : []),
    text("title", x + width / 2, y + PADDING + FONT.title, [state.title], LINE_HEIGHT.title, "middle"),
    ...invokes.map(({ content, lines, x: left, y: top }) => {
      const words = text("does", x + left, y + top + FONT.row, lines, LINE_HEIGHT.row);
      const mark = `<path class="head" d="M${px(x + PADDING + 1)} ${px(y + top + 3)}l7 4.5l-7 4.5z"/>`;
      return content.machine === undefined
        ? mark + words
        : `<a class="invokes" href="${content.machine}.svg" data-machine="${content.machine}">${mark}${words}</a>`;
    }),
    ...rows.map(
      ({ content, lines, x: left, y: top }) =>
        `<g class="transition row" data-transition="${escaped(content.id)}">${text("words", x + left, y + top + FONT.row, lines, LINE_HEIGHT.row)}</g>`,
    ),
    "</g>",
  ].join("");
};

/** Each transition has the line for itself, to be lit, with a gap for all their words; it is seen once. */
const edgeGroup = ({ transitions, points, plate }: PlacedEdge): string => {
  const { x, y, width, height } = plate;
  const board = `<rect class="plate" x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}" rx="3"/>`;
  const lines = transitions.map(({ content, lines: words, y: top }, index) => {
    const begins = `<g class="transition${index === 0 ? "" : " again"}" data-transition="${escaped(content.id)}">`;
    const label = text("label", x + width / 2, y + top + FONT.label, words, LINE_HEIGHT.label, "middle");
    return [
      begins,
      line(...around(plate, points)),
      index === 0 && height > 0 ? board : "",
      label,
      "</g>",
    ].join("");
  });
  return lines.join("");
};

/** The parts of a line above and below a plate that stands on it. */
const around = ({ x, y, width, height }: Rectangle, points: readonly ElkPoint[]) => {
  const isBefore = (index: number): boolean => {
    const [from, to] = [points[index], points[index + 1]];
    if (from === undefined || to === undefined || from.x !== to.x) return false;
    return x < to.x && to.x < x + width && Math.min(from.y, to.y) < y && y + height < Math.max(from.y, to.y);
  };
  const index = points.findIndex((_, number) => isBefore(number));
  const [from, to] = [points[index], points[index + 1]];
  if (from === undefined || to === undefined) return [points];
  const [near, far] = from.y < to.y ? [y, y + height] : [y + height, y];
  return [
    [...points.slice(0, index + 1), { x: from.x, y: near }],
    [{ x: to.x, y: far }, ...points.slice(index + 1)],
  ];
};

/** An orthogonal line, maybe in parts, with rounded corners and a head at its end. */
const line = (...parts: readonly (readonly ElkPoint[])[]): string => {
  const [before, end] = parts.at(-1)?.slice(-2) ?? [];
  if (end === undefined || before === undefined) throw new Error("a line has no length");
  const back = towards(end, before, 8, 1);
  const [dx, dy] = [(back.y - end.y) * 0.5, (end.x - back.x) * 0.5];
  const head = `M${px(end.x)} ${px(end.y)}L${px(back.x + dx)} ${px(back.y + dy)}L${px(back.x - dx)} ${px(back.y - dy)}Z`;
  return `<path class="line" d="${parts.map(path).join("")}"/><path class="head" d="${head}"/>`;
};

const path = (points: readonly ElkPoint[]): string =>
  points
    .map((point, index) => {
      const previous = points[index - 1];
      const next = points[index + 1];
      if (previous === undefined) return `M${px(point.x)} ${px(point.y)}`;
      if (next === undefined) return `L${px(point.x)} ${px(point.y)}`;
      const into = towards(point, previous, 5);
      const out = towards(point, next, 5);
      return `L${px(into.x)} ${px(into.y)}Q${px(point.x)} ${px(point.y)} ${px(out.x)} ${px(out.y)}`;
    })
    .join("");

/** `most` is the part of the way that may be gone. */
const towards = (from: ElkPoint, to: ElkPoint, distance: number, most = 1 / 2): ElkPoint => {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  const share = length === 0 ? 0 : Math.min(distance / length, most);
  return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
};

const text = (
  kind: string,
  x: number,
  y: number,
  lines: readonly string[],
  lineHeight: number,
  anchor: "start" | "middle" = "start",
): string => {
  const attributes = `class="${kind}"${anchor === "middle" ? ' text-anchor="middle"' : ""}`;
  return lines
    .map(
      (words, index) =>
        `<text ${attributes} x="${px(x)}" y="${px(y + index * lineHeight)}">${escaped(words)}</text>`,
    )
    .join("");
};

const px = (value: number): string => String(Math.round(value * 10) / 10);

const escaped = (value: string): string =>
  value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
