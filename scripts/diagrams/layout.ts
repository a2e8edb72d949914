/** Gives a chart's states and lines their places: ELK's layers from top to bottom, nested states within their parents. */
import { createRequire } from "node:module";
import type { ELK, ElkExtendedEdge, ElkNode, ElkPoint, LayoutOptions } from "elkjs";
import type { Chart, ChartState, ChartTransition } from "./chart.ts";
import { widthOf, wrapped } from "./text.ts";

/** Sizes in CSS pixels. */
export const FONT = { title: 13, row: 12, label: 12 } as const;
export const LINE_HEIGHT = { title: 18, row: 15, label: 14 } as const;
export const PADDING = 7;
const DOT = 10;
const ROW_COLUMNS = 52;
const LABEL_COLUMNS = 22;

export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface TextRow<Content> {
  readonly content: Content;
  readonly lines: readonly string[];
  /** Top of the first line, from the box's own top. */
  readonly y: number;
}

export interface PlacedState extends Rectangle {
  readonly state: ChartState;
  readonly depth: number;
  readonly invokes: readonly TextRow<ChartState["invokes"][number]>[];
  readonly rows: readonly TextRow<ChartTransition>[];
}

export interface PlacedLine {
  readonly points: readonly ElkPoint[];
}

export interface PlacedTransition extends PlacedLine {
  readonly transition: ChartTransition;
  readonly label: Rectangle & { readonly lines: readonly string[] };
}

export interface Placed {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** Outer states come before those within them. */
  readonly states: readonly PlacedState[];
  readonly transitions: readonly PlacedTransition[];
  /** Where each compound state begins. */
  readonly beginnings: readonly (PlacedLine & { readonly dot: ElkPoint })[];
}

/** Nested states don't inherit these: each has to be told. */
const LAYOUT: LayoutOptions = {
  "elk.direction": "DOWN",
  "elk.layered.cycleBreaking.strategy": "DEPTH_FIRST",
  "elk.algorithm": "layered",
  "elk.hierarchyHandling": "INCLUDE_CHILDREN",
  "elk.json.edgeCoords": "ROOT",
  "elk.json.shapeCoords": "ROOT",
  "elk.edgeRouting": "ORTHOGONAL",
  "elk.spacing.nodeNode": "12",
  "elk.spacing.edgeNode": "9",
  "elk.spacing.edgeEdge": "8",
  "elk.spacing.edgeLabel": "3",
  "elk.layered.spacing.nodeNodeBetweenLayers": "13",
  "elk.layered.spacing.edgeNodeBetweenLayers": "8",
  "elk.layered.spacing.edgeEdgeBetweenLayers": "7",
};

export const layOut = async (chart: Chart): Promise<Placed> => {
  const elk = new (createRequire(import.meta.url)("elkjs") as new () => ELK)();
  const boxes = new Map<string, Box>();
  const beginnings: ElkExtendedEdge[] = [];
  const invisible = [...invisibleEdges(chart)];

  const nodeOf = (state: ChartState): ElkNode => {
    const box = boxOf(state);
    boxes.set(state.id, box);
    const { width, height } = box;
    if (state.children.length === 0) return { id: state.id, width, height };
    const children = state.children.map(nodeOf);
    if (state.initial !== undefined) {
      children.unshift({ id: `${state.id} dot`, width: DOT, height: DOT });
      beginnings.push({ id: `${state.id} begins`, sources: [`${state.id} dot`], targets: [state.initial] });
    }
    if (state.rows.length > 0) {
      // ELK makes nested states as wide as what is within, not as their text wants: so something as wide is within.
      children.unshift({ id: `${state.id} width`, width: width - 28, height: 1 });
      const first = state.initial === undefined ? state.children.map(({ id }) => id) : [`${state.id} dot`];
      for (const id of first)
        invisible.push({ id: `${id} is below`, sources: [`${state.id} width`], targets: [id] });
    }
    return {
      id: state.id,
      children,
      layoutOptions: {
        ...LAYOUT,
        "elk.padding": `[top=${height + 4},left=14,bottom=14,right=14]`,
      },
    };
  };

  const root = nodeOf(chart.root);
  const graph: ElkNode = {
    id: "page",
    children: [root],
    edges: [...beginnings, ...chart.edges.map(edgeOf), ...invisible],
    layoutOptions: { ...LAYOUT, "elk.padding": "[top=8,left=8,bottom=8,right=8]" },
  };
  const laidOut = await elk.layout(graph);

  const shapes = new Map<string, Rectangle>();
  const collect = ({ id, x = 0, y = 0, width = 0, height = 0, children = [] }: ElkNode): void => {
    shapes.set(id, { x, y, width, height });
    children.forEach(collect);
  };
  collect(laidOut);
  const place = (state: ChartState, depth: number): readonly PlacedState[] => [
    { state, depth, ...found(boxes, state.id), ...found(shapes, state.id) },
    ...state.children.flatMap((child) => place(child, depth + 1)),
  ];
  const edges = new Map((laidOut.edges ?? []).map((edge) => [edge.id, edge]));
  return {
    name: chart.name,
    width: laidOut.width ?? 0,
    height: laidOut.height ?? 0,
    states: place(chart.root, 0),
    transitions: chart.edges.map((transition) => {
      const edge = found(edges, transition.id);
      const { x = 0, y = 0, width = 0, height = 0 } = edge.labels?.[0] ?? {};
      return {
        transition,
        points: pointsOf(edge),
        label: { x, y, width, height, lines: labelLines(transition) },
      };
    }),
    beginnings: beginnings.map(({ id, sources: [dot = ""] }) => {
      const { x, y } = found(shapes, dot);
      return { points: pointsOf(found(edges, id)), dot: { x: x + DOT / 2, y: y + DOT / 2 } };
    }),
  };
};

type Box = Pick<PlacedState, "invokes" | "rows" | "width" | "height">;

/** Title, then what is invoked, then the transitions that are text. */
const boxOf = ({ title, invokes, rows, kind }: ChartState): Box => {
  let y = PADDING + LINE_HEIGHT.title;
  let width = widthOf(title, FONT.title, true);
  const row = <Content>(content: Content, text: string): TextRow<Content> => {
    const lines = wrapped(text, ROW_COLUMNS);
    const placed = { content, lines, y };
    y += lines.length * LINE_HEIGHT.row;
    for (const line of lines) width = Math.max(width, widthOf(line, FONT.row) + 14);
    return placed;
  };
  const invoked = invokes.map((invoke) => row(invoke, invoke.text));
  const written = rows.map((transition) => row(transition, transition.label));
  const border = kind === "final" ? 4 : 0;
  return {
    invokes: invoked,
    rows: written,
    width: Math.ceil(Math.max(width + 2 * PADDING, 60) + 2 * border),
    height: Math.ceil(y + PADDING - 4 + border),
  };
};

const labelLines = ({ label }: ChartTransition): readonly string[] =>
  label === "" ? [] : wrapped(label, LABEL_COLUMNS);

const edgeOf = (transition: ChartTransition): ElkExtendedEdge => {
  const lines = labelLines(transition);
  const width = Math.max(0, ...lines.map((line) => widthOf(line, FONT.label))) + 8;
  return {
    id: transition.id,
    sources: [transition.source],
    targets: [transition.target ?? transition.source],
    labels:
      lines.length === 0
        ? []
        : [
            {
              text: transition.label,
              width,
              height: lines.length * LINE_HEIGHT.label + 2,
              layoutOptions: { "elk.edgeLabels.placement": "CENTER", "elk.edgeLabels.inline": "true" },
            },
          ],
  };
};

/** A state that only text leads to would float: a line that is not drawn keeps it below the last one that names it. */
const invisibleEdges = ({ root, edges }: Chart): readonly ElkExtendedEdge[] => {
  const drawn = new Set(edges.map(({ target }) => target));
  const last = new Map<string, string>();
  const visit = (state: ChartState): void => {
    for (const { source, target = source } of state.rows)
      if (target !== source && !drawn.has(target)) {
        const elder = target.startsWith(`${source}.`)
          ? state.children.findIndex(({ id }) => id === target) - 1
          : -1;
        last.set(target, state.children[elder]?.id ?? source);
      }
    state.children.forEach(visit);
  };
  visit(root);
  return [...last].map(([target, source]) => ({
    id: `${target} stays`,
    sources: [source],
    targets: [target],
  }));
};

const pointsOf = ({ sections = [] }: ElkExtendedEdge): readonly ElkPoint[] =>
  sections.flatMap(({ startPoint, bendPoints = [], endPoint }) => [startPoint, ...bendPoints, endPoint]);

const found = <Value>(values: ReadonlyMap<string, Value>, key: string): Value => {
  const value = values.get(key);
  if (value === undefined) throw new Error(`the layout has lost "${key}"`);
  return value;
};
