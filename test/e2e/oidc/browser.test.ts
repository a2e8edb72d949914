/** Logins with a real browser: the device flow's page, and the authorization code flow down to the copy button. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBrowser, type TestBrowser } from "../../support/browser.ts";
import type { OidcProvider } from "../../support/oidc-provider.ts";
import { projectRoot } from "../../support/root.ts";
import { startWorld } from "./daemon.ts";

let browser: TestBrowser;
beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(() => browser[Symbol.asyncDispose]());

/** Everything the browser complains about, the content security policy included, but for the provider's own pages. */
const complaintsOf = (page: Page, provider: OidcProvider): string[] => {
  const complaints: string[] = [];
  page.on("console", (message) => {
    const { url } = message.location();
    if (message.type() === "error" && !url.startsWith(provider.issuer))
      complaints.push(`${url}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  return complaints;
};

const sizes = {
  desktop: { viewport: { width: 900, height: 600 } },
  phone: { viewport: { width: 375, height: 667 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};

/** `UPDATE_SCREENSHOTS=1` renews the pictures that the README shows. */
const keepScreenshot = async (page: Page, name: string): Promise<void> => {
  if (process.env.UPDATE_SCREENSHOTS === undefined) return;
  const folder = join(projectRoot, "docs/screenshots");
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
};

describe("in Chromium", () => {
  it("the device code is approved, and the terminal goes on by itself", async () => {
    await using here = await startWorld("device");
    await using terminal = await here.ssh("echo in as $USER");
    const [link = ""] = await terminal.waitFor(/http:\S+/);
    const [, code = ""] = await terminal.waitFor(/code: (\S+)/);
    const page = await (await browser.profile()).newPage();
    await page.goto(link);
    await page.getByRole("heading", { name: code }).waitFor();
    await page.getByRole("button", { name: "Yes" }).click();
    await page.getByRole("button", { name: "Allow" }).click();
    await page.getByRole("heading", { name: "The device is logged in" }).waitFor();
    await terminal.waitFor("in as jane");
  });

  it("unticking email on the consent page refuses the login", async () => {
    await using here = await startWorld("device");
    await using terminal = await here.ssh("echo in");
    const [link = ""] = await terminal.waitFor(/http:\S+/);
    const page = await (await browser.profile()).newPage();
    await page.goto(link);
    await page.getByRole("button", { name: "Yes" }).click();
    await page.getByRole("checkbox", { name: "email" }).uncheck();
    await page.getByRole("button", { name: "Allow" }).click();
    await terminal.waitFor("You have not granted the required permission: email");
  });

  it.each(["desktop", "phone"] as const)("the code is copied and pasted at %s width", async (width) => {
    await using here = await startWorld("code");
    await using terminal = await here.ssh("echo in as $USER");
    const [link = ""] = await terminal.waitFor(/http:\S+/);
    await terminal.waitFor("Code: ");
    const page = await (await browser.profile(sizes[width])).newPage();
    const complaints = complaintsOf(page, here.provider);
    await page.goto(link);
    await page.getByRole("button", { name: "Allow" }).click();
    await page.getByRole("heading", { name: "Almost there" }).waitFor();
    expect(
      await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
    ).toBe(0);
    await keepScreenshot(page, `redirect-page-${width}`);
    await page.getByRole("button", { name: "Copy the code" }).click();
    await page.getByRole("status").getByText("Copied").waitFor();
    const copied = String(await page.evaluate("navigator.clipboard.readText()"));
    expect(copied).toBe(await page.getByLabel("Login code").textContent());
    terminal.write(`${copied}\n`);
    await terminal.waitFor("in as jane");
    expect(complaints).toEqual([]);
  });
});
