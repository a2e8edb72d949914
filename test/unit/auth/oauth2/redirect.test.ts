/** The server that browsers come back to: its pages, its headers, an operator's own directory. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Effect, Exit, Redacted, Schema, Scope } from "effect";
import { afterEach, describe, expect, it } from "vitest";
import { readTemplate, redirectService } from "../../../../src/auth/oauth2/redirect.ts";
import { Returns } from "../../../../src/auth/oauth2/returns.ts";
import { filled, notUnderstood } from "../../../../src/auth/oauth2/template.ts";
import { Redirect } from "../../../../src/config/sections/oauth2.ts";
import { codeOn } from "../../../support/browser-login.ts";
import { memoryLogger } from "../../../support/memory-logger.ts";

const STATE = "s".repeat(43);
const LINK = Redacted.make("https://sso.example.com/auth?state=s");
const scopes: Scope.Closeable[] = [];
const folders: string[] = [];

afterEach(async () => {
  for (const scope of scopes.splice(0)) await Effect.runPromise(Scope.close(scope, Exit.void));
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

const folderWith = async (files: Readonly<Record<string, string>>): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "berth-webroot-"));
  folders.push(folder);
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
};

const serving = async (webroot = "", redirectUri = "") => {
  const scope = Scope.makeUnsafe();
  scopes.push(scope);
  const returns = new Returns();
  const log = memoryLogger();
  const config = Schema.decodeUnknownSync(Redirect)({ listen: "127.0.0.1:0", webroot });
  const { url } = await Effect.runPromise(
    Scope.provide(redirectService(config, redirectUri, returns, log.logger), scope),
  );
  const get = (query: string, path = "/") => fetch(`${url}${path}${query}`);
  return { returns, get, url, log };
};

const query = (parameters: Record<string, string>) => `?${new URLSearchParams(parameters)}`;

describe("the page", () => {
  it("shows a short code, which the login that waits takes", async () => {
    const { returns, get } = await serving();
    const state = Redacted.make(STATE);
    returns.expect({ state, link: LINK });
    const response = await get(query({ state: STATE, code: "the-code" }));
    expect(response.status).toBe(200);
    const html = await response.text();
    expect(html).not.toContain("the-code");
    expect(codeOn(html)).toMatch(/^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/);
    expect(returns.read(state, Redacted.make(codeOn(html))).kind).toBe("matched");
    // The same browser may load its page again; another code for the same login is not taken.
    expect(codeOn(await (await get(query({ state: STATE, code: "the-code" }))).text())).toBe(codeOn(html));
    expect((await get(query({ state: STATE, code: "injected" }))).status).toBe(410);
  });

  it("sends a short link's browser to the provider, as long as the login waits", async () => {
    const { returns, url } = await serving();
    const state = Redacted.make(STATE);
    const over = returns.expect({ state, link: LINK });
    const short = Redacted.value(returns.shortLink(state, `${url}/`) ?? LINK);
    expect(short.length).toBeLessThan(60);
    const away = await fetch(short, { redirect: "manual" });
    expect([away.status, away.headers.get("location")]).toEqual([302, Redacted.value(LINK)]);
    expect((await fetch(`${url}/?login=AAAAAAAAAAAA`, { redirect: "manual" })).status).toBe(410);
    over();
    expect((await fetch(short, { redirect: "manual" })).status).toBe(410);
  });

  it("tells when a login is over", async () => {
    const { returns, get } = await serving();
    const over = returns.expect({ state: Redacted.make(STATE), link: LINK });
    over();
    expect((await get(query({ state: STATE, code: "the-code" }))).status).toBe(410);
  });

  it("shows the long form of a login that another daemon waits for", async () => {
    const { get } = await serving();
    const html = await (await get(query({ state: STATE, code: "the-code", iss: "https://sso" }))).text();
    expect(codeOn(html)).toBe(`${STATE}|the-code|https://sso`);
  });

  it.each([
    [{}, 400],
    [{ state: "call +1 555 0100", code: "<b>now</b>" }, 400],
    [{ state: STATE, code: "');alert(1)//" }, 400],
    [{ state: STATE, code: "{alert(1)}" }, 400],
    [{ state: STATE, error: "access_denied", error_description: "<script>alert(1)</script>" }, 403],
  ])("repeats nothing of %j", async (parameters, status) => {
    const { get } = await serving();
    const response = await get(query(parameters));
    expect(response.status).toBe(status);
    expect(await response.text()).not.toMatch(/555|<b>|alert/);
  });

  it("is kept by nobody, and allows nothing from elsewhere", async () => {
    const { get } = await serving();
    const { headers } = await get(query({ state: STATE, code: "the-code" }));
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    const policy = headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain("unsafe");
  });

  it("is at the path of the redirect URI too, and nowhere else", async () => {
    const { get, url } = await serving("", "https://ssh.example.com/callback");
    expect((await get("", "/callback")).status).toBe(400);
    expect((await get("", "/other")).status).toBe(404);
    expect((await fetch(url, { method: "POST" })).status).toBe(405);
  });

  it("leaves no code in the log", async () => {
    const { get, log } = await serving();
    await get(query({ state: STATE, code: "the-code" }));
    expect(log.text()).not.toMatch(/the-code|sssss/);
  });
});

describe("an operator's own page", () => {
  it("is filled with the code, and its other files are served as they are", async () => {
    const webroot = await folderWith({
      "index.html": "<b>{{ .Code }}</b>",
      "style.css": "b { color: {{ .Code }} }",
      ".secret": "x",
    });
    const { get } = await serving(webroot);
    expect(await (await get(query({ state: STATE, code: "the-code" }))).text()).toBe(
      `<b>${STATE}|the-code</b>`,
    );
    expect(await (await get("", "/style.css")).text()).toBe("b { color: {{ .Code }} }");
    expect((await get("", "/.secret")).status).toBe(404);
    expect((await get("", "/..%2f..%2fetc%2fpasswd")).status).toBe(403);
  });

  it("is refused when it uses more of Go's templates", async () => {
    const webroot = await folderWith({ "index.html": "{{ if .Code }}{{ .Code }}{{ end }}" });
    const failed = await Effect.runPromise(Effect.flip(readTemplate(webroot)));
    expect(failed).toMatchObject({ code: "AUTH_CONFIG_ERROR" });
    expect(failed.message).toContain("{{ if .Code }}");
    expect(notUnderstood("{{.Code}} {{  .Code }} {{- .Code -}} {{/* not {{ end }} */}}")).toBeUndefined();
    expect(notUnderstood("{{-.Code}}")).toBe("{{-.Code}}");
  });

  it.each([
    ["<p>{{ .Code }}</p>", "<p>&#60;&#34;&#38;</p>"],
    ["<script>let a = {{ .Code }};</script>", '<script>let a = "\\u003c\\"\\u0026";</script>'],
    ['<script>let a = "{{ .Code }}";</script>', '<script>let a = "\\u003c\\"\\u0026";</script>'],
    ["<script></script>{{ .Code }}", "<script></script>&#60;&#34;&#38;"],
    ["<p>\n {{- .Code -}}\n</p>{{/* a\ncomment */}}", "<p>&#60;&#34;&#38;</p>"],
  ])("escapes in %j", (template, page) => {
    expect(filled(template, '<"&')).toBe(page);
  });
});
