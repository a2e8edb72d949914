/** diagrams/ shows the machines as they are: every one, every state and transition of it, in letters that can be read. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { AnyStateMachine } from "xstate";
import { catalogue } from "../../machines/catalogue.ts";
import { statesOf, transitionId, transitionsOf } from "../../machines/transition-id.ts";
import { diagrams } from "../../scripts/diagrams/diagrams.ts";
import { projectRoot } from "../support/root.ts";

const folder = join(projectRoot, "diagrams");
const isMachine = (value: unknown): value is AnyStateMachine =>
  typeof value === "object" && value !== null && "root" in value && "implementations" in value;

let drawn: ReadonlyMap<string, string>;
// All machines are laid out anew, which keeps a processor busy for seconds.
beforeAll(async () => {
  drawn = await diagrams();
}, 180_000);

it("the catalogue has every machine of machines/ under its file's name", async () => {
  const machines: Record<string, AnyStateMachine> = {};
  for (const file of await readdir(join(projectRoot, "machines"))) {
    const name = file.replace(/\.ts$/, "");
    const [machine, ...more] = Object.values(await import(`../../machines/${name}.ts`)).filter(isMachine);
    expect(more, `${file} has one machine`).toEqual([]);
    if (machine !== undefined) machines[name] = machine;
  }
  expect(Object.keys(catalogue).sort()).toEqual(Object.keys(machines).sort());
  for (const [name, machine] of Object.entries(machines)) expect(catalogue[name]).toBe(machine);
});

it("diagrams/ is what `npm run diagrams` writes today", async () => {
  const files = (await readdir(folder)).filter((name) => name !== "README.md");
  expect(files.sort(), "stale: run `npm run diagrams`").toEqual([...drawn.keys()].sort());
  for (const [name, content] of drawn)
    expect(
      (await readFile(join(folder, name), "utf8")) === content,
      `${name} is stale: run \`npm run diagrams\``,
    ).toBe(true);
});

it("its README walks through them in the order of the catalogue", async () => {
  const text = await readFile(join(folder, "README.md"), "utf8");
  const shown = [...text.matchAll(/\]\(([\w-]+)\.svg\)/g)].map(([, name]) => name);
  expect(shown).toEqual(Object.keys(catalogue));
});

describe.each(Object.keys(catalogue))("%s", (name) => {
  const all = (file: string, pattern: RegExp): readonly string[] =>
    [...(drawn.get(file) ?? "").matchAll(pattern)].map(([, found = ""]) => found.replaceAll("&quot;", '"'));

  it("shows each state and each transition once", () => {
    const states = statesOf((catalogue[name] as AnyStateMachine).root);
    expect([...all(`${name}.svg`, /data-state="([^"]*)"/g)].sort()).toEqual(
      states.map(({ id }) => id).sort(),
    );
    const transitions = states.flatMap(transitionsOf).map(transitionId);
    expect([...all(`${name}.svg`, /data-transition="([^"]*)"/g)].sort()).toEqual(transitions.sort());
    expect(new Set(transitions).size).toBe(transitions.length);
  });

  it("is read without a lens on A4 within margins of 10 mm, upright or across: 7 points at least", () => {
    const svg = drawn.get(`${name}.svg`) ?? "";
    const [, width = 0, height = 0] = (/viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? []).map(Number);
    const points = { short: (190 / 25.4) * 72, long: (277 / 25.4) * 72 };
    const scale = Math.min(points.short / Math.min(width, height), points.long / Math.max(width, height));
    const sizes = all(`${name}.svg`, /font-size: ([\d.]+)px/g).map(Number);
    expect(sizes, "every size is in pixels").toHaveLength(all(`${name}.svg`, /(font-size|font:)/g).length);
    expect(Math.min(...sizes) * scale).toBeGreaterThanOrEqual(7);
  });

  it("has no words of a line on those of another, or on a state without parts", () => {
    const svg = drawn.get(`${name}.svg`) ?? "";
    const rectangles = (before: string) =>
      [...svg.matchAll(new RegExp(`${before} x="(.+?)" y="(.+?)" width="(.+?)" height="(.+?)"`, "g"))].map(
        ([, ...numbers]) => {
          const [x = 0, y = 0, width = 0, height = 0] = numbers.map(Number);
          return { left: x, right: x + width, top: y, bottom: y + height };
        },
      );
    const plates = rectangles(`<rect class="plate"`);
    const boxes = rectangles(`<g class="state (?:atomic|final)[^>]*><rect class="box"`);
    expect(plates.length).toBeGreaterThan(0);
    expect(boxes.length).toBeGreaterThan(0);
    for (const [index, plate] of plates.entries())
      for (const other of [...plates.slice(index + 1), ...boxes])
        expect(
          plate.right <= other.left ||
            other.right <= plate.left ||
            plate.bottom <= other.top ||
            other.bottom <= plate.top,
          `${JSON.stringify(plate)} is on ${JSON.stringify(other)}`,
        ).toBe(true);
  });

  it("has no style but its own, nothing from elsewhere, and a dark side", () => {
    const svg = drawn.get(`${name}.svg`) ?? "";
    expect(svg).not.toMatch(/<script|style="|url\(|@import|https?:\/\/(?!www\.w3\.org\/2000\/svg")/);
    expect(svg).toContain("prefers-color-scheme: dark");
  });
});
