import { expect, test } from "vitest";
import { openFilesOf } from "../../../src/ssh/open-files.ts";

const limits = (
  soft: string,
): string => `Limit                     Soft Limit           Hard Limit           Units
Max processes             95971                95971                processes
Max open files            ${soft.padEnd(20)} 1048576              files
Max locked memory         8388608              8388608              bytes
`;

test.each([
  ["1000", 875],
  ["20000", 19_744],
  ["unlimited", Number.POSITIVE_INFINITY],
])("of %s files some are left for those who are in", (soft, full) => {
  expect(openFilesOf(limits(soft))).toEqual({ limit: Number(soft) || Number.POSITIVE_INFINITY, full });
});

test("a system that does not say sets no limit", () => {
  expect(openFilesOf("").full).toBe(Number.POSITIVE_INFINITY);
});
