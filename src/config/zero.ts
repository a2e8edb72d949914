/** Go's zero values, which in its structs cannot be told from "not set". */
import { isObject } from "./form.ts";

/** `""`, `0`, `false`, `null`, an empty list, and every object made of nothing else. */
export const isZero = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === "" ||
  value === 0 ||
  value === false ||
  (Array.isArray(value) && value.length === 0) ||
  (isObject(value) && Object.values(value).every(isZero));
