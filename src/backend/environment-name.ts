/**
 * Names of persistent environments with placeholders in them, so that every user has one of their own:
 * `{authenticatedUsername}`, `{username}`, `{metadata.KEY}`.
 *
 * @example
 * fillName("lab-{authenticatedUsername}", identity, DNS_LABEL)
 * // jane     → lab-jane
 * // Jane Doe → lab-jane-doe-7q2kzd4mw3fa
 */
import { createHash } from "node:crypto";
import { Redacted } from "effect";
import type { Identity } from "../../machines/facts.ts";
import { PLACEHOLDER } from "../config/placeholders.ts";

/** What a kind of name may hold. */
export interface NameRules {
  readonly maxLength: number;
  /** Brings text closer to the rules without shortening it: letters it may hold, others replaced. */
  readonly adapt: (text: string) => string;
}

/** RFC 1123 labels, the names of pods: lower case letters, digits and hyphens, neither first nor last a hyphen. */
export const DNS_LABEL: NameRules = {
  maxLength: 63,
  adapt: (text) =>
    text
      .toLowerCase()
      .replace(/[^a-z0-9-]/g, "-")
      .replace(/^-+|-+$/g, ""),
};

export type FilledName =
  | { readonly kind: "name"; readonly name: string }
  /** A placeholder has nothing to stand for. */
  | { readonly kind: "empty"; readonly placeholder: string }
  /** A placeholder stands for what must not be seen, and names are. */
  | { readonly kind: "sensitive"; readonly placeholder: string };

export const hasPlaceholder = (template: string): boolean => template.search(PLACEHOLDER) >= 0;

/** Whether every authenticated user has a name of their own: only then nobody shares what the name stands for. */
export const isPerUser = (template: string): boolean => template.includes("{authenticatedUsername}");

/**
 * A name without placeholders is left as it is. Otherwise a short hash is appended whenever the rules changed or
 * shortened anything, and wherever two users could come to the same name without that.
 */
export const fillName = (template: string, identity: Identity, rules: NameRules): FilledName => {
  const values: string[] = [];
  let empty: string | undefined;
  let sensitive: string | undefined;
  const filled = template.replaceAll(PLACEHOLDER, (placeholder, key: string) => {
    const value = identityValue(key, identity);
    if (isSensitive(key, identity)) sensitive ??= placeholder;
    if (value === "") empty ??= placeholder;
    values.push(value);
    return value;
  });
  if (sensitive !== undefined) return { kind: "sensitive", placeholder: sensitive };
  if (empty !== undefined) return { kind: "empty", placeholder: empty };
  if (values.length === 0) return { kind: "name", name: template };
  const adapted = rules.adapt(filled);
  const isPlain = adapted === filled && adapted.length <= rules.maxLength;
  if (isPlain && !HASHED.test(adapted) && (values.length === 1 || isUnambiguous(template, values))) {
    return { kind: "name", name: adapted };
  }
  const hash = hashOf([template, ...values]);
  const stem = rules.adapt(adapted.slice(0, rules.maxLength - hash.length - 1));
  return { kind: "name", name: stem === "" ? hash : `${stem}-${hash}` };
};

const identityValue = (key: string, identity: Identity): string => {
  if (key === "username" || key === "authenticatedUsername") return identity[key];
  const value = metadataOf(key, identity);
  return value === undefined ? "" : Redacted.value(value.value);
};

const isSensitive = (key: string, identity: Identity): boolean =>
  metadataOf(key, identity)?.sensitive === true;

/** Of `metadata.KEY`. */
const metadataOf = (key: string, { metadata }: Identity): Identity["metadata"][string] | undefined => {
  const name = key.slice("metadata.".length);
  return key.startsWith("metadata.") && Object.hasOwn(metadata, name) ? metadata[name] : undefined;
};

const HASH_LENGTH = 12;

/** A user name that already looks hashed gets a hash too: it could be made up to be another user's. */
const HASHED = new RegExp(`-[a-z2-7]{${HASH_LENGTH}}$|^[a-z2-7]{${HASH_LENGTH}}$`);

/** 60 bits in the letters of base 32 (RFC 4648). */
const hashOf = (parts: readonly string[]): string => {
  const digest = createHash("sha256").update(JSON.stringify(parts)).digest();
  return Array.from(
    { length: HASH_LENGTH },
    (_, index) => "abcdefghijklmnopqrstuvwxyz234567"[(digest[index] ?? 0) % 32],
  ).join("");
};

/** Whether it can be seen where one value ends and the next begins: `a-b` + `c` must not become `a` + `b-c`. */
const isUnambiguous = (template: string, values: readonly string[]): boolean => {
  const between = template
    .split(PLACEHOLDER)
    .filter((_, index) => index % 2 === 0)
    .slice(1, -1);
  return between.every(
    (separator) =>
      separator !== "" && !values.some((value) => [...separator].some((letter) => value.includes(letter))),
  );
};
