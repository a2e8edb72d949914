/** Lays a chart out in several ways, and takes the one that is read best on a printed page. */
import { createRequire } from "node:module";
import type { ELK } from "elkjs";
import type { Chart, ChartState } from "./chart.ts";
import { arrange, type Placed, type Way } from "./layout.ts";
import { climbs, crossings, pointsOnA4 } from "./quality.ts";

const PLACEMENT = "elk.layered.nodePlacement.strategy";
const WAYS: readonly Way[] = [
  { [PLACEMENT]: "BRANDES_KOEPF" },
  { [PLACEMENT]: "NETWORK_SIMPLEX" },
  { [PLACEMENT]: "NETWORK_SIMPLEX", "elk.layered.layering.strategy": "LONGEST_PATH" },
].flatMap((options) =>
  [26, 18].flatMap((labelColumns) =>
    (["below", "beside"] as const).map((named) => ({ options, labelColumns, named })),
  ),
);

/** Larger letters than these, in points, are worth no crossing more. */
const LARGE_ENOUGH = 7.5;
/** How many points of size are worth a crossing less, and a line less that leads on and yet upwards. */
const CROSSING = 0.1;
const CLIMB = 0.3;

export const layOut = async (chart: Chart): Promise<Placed> => {
  const elk = new (createRequire(import.meta.url)("elkjs") as new () => ELK)();
  let best: { readonly placed: Placed; readonly worth: number } | undefined;
  for (const way of WAYS) {
    let placed = await arrange(elk, chart, way, new Map());
    if (hasRowsAbove(chart.root)) {
      const widths = placed.states.map(({ state, width }) => [state.id, width] as const);
      placed = await arrange(elk, chart, way, new Map(widths));
    }
    const worth =
      Math.min(LARGE_ENOUGH, pointsOnA4(placed)) - CROSSING * crossings(placed) - CLIMB * climbs(placed);
    if (best === undefined || worth > best.worth) best = { placed, worth };
    if (worth === LARGE_ENOUGH) break;
  }
  if (best === undefined) throw new Error("there is no way to lay a chart out");
  return best.placed;
};

/** Whether rows stand above other states, where there may be room for more than one of them in a line. */
const hasRowsAbove = ({ children, rows }: ChartState): boolean =>
  children.length > 0 && (rows.length > 1 || children.some(hasRowsAbove));
