/** The same chart as Mermaid's text, for documents that draw it themselves. */
import type { Chart, ChartState, ChartTransition } from "./chart.ts";

export const mermaidOf = ({ root, edges }: Chart): string => {
  const notes = written(root);
  const lines = [
    "stateDiagram-v2",
    ...statesOf(root, 1),
    ...edges.map((edge) => `  ${arrow(edge)}`),
    ...notes
      .filter(({ target }) => target !== undefined && target !== root.id)
      .map((row) => `  ${arrow(row)}`),
  ];
  return `${lines.join("\n")}\n`;
};

/** The machine itself is the page: its states stand at the top. */
const statesOf = (state: ChartState, depth: number): readonly string[] => {
  const indent = "  ".repeat(depth);
  const within = (child: ChartState): readonly string[] => {
    if (child.children.length === 0) return [`${indent}${alias(child.id)}: ${text(child)}`];
    return [
      `${indent}state "${text(child)}" as ${alias(child.id)} {`,
      ...statesOf(child, depth + 1),
      `${indent}}`,
    ];
  };
  const parts = state.children.map(within);
  const regions =
    state.kind === "parallel"
      ? parts.flatMap((part, index) => (index === 0 ? part : [`${indent}--`, ...part]))
      : parts.flat();
  return [
    ...(state.initial === undefined ? [] : [`${indent}[*] --> ${alias(state.initial)}`]),
    ...regions,
    ...state.children.filter(({ kind }) => kind === "final").map(({ id }) => `${indent}${alias(id)} --> [*]`),
  ];
};

const text = ({ title, invokes, rows }: ChartState): string =>
  [
    title,
    ...invokes.map((invoke) => `(${invoke.text})`),
    ...rows.filter(({ target }) => target === undefined).map(({ label }) => label),
  ]
    .map(clean)
    .join("<br/>");

const written = ({ rows, children }: ChartState): readonly ChartTransition[] => [
  ...rows.filter(({ target }) => target !== undefined),
  ...children.flatMap(written),
];

/** A row's words name its target, which an arrow shows. */
const arrow = ({ source, target = source, label }: ChartTransition): string => {
  const words = label.replace(/ → .*$|: again$/, "");
  return `${alias(source)} --> ${alias(target)}${words === "" ? "" : `: ${clean(words)}`}`;
};

const alias = (id: string): string => id.replaceAll(/[^A-Za-z0-9]/g, "_");

/** Colons, semicolons and brackets end a label in Mermaid's grammar. */
const clean = (words: string): string =>
  words.replaceAll(/[:;]/g, ",").replaceAll(/[[\]]/g, "").replaceAll('"', "'");
