/** The page while there is a crowd: `npm run soak:inspector` is the same for longer, with more. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startBrowser, type TestBrowser } from "../support/browser.ts";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { inspectSection, openInspector } from "../support/inspector.ts";
import { generateKey } from "../support/keys.ts";
import {
  DEBUGGABLE,
  framesMeasured,
  heapBytes,
  idleConnections,
  logInSteadily,
  measureFrames,
} from "../support/load.ts";
import type { NodeClient } from "../support/node-client.ts";
import { type Directory, directory, eventually } from "../support/resources.ts";

const IDLE = 300;
const LOGINS_PER_SECOND = 10;
const SECONDS = 8;
const MEBIBYTE = 1024 * 1024;

describe(`${IDLE} idle connections and ${LOGINS_PER_SECOND} logins per second`, () => {
  let home: Directory;
  let browser: TestBrowser;
  let daemon: Daemon;

  beforeAll(async () => {
    home = await directory();
    browser = await startBrowser();
    const key = await generateKey(home.path, "user");
    daemon = await startDaemon({
      config: {
        log: { level: "notice" },
        auth: { publicKey: { method: "users" }, users: [{ name: "demo", authorizedKeys: [key.publicKey] }] },
        backend: "process",
        process: { isolation: "none" },
        inspect: inspectSection({ history: { connections: 50 } }),
      },
      env: DEBUGGABLE,
    });
  });
  afterAll(async () => {
    await browser[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  it("leave the tree smooth, and no memory behind", async () => {
    const inspector = await openInspector(daemon);
    const target = daemon.target({ identityFile: join(home.path, "user") });
    // What every process allocates once is not the crowd's.
    await logInSteadily(target, 20, 3);
    const before = await heapBytes(daemon);

    let idle: readonly NodeClient[] = await idleConnections(target, IDLE);
    const page = await (await browser.profile({ viewport: { width: 1280, height: 800 } })).newPage();
    await page.goto(inspector.link);
    await page.getByRole("link", { name: /^Connections/ }).click();
    await page.getByText(new RegExp(`^${IDLE} live connections`)).waitFor();
    // Only what is in sight is in the document.
    expect(await page.locator('.tree [role="row"]').count()).toBeLessThan(60);
    await measureFrames(page);
    expect(await logInSteadily(target, LOGINS_PER_SECOND, SECONDS)).toBe(LOGINS_PER_SECOND * SECONDS);
    const frames = await framesMeasured(page);
    expect(frames.count).toBeGreaterThan(SECONDS * 5);
    // A machine that others use, too, may be late now and then; a page that is slow is late all the time.
    expect(frames.dropped / frames.count).toBeLessThan(0.05);

    await page.close();
    await Promise.all(idle.map((client) => client[Symbol.asyncDispose]()));
    idle = [];
    await eventually(
      async () => (await inspector.connections()).every(({ endedAt }) => endedAt !== undefined),
      "all connections are over",
    );
    const grown = await eventually(async () => {
      const bytes = (await heapBytes(daemon)) - before;
      return bytes < 6 * MEBIBYTE ? { bytes } : undefined;
    }, "the daemon's memory is back where it was");
    expect(grown.bytes).toBeLessThan(6 * MEBIBYTE);
  });
});
