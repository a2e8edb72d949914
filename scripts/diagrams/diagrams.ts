/** Every file of diagrams/ that is generated, by its name, as it has to be for the machines as they are. */
import type { AnyStateMachine } from "xstate";
import { catalogue } from "../../machines/catalogue.ts";
import { chartOf } from "./chart.ts";
import { mermaidOf } from "./mermaid.ts";
import { svgOf } from "./svg.ts";
import { layOut } from "./ways.ts";

export const diagrams = async (
  machines: Readonly<Record<string, AnyStateMachine>> = catalogue,
): Promise<ReadonlyMap<string, string>> => {
  const names = new Map(Object.entries(machines).map(([name, { id }]) => [id, name]));
  const files = new Map<string, string>();
  for (const [name, machine] of Object.entries(machines)) {
    const chart = chartOf(name, machine, (id) => names.get(id));
    files.set(`${name}.svg`, svgOf(await layOut(chart)));
    files.set(`${name}.mmd`, mermaidOf(chart));
  }
  return files;
};
