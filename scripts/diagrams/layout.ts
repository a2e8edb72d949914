/** Gives a chart's states and lines their places: ELK's layers from top to bottom, nested states within their parents. */
import type { ELK, ElkExtendedEdge, ElkNode, ElkPoint, LayoutOptions } from "elkjs";
import { type Box, boxOf, type TextRow } from "./boxes.ts";
import { type Bundle, bundlesOf, edgeOf, invisibleEdges } from "./bundles.ts";
import type { Chart, ChartState, ChartTransition } from "./chart.ts";

const DOT = 10;
const MARGIN = 10;

export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface PlacedState extends Rectangle, Pick<Box, "invokes" | "rows"> {
  readonly state: ChartState;
  readonly depth: number;
}

export interface PlacedLine {
  readonly points: readonly ElkPoint[];
}

/** A line that one or several transitions take from one state to another, with all their words on one plate. */
export interface PlacedEdge extends PlacedLine {
  readonly transitions: readonly TextRow<ChartTransition>[];
  readonly plate: Rectangle;
}

export interface Placed {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** Outer states come before those within them. */
  readonly states: readonly PlacedState[];
  readonly edges: readonly PlacedEdge[];
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
  "elk.layered.spacing.nodeNodeBetweenLayers": "9",
  "elk.layered.spacing.edgeNodeBetweenLayers": "6",
  "elk.layered.spacing.edgeEdgeBetweenLayers": "7",
};

/** What may differ from one layout of a chart to another. */
export interface Way {
  readonly options: LayoutOptions;
  /** How many letters of a transition's words stand in a line, where that is possible. */
  readonly labelColumns: number;
  /** Where a state stands that no line leads to, as seen from the last that names it. */
  readonly named: "below" | "beside";
}

/** `widths` tells how wide the states with others within them will be, if it is known. */
export const arrange = async (
  elk: ELK,
  chart: Chart,
  { options, labelColumns, named }: Way,
  widths: ReadonlyMap<string, number>,
): Promise<Placed> => {
  const layout = { ...LAYOUT, ...options };
  const bundles = bundlesOf(chart, labelColumns);
  const boxes = new Map<string, Box>();
  const beginnings: ElkExtendedEdge[] = [];

  const nodeOf = (state: ChartState): ElkNode => {
    const { id, children, initial } = state;
    const box = children.length === 0 ? boxOf(state) : boxOf(state, widths.get(id));
    boxes.set(id, box);
    const { width, height } = box;
    if (children.length === 0) return { id, width, height };
    const nodes = children.map(nodeOf);
    if (initial !== undefined) {
      nodes.unshift({ id: `${id} dot`, width: DOT, height: DOT });
      beginnings.push({ id: `${id} begins`, sources: [`${id} dot`], targets: [initial] });
    }
    return {
      id,
      children: nodes,
      layoutOptions: {
        ...layout,
        "elk.padding": `[top=${height},left=${MARGIN},bottom=${MARGIN},right=${MARGIN}]`,
        "elk.nodeSize.constraints": "MINIMUM_SIZE",
        // Height before width: ELK lays out from left to right, turns the picture, and forgets to turn this.
        "elk.nodeSize.minimum": `(0, ${width})`,
      },
    };
  };

  const root = nodeOf(chart.root);
  const page: ElkNode = {
    id: "page",
    children: [root],
    edges: [...beginnings, ...bundles.map(edgeOf), ...invisibleEdges(chart, named)],
    layoutOptions: { ...layout, "elk.padding": "[top=4,left=4,bottom=4,right=4]" },
  };
  const laidOut = await elk.layout(page);

  const shapes = new Map<string, Rectangle>();
  const collect = ({ id, x = 0, y = 0, width = 0, height = 0, children = [] }: ElkNode): void => {
    shapes.set(id, { x, y, width, height });
    children.forEach(collect);
  };
  collect(laidOut);
  const place = (state: ChartState, depth: number): readonly PlacedState[] => {
    const { invokes, rows, width } = found(boxes, state.id);
    const shape = found(shapes, state.id);
    if (shape.width < width) throw new Error(`the layout makes "${state.id}" narrower than its words`);
    const within = state.children.flatMap((child) => place(child, depth + 1));
    return [{ state, depth, invokes, rows, ...shape }, ...within];
  };
  const edges = new Map((laidOut.edges ?? []).map((edge) => [edge.id, edge]));
  return {
    name: chart.name,
    width: laidOut.width ?? 0,
    height: laidOut.height ?? 0,
    states: place(chart.root, 0),
    edges: bundles.map((bundle) => placedEdge(bundle, found(edges, bundle.id))),
    beginnings: beginnings.map(({ id, sources: [dot = ""] }) => {
      const { x, y } = found(shapes, dot);
      return { points: pointsOf(found(edges, id)), dot: { x: x + DOT / 2, y: y + DOT / 2 } };
    }),
  };
};

const placedEdge = ({ transitions }: Bundle, edge: ElkExtendedEdge): PlacedEdge => {
  const { x = 0, y = 0, width = 0, height = 0 } = edge.labels?.[0] ?? {};
  return { transitions, points: pointsOf(edge), plate: { x, y, width, height } };
};

const pointsOf = ({ sections = [] }: ElkExtendedEdge): readonly ElkPoint[] =>
  sections.flatMap(({ startPoint, bendPoints = [], endPoint }) => [startPoint, ...bendPoints, endPoint]);

const found = <Value>(values: ReadonlyMap<string, Value>, key: string): Value => {
  const value = values.get(key);
  if (value === undefined) throw new Error(`the layout has lost "${key}"`);
  return value;
};
