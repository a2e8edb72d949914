/** Which lines a chart has: transitions from one state to another share one, and some that are not drawn keep order. */
import type { ElkExtendedEdge } from "elkjs";
import type { TextRow } from "./boxes.ts";
import type { Chart, ChartState, ChartTransition } from "./chart.ts";
import { FONT, LINE_HEIGHT, widthOf, wrapped } from "./text.ts";

export interface Bundle {
  readonly id: string;
  readonly source: string;
  readonly target: string;
  /** Their words, centred on a plate on the line. */
  readonly transitions: readonly TextRow<ChartTransition>[];
}

/** `columns` is how many letters of a transition's words stand in a line, where that is possible. */
export const bundlesOf = ({ edges }: Chart, columns: number): readonly Bundle[] => {
  const bundles = new Map<string, Bundle & { readonly transitions: TextRow<ChartTransition>[] }>();
  for (const content of edges) {
    const { id, source, target = source, label } = content;
    const bundle = bundles.get(`${source} ${target}`) ?? { id, source, target, transitions: [] };
    bundles.set(`${source} ${target}`, bundle);
    const above = bundle.transitions.at(-1);
    const y = above === undefined ? 0 : above.y + above.lines.length * LINE_HEIGHT.label;
    const words = above === undefined ? label : `or ${label}`;
    bundle.transitions.push({ content, lines: words === "" ? [] : wrapped(words, columns), x: 0, y });
  }
  return [...bundles.values()];
};

export const edgeOf = ({ id, source, target, transitions }: Bundle): ElkExtendedEdge => {
  const lines = transitions.flatMap((row) => row.lines);
  const label = {
    text: lines.join(" "),
    width: Math.max(...lines.map((line) => widthOf(line, FONT.label))) + 8,
    height: lines.length * LINE_HEIGHT.label + 2,
    layoutOptions: { "elk.edgeLabels.placement": "CENTER", "elk.edgeLabels.inline": "true" },
  };
  return { id, sources: [source], targets: [target], labels: lines.length === 0 ? [] : [label] };
};

/**
 * A state that only text leads to would float: a line that is not drawn keeps it below the last state that names it, or
 * else beside that one.
 */
export const invisibleEdges = (
  { root, edges }: Chart,
  side: "below" | "beside",
): readonly ElkExtendedEdge[] => {
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
  return [...last].flatMap(([target, named]) => {
    const above = edges.filter((edge) => edge.target === named).map(({ source }) => source);
    return (side === "beside" && above.length > 0 ? [...new Set(above)] : [named]).map((source) => ({
      id: `${target} stays below ${source}`,
      sources: [source],
      targets: [target],
    }));
  });
};
