/** How well a chart is read that has been laid out. */
import type { Placed, PlacedLine } from "./layout.ts";
import { FONT } from "./text.ts";

/** A page of A4 within margins of 10 mm, in points. */
const PAGE = { short: (190 / 25.4) * 72, long: (277 / 25.4) * 72 };

/** The size of the smallest letters when the chart fills the page, upright or across. */
export const pointsOnA4 = ({ width, height }: Pick<Placed, "width" | "height">): number => {
  const scale = Math.min(PAGE.short / Math.min(width, height), PAGE.long / Math.max(width, height));
  return Math.min(...Object.values(FONT)) * scale;
};

/** How often lines cross each other. */
export const crossings = ({ edges }: Pick<Placed, "edges">): number => {
  const all = edges.map(segmentsOf);
  return all
    .flatMap((segments, index) =>
      segments.map((one) =>
        all
          .slice(index + 1)
          .flat()
          .filter(crosses(one)),
      ),
    )
    .flat().length;
};

/** How many lines lead upwards although they lead on: to where fewer steps have come so far. */
export const climbs = ({ states, edges }: Pick<Placed, "states" | "edges">): number => {
  const steps = stepsTo(states, edges);
  return edges.filter(({ points: [begin, ...more], transitions: [first] }) => {
    const { source, target = source } = first?.content ?? { source: "" };
    const isUpwards = (begin?.y ?? 0) > (more.at(-1)?.y ?? 0);
    return isUpwards && (steps.get(target) ?? 0) > (steps.get(source) ?? 0);
  }).length;
};

/** By how few steps a machine comes to each of its states along the lines. */
const stepsTo = (states: Placed["states"], edges: Placed["edges"]): ReadonlyMap<string, number> => {
  const lines = edges.flatMap(({ transitions: [first] }) => first?.content ?? []);
  const steps = new Map<string, number>();
  let reached = states.slice(0, 1).map(({ state }) => state.id);
  for (let count = 0; reached.length > 0; count++) {
    for (const id of reached) steps.set(id, count);
    const next = [
      ...states.flatMap(({ state: { id, kind, initial, children } }) => {
        if (!reached.includes(id)) return [];
        return kind === "parallel" ? children.map((child) => child.id) : (initial ?? []);
      }),
      ...lines.flatMap(({ source, target = source }) => (reached.includes(source) ? target : [])),
    ];
    // Who is in a state is in those around it.
    const around = states.flatMap(({ state: { id } }) =>
      next.some((each) => each.startsWith(`${id}.`)) ? id : [],
    );
    reached = [...new Set([...next, ...around])].filter((id) => !steps.has(id));
  }
  return steps;
};

/** Every segment is upright or level. */
interface Segment {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const segmentsOf = ({ points }: PlacedLine): readonly Segment[] =>
  points.slice(1).map(({ x, y }, index) => {
    const { x: fromX, y: fromY } = points[index] ?? { x, y };
    return {
      left: Math.min(x, fromX),
      right: Math.max(x, fromX),
      top: Math.min(y, fromY),
      bottom: Math.max(y, fromY),
    };
  });

const crosses =
  (one: Segment) =>
  (other: Segment): boolean =>
    isThrough(one, other) || isThrough(other, one);

const isThrough = (upright: Segment, level: Segment): boolean =>
  level.left < upright.left &&
  upright.right < level.right &&
  upright.top < level.top &&
  level.bottom < upright.bottom;
