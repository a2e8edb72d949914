/** Measuring two subjects side by side: in turns, so that whatever else the machine does meets both alike. */

/** The two that are compared. The ratio in a row says how many times better `ours` is. */
export interface Pair<A> {
  readonly ours: A;
  readonly reference: A;
}

export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly better: "lower" | "higher";
  readonly ours: number;
  readonly reference: number;
  /** A goal for the ratio where there is one. */
  readonly goal?: number;
}

/** The rows of one benchmark, and what `ours` was compared with. */
export interface Section {
  readonly title: string;
  readonly reference: string;
  readonly rows: ReadonlyArray<Row>;
  /** What a reader must know to judge the numbers. */
  readonly notes: ReadonlyArray<string>;
}

export interface Settings {
  /** Fewer repetitions and smaller transfers. */
  readonly quick: boolean;
  /** Measures the reference twice instead: how far from 1.0 noise alone gets. */
  readonly noise: boolean;
}

/** A benchmark: one file in this directory, named in main.ts. */
export interface Benchmark {
  readonly name: string;
  /** What this machine lacks for it; undefined when nothing. */
  readonly lacks?: () => string | undefined;
  readonly run: (settings: Settings, say: (line: string) => void) => Promise<Section>;
}

/** How many times better ours is. */
export const ratio = ({ better, ours, reference }: Row): number =>
  better === "lower" ? reference / ours : ours / reference;

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const at = (index: number) => sorted[index] ?? Number.NaN;
  return Number.isInteger(middle) ? (at(middle - 1) + at(middle)) / 2 : at(Math.floor(middle));
};

/** Measures both in turns, who begins changing each time, and gives the median of each. One turn before is for warming up. */
export const inTurns = async <A>(
  repetitions: number,
  pair: Pair<A>,
  measure: (subject: A) => Promise<number>,
): Promise<Pair<number>> => {
  const results = { ours: [] as number[], reference: [] as number[] };
  await measure(pair.ours);
  await measure(pair.reference);
  for (let turn = 0; turn < repetitions; turn++) {
    const order = turn % 2 === 0 ? (["ours", "reference"] as const) : (["reference", "ours"] as const);
    for (const who of order) results[who].push(await measure(pair[who]));
  }
  return { ours: median(results.ours), reference: median(results.reference) };
};

/** How long something took, in seconds. */
export const seconds = async (act: () => Promise<unknown>): Promise<number> => {
  const started = performance.now();
  await act();
  return (performance.now() - started) / 1000;
};
