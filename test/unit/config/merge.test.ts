/**
 * Each row was compared with mergo (`Merge` with `WithOverride`) on Go structs decoded from the same JSON: `struct`
 * has fields of every kind, the maps are `map[string]string`, `map[string][]string` and `map[string]map[string]string`.
 */
import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { defaulted } from "../../../src/config/codecs.ts";
import { formOf } from "../../../src/config/form.ts";
import { merge } from "../../../src/config/merge.ts";

const strings = Schema.Record(Schema.String, Schema.String);

const Inner = Schema.Struct({
  text: defaulted(Schema.String, ""),
  number: defaulted(Schema.Finite, 0),
  flag: defaulted(Schema.Boolean, false),
  list: defaulted(Schema.Array(Schema.String), []),
});

const Everything = Schema.Struct({
  text: defaulted(Schema.String, ""),
  number: defaulted(Schema.Finite, 0),
  flag: defaulted(Schema.Boolean, false),
  list: defaulted(Schema.Array(Schema.String), []),
  struct: Schema.optionalKey(Inner),
  pointer: Schema.optionalKey(Schema.Boolean),
  map: defaulted(strings, {}),
  lists: defaulted(Schema.Record(Schema.String, Schema.Array(Schema.String)), {}),
  maps: defaulted(Schema.Record(Schema.String, strings), {}),
  anything: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown)),
});

const form = formOf(Everything);

describe("merging as mergo does", () => {
  it.each([
    ["a text over a text", { text: "a" }, { text: "b" }, { text: "b" }],
    ["an empty text never overrides", { text: "a" }, { text: "" }, { text: "a" }],
    ["a number over a number", { number: 1 }, { number: 2 }, { number: 2 }],
    ["0 never overrides", { number: 1 }, { number: 0 }, { number: 1 }],
    ["true over false", { flag: false }, { flag: true }, { flag: true }],
    ["false never overrides", { flag: true }, { flag: false }, { flag: true }],
    ["null never overrides", { text: "a" }, { text: null }, { text: "a" }],
    ["what is not named stays", { text: "a", number: 1 }, { number: 2 }, { text: "a", number: 2 }],
    ["a list replaces a list", { list: ["a", "b"] }, { list: ["c"] }, { list: ["c"] }],
    ["a list replaces an empty list", { list: [] }, { list: ["c"] }, { list: ["c"] }],
    ["an empty list never overrides", { list: ["a"] }, { list: [] }, { list: ["a"] }],
    ["null never overrides a list", { list: ["a"] }, { list: null }, { list: ["a"] }],
    ["zeros in a list are a list", { list: ["a"] }, { list: [""] }, { list: [""] }],
    [
      "a struct is merged deep",
      { struct: { text: "a", number: 1 } },
      { struct: { text: "b" } },
      { struct: { text: "b", number: 1 } },
    ],
    ["an empty struct changes nothing", { struct: { text: "a" } }, { struct: {} }, { struct: { text: "a" } }],
    [
      "a struct of zeros changes nothing",
      { struct: { text: "a", number: 1, flag: true, list: ["x"] } },
      { struct: { text: "", number: 0, flag: false, list: null } },
      { struct: { text: "a", number: 1, flag: true, list: ["x"] } },
    ],
    [
      "null changes nothing in a struct",
      { struct: { text: "a" } },
      { struct: null },
      { struct: { text: "a" } },
    ],
    ["a struct where there was none", {}, { struct: { text: "a" } }, { struct: { text: "a" } }],
    ["a zero where nothing was set", {}, { pointer: false }, { pointer: false }],
    ["a pointer's zero never overrides", { pointer: true }, { pointer: false }, { pointer: true }],
    ["null where nothing was set", {}, { pointer: null }, {}],
    [
      "a map is merged by key",
      { map: { a: "1", b: "2" } },
      { map: { a: "3", c: "4" } },
      { map: { a: "3", b: "2", c: "4" } },
    ],
    ["an empty value in a map overrides", { map: { a: "1" } }, { map: { a: "" } }, { map: { a: "" } }],
    ["an empty value in a map is added", { map: { a: "1" } }, { map: { b: "" } }, { map: { a: "1", b: "" } }],
    ["an empty map changes nothing", { map: { a: "1" } }, { map: {} }, { map: { a: "1" } }],
    ["null changes nothing in a map", { map: { a: "1" } }, { map: null }, { map: { a: "1" } }],
    [
      "a list in a map is replaced",
      { lists: { a: ["1"] } },
      { lists: { a: ["2"] } },
      { lists: { a: ["2"] } },
    ],
    ["an empty list in a map overrides", { lists: { a: ["1"] } }, { lists: { a: [] } }, { lists: { a: [] } }],
    [
      "a map in a map is merged by key",
      { maps: { a: { x: "1" } } },
      { maps: { a: { y: "2" } } },
      { maps: { a: { x: "1", y: "2" } } },
    ],
    [
      "an object of another API is a struct",
      { anything: { a: 1, b: { c: 1 } } },
      { anything: { a: 0, b: { c: null, d: 2 }, e: false } },
      { anything: { a: 1, b: { c: 1, d: 2 }, e: false } },
    ],
  ])("%s", (_, base, over, merged) => {
    expect(merge(form, base, over)).toEqual(merged);
  });

  it("leaves both sides as they were", () => {
    const base = { map: { a: "1" }, list: ["a"] };
    const over = { map: { b: "2" }, list: ["b"] };
    merge(form, base, over);
    expect([base, over]).toEqual([
      { map: { a: "1" }, list: ["a"] },
      { map: { b: "2" }, list: ["b"] },
    ]);
  });
});
