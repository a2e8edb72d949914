/**
 * `npm run soak:inspector [-- --idle N --logins-per-second N --seconds N]`: a crowd of idle connections and a stream
 * of logins with the inspector's page open and scrolling. Tells how the page's frames came and whether the daemon's
 * memory went back to where it was; exits 1 when a frame took over 200 ms, a login failed or memory stayed.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startBrowser } from "../test/support/browser.ts";
import { startDaemon } from "../test/support/daemon.ts";
import { inspectSection, openInspector } from "../test/support/inspector.ts";
import { generateKey } from "../test/support/keys.ts";
import {
  DEBUGGABLE,
  framesMeasured,
  heapBytes,
  idleConnections,
  logInSteadily,
  measureFrames,
} from "../test/support/load.ts";
import { directory, eventually } from "../test/support/resources.ts";

const MEBIBYTE = 1024 * 1024;
/** As full as the history gets by default, so that what it holds is there before and after. */
const HISTORY = 1000;
/** How much more than before may be left. */
const MOST_LEFT_BYTES = 16 * MEBIBYTE;

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      idle: { type: "string", default: "2000" },
      "logins-per-second": { type: "string", default: "20" },
      seconds: { type: "string", default: "60" },
    },
  });
  const [idleCount, perSecond, seconds] = [values.idle, values["logins-per-second"], values.seconds].map(
    Number,
  ) as [number, number, number];
  const say = (line: string): void => console.error(`... ${line}`);
  await using home = await directory();
  await using browser = await startBrowser();
  const key = await generateKey(home.path, "user");
  await using daemon = await startDaemon({
    config: {
      log: { level: "notice" },
      auth: { publicKey: { method: "users" }, users: [{ name: "demo", authorizedKeys: [key.publicKey] }] },
      backend: "process",
      process: { isolation: "none" },
      inspect: inspectSection({ history: { connections: HISTORY } }),
    },
    env: DEBUGGABLE,
  });
  const inspector = await openInspector(daemon);
  const target = daemon.target({ identityFile: join(home.path, "user") });

  say(`${HISTORY} logins fill the history`);
  await logInSteadily(target, 1000, HISTORY / 1000);
  const before = await heapBytes(daemon);
  const rssBefore = daemon.rssBytes();
  say(`${idleCount} connections that stay`);
  const idle = await idleConnections(target, idleCount);
  const page = await (await browser.profile({ viewport: { width: 1440, height: 900 } })).newPage();
  await page.goto(inspector.link);
  await page.getByRole("link", { name: /^Connections/ }).click();
  await page.getByText(new RegExp(`^${idleCount.toLocaleString("en-US")} live connections`)).waitFor();
  say(`${perSecond} logins per second for ${seconds} s with the page open`);
  const crowded = await heapBytes(daemon);
  await measureFrames(page);
  const started = performance.now();
  const logins = await logInSteadily(target, perSecond, seconds);
  const took = (performance.now() - started) / 1000;
  const frames = await framesMeasured(page);
  await page.close();
  say(`the longest of ${frames.count} frames took ${frames.longestMillis.toFixed(0)} ms; everybody leaves`);
  await Promise.all(idle.map((client) => client[Symbol.asyncDispose]()));
  const isOver = async (): Promise<boolean> =>
    (await inspector.connections()).every(({ endedAt }) => endedAt !== undefined);
  // Two thousand goodbyes at once are work: an answer that comes too late is asked for again.
  await eventually(() => isOver().catch(() => false), "all connections are over", 120);
  const after = await heapBytes(daemon);
  const mebibytes = (bytes: number): string => `${(bytes / MEBIBYTE).toFixed(1)} MiB`;
  console.log(`
| with ${idleCount} idle connections | |
|---|--:|
| logins in ${took.toFixed(0)} s | ${logins} |
| frames of the page | ${frames.count} |
| longest frame | ${frames.longestMillis.toFixed(0)} ms |
| 99% of frames at most | ${frames.p99Millis.toFixed(0)} ms |
| frames over 200 ms | ${frames.dropped} |
| daemon's heap before / with the crowd / after | ${mebibytes(before)} / ${mebibytes(crowded)} / ${mebibytes(after)} |
| resident before / after | ${mebibytes(rssBefore)} / ${mebibytes(daemon.rssBytes())} |`);
  return logins === perSecond * seconds && frames.dropped === 0 && after - before < MOST_LEFT_BYTES ? 0 : 1;
};

process.exitCode = await main();
