import { describe, expect, it } from "vitest";
import type { Line } from "../../../src/inspect/format.ts";
import { Lines } from "../../../src/inspect/lines.ts";

const line = (at: number): Line => ({ type: "end", at, actor: "x:1", status: "done" });

const times = (lines: Lines, start = 0): number[] =>
  (JSON.parse(`[${lines.from(start)}]`) as Line[]).map(({ at }) => at);

describe("the lines of a trace", () => {
  it("come in the order in which their places were kept, not in which they were filled", () => {
    const lines = new Lines();
    const first = lines.reserve();
    lines.push(line(2));
    lines.fill(first, line(1));
    expect(times(lines)).toEqual([1, 2]);
  });

  it("leave out a place that was never filled", () => {
    const lines = new Lines();
    lines.push(line(1));
    lines.reserve();
    lines.push(line(2));
    expect(times(lines)).toEqual([1, 2]);
  });

  it("make room in the middle: the beginning stays, and what was last", () => {
    const lines = new Lines();
    for (let at = 0; at < 5_000; at++) lines.push(line(at));
    lines.shrink(60_000);
    const left = times(lines);
    expect(lines.bytes).toBeLessThanOrEqual(60_000);
    expect(left.slice(0, 200)).toEqual(Array.from({ length: 200 }, (_, at) => at));
    expect(left.at(-1)).toBe(4_999);
    expect(left.length + lines.dropped).toBe(5_000);
  });

  it("are told from a number on, whatever was dropped since", () => {
    const lines = new Lines();
    for (let at = 0; at < 1_000; at++) lines.push(line(at));
    const known = lines.count;
    lines.push(line(1_000));
    lines.shrink(30_000);
    lines.push(line(1_001));
    expect(times(lines, known)).toEqual([1_000, 1_001]);
    expect(lines.count).toBe(1_002);
  });

  it("count the bytes they hold", () => {
    const lines = new Lines();
    for (let at = 0; at < 1_000; at++) lines.push(line(at));
    const before = lines.bytes;
    lines.shrink(before / 2);
    const text = lines.from(0);
    expect(lines.bytes).toBeGreaterThan(text.length);
    expect(lines.bytes).toBeLessThan(text.length * 2);
  });
});
