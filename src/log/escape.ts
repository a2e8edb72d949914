/**
 * Makes what peers send harmless in a log: control characters, line separators, invisible and direction-changing
 * characters are written as escapes, so that nobody forges a line, moves a terminal's cursor or hides a letter.
 */

/** Controls, format characters (bidirectional overrides, zero-width ones), lone surrogates, line separators. */
const treacherous = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

const shortEscapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

const escaped = (character: string): string =>
  shortEscapes[character] ??
  Array.from(
    { length: character.length },
    (_, unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`,
  ).join("");

/** Plain text on one line. */
export const escapeText = (text: string): string => text.replace(treacherous, escaped);

/** A JSON string literal with the same value that is also safe to look at. */
export const escapeJson = (text: string): string => escapeText(JSON.stringify(text));

/** The beginning of a text, and how long it was. */
export const shorten = (text: string, limit: number): string =>
  text.length <= limit ? text : `${text.slice(0, limit)}… (${text.length} characters)`;
