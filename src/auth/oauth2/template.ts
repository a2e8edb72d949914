/**
 * The `index.html` of an operator's own webroot: a Go template in which `{{ .Code }}` stands for the code, as in the
 * reference; comments and the trimming of white space work, too. Other actions of Go's templates are not understood.
 */
import { escapeHtml } from "./page.ts";

/** `{{` and `}}`, or with a hyphen that takes the white space around them away. */
const action = (content: string): RegExp =>
  new RegExp(`(?:\\{\\{|\\s*\\{\\{-\\s)${content}(?:\\}\\}|\\s-\\}\\}\\s*)`, "g");

const CODE = action("\\s*\\.Code\\s*");
const COMMENT = action("/\\*[^]*?\\*/");

/** What in a template is not understood; undefined when all of it is. */
export const notUnderstood = (template: string): string | undefined =>
  /\{\{[^}]*\}?\}?/.exec(template.replace(COMMENT, "").replace(CODE, ""))?.[0];

/** The template with the code in it, escaped for where it stands as Go's html/template does it. */
export const filled = (template: string, code: string): string => {
  const page = template.replace(COMMENT, "");
  return page.replace(CODE, (_, offset: number) => {
    const before = page.slice(0, offset);
    if (!isInScript(before)) return escapeHtml(code);
    const literal = JSON.stringify(code).replace(
      /[<>&'\u2028\u2029]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
    return /["'`]$/.test(before) ? literal.slice(1, -1) : literal;
  });
};

const isInScript = (before: string): boolean => {
  const lower = before.toLowerCase();
  return lower.lastIndexOf("<script") > lower.lastIndexOf("</script");
};
