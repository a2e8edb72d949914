/** Placeholders in the names of persistent environments, as they may be written in a configuration. */
import type { Finding, Path } from "./diagnostic.ts";
import { suggest } from "./normalize.ts";

/** Every placeholder; its first group is what stands between the braces. */
export const PLACEHOLDER = /\{(authenticatedUsername|username|metadata\.[^{}]+)\}/g;

const WRITTEN = ["{authenticatedUsername}", "{username}", "{metadata.KEY}"];

/** What is in braces and stands for nothing: no name may hold it. */
export const unknownPlaceholders = (path: Path, template: string): readonly Finding[] =>
  (template.replaceAll(PLACEHOLDER, "").match(/\{[^{}]*\}?|\}/g) ?? []).map((unknown) => ({
    path,
    message: `${unknown} is no placeholder: there are ${WRITTEN.join(", ")}`,
    ...suggest(unknown, WRITTEN),
  }));
