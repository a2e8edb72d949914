/**
 * Merges raw configurations as the reference merges its Go structs (mergo with override): objects deep, lists
 * replaced, and Go's zero values never win over what is set, because servers written in Go send every field.
 */
import { type Form, formFor, isObject, type PlainObject } from "./form.ts";
import { isZero } from "./zero.ts";

/** @returns `base` with what `over` sets; both are normalized. */
export const merge = (form: Form, base: unknown, over: unknown): unknown => {
  if (isObject(base) && isObject(over)) {
    return mergeObjects(formFor(form, over), base, over);
  }
  return isZero(over) && base !== undefined && base !== null ? base : over;
};

const mergeObjects = (form: Form, base: PlainObject, over: PlainObject): PlainObject => {
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(over)) {
    const before = merged.get(key);
    const isEntry = form.kind === "map" && !(isObject(before) && isObject(value));
    if (isEntry) {
      // An entry of a Go map is there because somebody put it there, so it counts even when it is empty.
      merged.set(key, value);
    } else {
      const after = merge(childForm(form, key), before, value);
      if (after !== undefined && after !== null) {
        merged.set(key, after);
      }
    }
  }
  return Object.fromEntries(merged);
};

const childForm = (form: Form, key: string): Form => {
  switch (form.kind) {
    case "map":
      return form.value;
    case "struct":
      return form.fields.get(key)?.form ?? form.rest ?? { kind: "anything" };
    default:
      return { kind: "anything" };
  }
};
