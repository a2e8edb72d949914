import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Area, areas, codes } from "../../../src/log/codes.ts";

/** Every code in the reference's message/*.go. */
const referenceCodes = new Set(
  readFileSync(new URL("reference-codes.txt", import.meta.url), "utf8")
    .split("\n")
    .filter(Boolean),
);

const root = join(import.meta.dirname, "../../..");

/** The codes that a source gives to failures, refusals and log lines. */
const codesIn = (source: string): string[] =>
  [
    /\bfailure\(\s*"\w+",\s*"([A-Z][A-Z0-9_]*)"/g,
    /\.(?:debug|info|notice|warning|error)\(\s*"([A-Z][A-Z0-9_]*)"/g,
    /\.log\(\s*"[a-z]+",\s*"([A-Z][A-Z0-9_]*)"/g,
    /\bcode(?: =|:) "([A-Z][A-Z0-9_]*)"/g,
  ].flatMap((pattern) => [...source.matchAll(pattern)].flatMap(([, code]) => code ?? []));

const sources = ["src", "machines"].flatMap((directory) =>
  readdirSync(join(root, directory), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(directory, file))
    .filter((file) => !file.startsWith("src/log/codes/"))
    .map((file) => ({ file, text: readFileSync(join(root, file), "utf8") })),
);

const used = sources.flatMap(({ file, text }) => codesIn(text).map((code) => ({ code, file })));

describe("the catalogue of message codes", () => {
  it("has every code that the sources use", () => {
    expect(used.length).toBeGreaterThan(20);
    const missing = used.filter(({ code }) => !(code in codes));
    expect(missing.map(({ code, file }) => `${code} of ${file} belongs into src/log/codes/`)).toEqual([]);
  });

  it("has no code that no source names", () => {
    const named = new Set(
      sources.flatMap(({ text }) =>
        [...text.matchAll(/["`]([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)\b|\bcodes\.([A-Z0-9_]+)/g)].map(
          ([, quoted, constant]) => quoted ?? constant,
        ),
      ),
    );
    expect(Object.keys(codes).filter((code) => !named.has(code))).toEqual([]);
  });

  describe.each(Object.entries<Area>(areas))("%s", (_name, area) => {
    it("spells the reference's codes as the reference does", () => {
      expect(Object.keys(area.reference).filter((code) => !referenceCodes.has(code))).toEqual([]);
    });

    it("calls nothing its own that the reference has", () => {
      expect(Object.keys(area.own).filter((code) => referenceCodes.has(code))).toEqual([]);
    });

    it("explains each code in a sentence", () => {
      for (const explanation of [...Object.values(area.reference), ...Object.values(area.own)]) {
        expect(explanation).toMatch(/^[A-Z].+\.$/);
      }
    });
  });

  it("has each code once", () => {
    const all = Object.values<Area>(areas).flatMap((area) => [
      ...Object.keys(area.reference),
      ...Object.keys(area.own),
    ]);
    expect(new Set(all).size).toBe(all.length);
    expect(Object.entries(codes).every(([name, code]) => name === code)).toBe(true);
  });
});
