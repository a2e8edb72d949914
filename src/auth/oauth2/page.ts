/**
 * The pages on which a browser login ends: simple, readable on a phone, without anything from elsewhere. Styles and
 * script are in the page, and the content security policy allows them by their hashes and nothing else.
 */
import { createHash } from "node:crypto";

export interface Page {
  readonly html: string;
  readonly contentSecurityPolicy: string;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #f4f6f8; --card: #fff; --line: #c9d1d9; --accent: #0b5cad; --on-accent: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #10151b; --card: #1a212a; --line: #3d4854; --accent: #6cb2ff; --on-accent: #0b1016; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  font: 1.125rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
main { width: 100%; max-width: 34rem; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem; }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1rem; }
.code { display: block; margin: 0 0 1rem; padding: 1rem; max-height: 40vh; overflow: auto; text-align: center;
  font: 600 1.125rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; user-select: all;
  border: 1px solid var(--line); border-radius: .5rem; background: var(--paper); }
.short { font-size: clamp(1.5rem, 9vw, 2.5rem); letter-spacing: .08em; white-space: nowrap; }
button { width: 100%; min-height: 3rem; font: inherit; font-weight: 600; cursor: pointer;
  color: var(--on-accent); background: var(--accent); border: 0; border-radius: .5rem; }
button:focus-visible, .code:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
.small { margin: 1rem 0 0; font-size: 1rem; opacity: .8; }
[role=status] { min-height: 1.5em; margin: .75rem 0 0; text-align: center; }
[hidden] { display: none; }
`;

/** Where there is no clipboard to write to (a page without TLS), the old way of copying a selection still works. */
const SCRIPT = `
const code = document.getElementById("code");
const button = document.getElementById("copy");
const status = document.getElementById("status");
const selectCode = () => {
  const range = document.createRange();
  range.selectNodeContents(code);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
};
const copy = async () => {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    selectCode();
    return document.execCommand("copy");
  }
};
button.hidden = false;
button.addEventListener("click", async () => {
  const done = await copy();
  status.textContent = done ? "Copied. Paste it into your SSH window." : "Please select the code and copy it.";
});
`;

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

const POLICY = [
  "default-src 'none'",
  `style-src ${hash(STYLE)}`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];

const document = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;

/** The page that shows a code. */
export const codePage = (code: string): Page => ({
  html: document(
    "Your login code",
    `<h1>Almost there</h1>
<p>Go back to your SSH window and enter this code:</p>
<code class="code${code.length > 12 ? "" : " short"}" id="code" tabindex="0" aria-label="Login code">${escapeHtml(code)}</code>
<button type="button" id="copy" hidden>Copy the code</button>
<p role="status" id="status"></p>
<p class="small">The code works once, for the login that you have begun yourself. Nobody will ever ask you for it.</p>
<script>${SCRIPT}</script>`,
  ),
  contentSecurityPolicy: [...POLICY, `script-src ${hash(SCRIPT)}`].join("; "),
});

const messagePage = (title: string, text: string): Page => ({
  html: document(title, `<h1>${title}</h1>\n<p>${text}</p>`),
  contentSecurityPolicy: POLICY.join("; "),
});

export const declinedPage = messagePage(
  "You are not logged in",
  "The login was declined. Go back to your SSH window and press Enter to end it or to try again.",
);

export const overPage = messagePage(
  "This login is over",
  "It was completed, took too long, or its SSH window was closed. Go back to your SSH window and begin a new login.",
);

export const nothingPage = messagePage(
  "Nothing to see here",
  "This page shows a code at the end of a login. Begin a login with your SSH client and open the link that it shows.",
);

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
