/** A real browser: Debian's Chromium without a window, driven by playwright-core. */
import { type BrowserContext, type BrowserContextOptions, chromium } from "playwright-core";

export interface TestBrowser extends AsyncDisposable {
  /** A browser profile of its own, without cookies; it may read and write the clipboard. */
  readonly profile: (options?: BrowserContextOptions) => Promise<BrowserContext>;
}

export const startBrowser = async (): Promise<TestBrowser> => {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    // Chromium's own sandbox does not run as root, which tests do.
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  return {
    profile: async (options = {}) => {
      const context = await browser.newContext(options);
      await context.grantPermissions(["clipboard-read", "clipboard-write"]);
      return context;
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
};
