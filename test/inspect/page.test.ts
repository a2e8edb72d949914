/** The inspector's page in Chromium: what it shows of real connections, by mouse and by keyboard, for every eye. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { violationsOf } from "../support/accessibility.ts";
import { startBrowser, type TestBrowser } from "../support/browser.ts";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { type InspectorClient, inspectSection, openInspector } from "../support/inspector.ts";
import {
  isActive,
  litStates,
  recordLitStates,
  searchFor,
  selected,
  tabTo,
} from "../support/inspector-page.ts";
import { PATIENCE_SECONDS } from "../support/patience.ts";
import { keepScreenshot } from "../support/screenshots.ts";
import { SshClient, type TerminalSession } from "../support/ssh.ts";
import { usersAuth } from "../support/users.ts";

const PASSWORD = "correct-horse-battery-staple";

let daemon: Daemon;
let inspector: InspectorClient;
let browser: TestBrowser;
const clients: SshClient[] = [];
/** Two people sit at terminals all the while. */
const terminals: Record<string, TerminalSession> = {};
/** What a person with a wrong password has read. */
let reference: string;
/** What went wrong in any page, and what was asked of others than the inspector. */
const troubles: string[] = [];

const clientOf = async (username: string, password = PASSWORD): Promise<SshClient> => {
  const client = await SshClient.to(daemon.target({ username, password }));
  clients.push(client);
  return client;
};

beforeAll(async () => {
  browser = await startBrowser();
  daemon = await startDaemon({
    config: {
      auth: await usersAuth(
        { name: "jane", password: PASSWORD },
        { name: "mallory", password: PASSWORD },
        { name: "build", password: PASSWORD },
      ),
      backend: "process",
      process: { isolation: "none" },
      inspect: inspectSection({ allowControl: true }),
    },
  });
  inspector = await openInspector(daemon);
  for (const username of ["jane", "build"]) {
    const terminal = (await clientOf(username)).terminal();
    terminal.write("echo I am i''n\n");
    await terminal.waitFor("I am in");
    terminals[username] = terminal;
  }
  await (await clientOf("build")).run("true");
  const { stderr } = await (await clientOf("mallory", "wrong")).run("true");
  reference = /\(reference (\w+)\)/.exec(stderr)?.[1] ?? "";
});

afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  for (const terminal of Object.values(terminals)) await terminal[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
  for (const client of clients) await client[Symbol.asyncDispose]();
});

const openPage = async (options: BrowserContextOptions = {}): Promise<Page> => {
  const page = await (
    await browser.profile({ viewport: { width: 1440, height: 900 }, ...options })
  ).newPage();
  page.setDefaultTimeout(PATIENCE_SECONDS * 1000);
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("console", (message) => {
    // Chromium says so of every answer that refuses or finds nothing.
    const isAnswer = /\/(api|inspect)\b/.test(message.location().url);
    if (message.type() === "error" && !isAnswer) troubles.push(`${message.text()} ${message.location().url}`);
  });
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== new URL(inspector.url).origin && protocol !== "blob:")
      troubles.push(`asked for ${request.url()}`);
  });
  return page;
};

const signedIn = async (options: BrowserContextOptions = {}): Promise<Page> => {
  const page = await openPage(options);
  await page.goto(inspector.link);
  await page.getByText("Where connections are").waitFor();
  return page;
};

const schemes = ["light", "dark"] as const;

describe("the way in", () => {
  it.each(schemes)(
    "asks for the token, refuses a wrong one and takes the right one (%s)",
    async (colorScheme) => {
      const page = await openPage({ colorScheme });
      await page.goto(inspector.url);
      await page.getByLabel("Token").fill("another-token-of-somebody");
      await page.keyboard.press("Enter");
      await page.getByText("This is not the token of this server.").waitFor();
      expect(await violationsOf(page)).toEqual([]);
      await page.getByLabel("Token").fill(inspector.token);
      await page.keyboard.press("Enter");
      await page.getByText("Where connections are").waitFor();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByLabel("Token").waitFor();
    },
  );

  it("takes the token out of the address it was printed with", async () => {
    const page = await signedIn();
    expect(page.url()).not.toContain(inspector.token);
    await page.reload();
    await page.getByText("Where connections are").waitFor();
  });
});

describe("the overview", () => {
  it.each(schemes)(
    "says where connections are, who was refused and why, and what is slow (%s)",
    async (colorScheme) => {
      const page = await signedIn({ colorScheme });
      await page.getByRole("link", { name: "Serving 2" }).waitFor();
      await page
        .locator(".tiles", { hasText: /Logins, last hour\s*3[\s\S]*Refusals, last hour\s*1/ })
        .waitFor();
      await page.getByRole("link", { name: "AUTH_FAILED" }).waitFor();
      await page.locator(".slowest", { hasText: "checking password" }).waitFor();
      expect(await violationsOf(page)).toEqual([]);
      await keepScreenshot(page, `inspector-overview-${colorScheme}`);
      await page.getByRole("link", { name: `replay ${reference}` }).click();
      await selected(page).getByText("User name or password not accepted").waitFor();
    },
  );
});

describe("the tree", () => {
  const names = (page: Page) => page.locator('.tree-body [role="row"] .who').allInnerTexts();

  it.each(schemes)("has the daemon, its services and all connections (%s)", async (colorScheme) => {
    const page = await signedIn({ colorScheme });
    await page.getByRole("link", { name: /^Connections/ }).click();
    await page.getByText("2 live connections, 2 finished").waitFor();
    expect(await names(page)).toEqual([
      "daemon",
      "service ssh",
      "service inspect",
      "build",
      "jane",
      "mallory",
      "build",
    ]);
    expect(await violationsOf(page)).toEqual([]);
  });

  it("is filtered by user, by address, by state and by message code", async () => {
    const page = await signedIn();
    await page.getByRole("link", { name: /^Connections/ }).click();
    await page.getByLabel("User or address", { exact: true }).fill("jan");
    await page.getByText("1 live connection, 0 finished of 4").waitFor();
    expect(await names(page)).toEqual(["jane"]);
    await page.getByRole("button", { name: "Clear" }).click();
    const build = (await inspector.connections()).findLast(({ username }) => username === "build");
    await page.getByLabel("User or address", { exact: true }).fill(build?.remoteAddress ?? "");
    await page.getByText("1 live connection, 0 finished of 4").waitFor();
    expect(await names(page)).toEqual(["build"]);
    await page.getByRole("button", { name: "Clear" }).click();
    await page.getByLabel("State").selectOption("Finished");
    await page.getByText("0 live connections, 2 finished of 4").waitFor();
    await page.getByLabel("State").selectOption("Serving");
    await page.getByText("2 live connections, 0 finished of 4").waitFor();
    await page.getByRole("button", { name: "Clear" }).click();
    await page.getByLabel("Message code").selectOption("AUTH_FAILED");
    await page.getByText("0 live connections, 1 finished of 4").waitFor();
    expect(await names(page)).toEqual(["mallory"]);
    await page.getByLabel("User or address", { exact: true }).fill("nobody");
    await page.getByText("No connection fits the filter.").waitFor();
  });

  it("opens a connection's actors in place", async () => {
    const page = await signedIn();
    await page.getByRole("link", { name: /^Connections/ }).click();
    await page.locator('[role="row"]', { hasText: "jane" }).locator(".twist").click();
    await page.locator('[role="row"][aria-level="3"]', { hasText: "session" }).waitFor();
    expect(await violationsOf(page)).toEqual([]);
  });
});

describe("a connection", () => {
  it.each(schemes)("stands lit in its statechart, with the path it came (%s)", async (colorScheme) => {
    const page = await signedIn({ colorScheme });
    await page.getByRole("link", { name: /^Connections/ }).click();
    await page.locator('[role="row"]', { hasText: "jane" }).click();
    await page.getByRole("tab", { name: "session" }).waitFor();
    await isActive(page, "session.active.running");
    await page.getByRole("tab", { name: "connection" }).click();
    await isActive(page, "connection.serving.open");
    await page
      .locator(
        '[data-transition="connection.provisioning|xstate.done.actor.0.connection.provisioning|0"].taken',
      )
      .waitFor({ state: "attached" });
    expect(await page.locator('[data-state="connection.refusing"].active').count()).toBe(0);
    expect(await violationsOf(page)).toEqual([]);
    await keepScreenshot(page, `inspector-statechart-${colorScheme}`);
  });

  it("shows an actor that a state has invoked in place of it", async () => {
    const page = await signedIn();
    await page.getByRole("link", { name: /^Connections/ }).click();
    await page.locator('[role="row"]', { hasText: "jane" }).click();
    await page.getByRole("tab", { name: "connection" }).click();
    await page.locator('a[data-machine="authentication"]').click();
    const nested = page.getByRole("region", { name: "authentication" });
    await nested.locator('[data-state="authentication.granted"].active').waitFor();
    expect(await violationsOf(page)).toEqual([]);
    await nested.getByRole("button", { name: "Close authentication" }).click();
    await nested.waitFor({ state: "detached" });
  });

  it("moves while one watches, and stays to be replayed when it is over", async () => {
    const page = await signedIn();
    const terminal = (await clientOf("jane")).terminal();
    terminal.write("echo I am i''n\n");
    await terminal.waitFor("I am in");
    await page.getByRole("link", { name: /^Connections/ }).click();
    await page.getByText(/^3 live connections/).waitFor();
    await page.locator('[role="row"]', { hasText: "jane" }).first().click();
    await isActive(page, "session.active.running");
    await page.getByRole("button", { name: "Live" }).waitFor();
    terminal.write("exit 7\n");
    await terminal.ending;
    await isActive(page, "connection.closed");
    await page.getByText("Closed", { exact: true }).waitFor();
    await page.getByRole("button", { name: "First step" }).click();
    await isActive(page, "connection.entering.login.handshaking");
    await recordLitStates(page);
    await page.getByRole("button", { name: "Play" }).click();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("button", { name: "Play" }).click();
    await page.getByRole("button", { name: "Last step", disabled: true }).waitFor();
    expect(await litStates(page)).toEqual(
      expect.arrayContaining([
        "connection.entering.login.authenticating",
        "authentication.granted",
        "connection.provisioning",
        "session.active.running",
        "connection.closed",
      ]),
    );
  });

  it("can be ended by who may, and its user reads that", async () => {
    const page = await signedIn();
    const terminal = (await clientOf("mallory")).terminal();
    terminal.write("echo I am i''n\n");
    await terminal.waitFor("I am in");
    await page.getByRole("link", { name: /^Connections/ }).click();
    // The refused one of before is there, too, and the first one until the page has heard of this one.
    await page.getByText(/^3 live connections/).waitFor();
    await page.locator('[role="row"]', { hasText: "mallory" }).first().click();
    await page.getByRole("button", { name: "Disconnect" }).click();
    expect(await violationsOf(page)).toEqual([]);
    await page.getByRole("dialog").getByRole("button", { name: "Disconnect" }).click();
    await terminal.waitFor("An administrator has ended this connection.");
    await page.getByText("INSPECT_DISCONNECT").first().waitFor();
  });
});

describe("why was this login refused?", () => {
  it.each(schemes)("the reference opens the replay at the step that refused (%s)", async (colorScheme) => {
    const page = await signedIn({ colorScheme });
    await searchFor(page, reference);
    await selected(page)
      .getByText("User name or password not accepted. Please check both and try again.")
      .waitFor();
    await isActive(page, "authentication.awaitingRequest");
    await page
      .locator('[data-transition="authentication.failing|always|1"].last')
      .waitFor({ state: "attached" });
    expect(await violationsOf(page)).toEqual([]);
    await keepScreenshot(page, `inspector-replay-${colorScheme}`);
    const slider = page.getByRole("slider", { name: "Step of the replay" });
    await slider.fill("0");
    await isActive(page, "connection.entering.login.handshaking");
    expect(await slider.getAttribute("aria-valuetext")).toMatch(/^1 of \d+/);
    await page.getByRole("button", { name: "Go to the refusal" }).click();
    await selected(page).getByText("AUTH_FAILED").first().waitFor();
  });

  it("says so when nothing is kept under a reference", async () => {
    const page = await signedIn();
    await searchFor(page, "ffffffff");
    await page.getByText("No connection ffffffff is kept any more.").waitFor();
  });

  it("a saved trace opens on a machine that knows nothing of the daemon", async () => {
    const page = await signedIn();
    await searchFor(page, reference);
    const folder = await mkdtemp(join(tmpdir(), "berth-trace-"));
    try {
      const download = page.waitForEvent("download");
      await page.getByRole("button", { name: "Save trace" }).click();
      const file = join(folder, (await download).suggestedFilename());
      await (await download).saveAs(file);
      expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({
        format: "berth-trace",
        connection: { reference },
      });
      const elsewhere = await openPage();
      await elsewhere.goto(inspector.url);
      await elsewhere.getByLabel("Token").waitFor();
      await elsewhere.locator(".sign-in input[type=file]").setInputFiles(file);
      await selected(elsewhere).getByText("User name or password not accepted").waitFor();
      expect(await violationsOf(elsewhere)).toEqual([]);
      await elsewhere.locator(".top input[type=file]").setInputFiles({
        name: "another.json",
        mimeType: "application/json",
        buffer: Buffer.from("{}"),
      });
      await elsewhere.getByText("This file is not a trace of Berth.").waitFor();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("the keyboard alone", () => {
  it("finds the refusal, walks the timeline and the slider", async () => {
    const page = await signedIn();
    await page.keyboard.press("/");
    await page.keyboard.type(reference);
    await page.keyboard.press("Enter");
    await selected(page).getByText("AUTH_FAILED").first().waitFor();
    const idOfSelected = () => selected(page).getAttribute("id");
    const refusal = await idOfSelected();
    await tabTo(page, '[role="listbox"]');
    await page.keyboard.press("ArrowUp");
    await expect.poll(idOfSelected).not.toBe(refusal);
    await page.keyboard.press("Home");
    await isActive(page, "connection.entering.login.handshaking");
    await tabTo(page, '[type="range"]');
    await page.keyboard.press("ArrowRight");
    await expect.poll(idOfSelected).toBe("entry-1");
    await tabTo(page, '[role="tab"][aria-selected="true"]', "Shift+Tab");
    await page.keyboard.press("End");
  });

  it("walks the tree, opens what is in it and goes there", async () => {
    const page = await signedIn();
    await tabTo(page, '[href="#/connections"]');
    await page.keyboard.press("Enter");
    await page.getByText(/live connections/).waitFor();
    await tabTo(page, '[role="treegrid"]');
    await page.keyboard.press("Home");
    for (let step = 0; step < 4; step++) await page.keyboard.press("ArrowDown");
    await page.locator('[role="row"][aria-selected="true"]', { hasText: "jane" }).waitFor();
    await page.keyboard.press("ArrowRight");
    await page.locator('[role="row"][aria-level="3"]', { hasText: "session" }).waitFor();
    await page.keyboard.press("ArrowLeft");
    await page.locator('[role="row"][aria-level="3"]').first().waitFor({ state: "detached" });
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: /^jane/ }).waitFor();
  });
});

describe("every size", () => {
  it.each([
    ["a phone", 380, 800],
    ["a tablet", 820, 1180],
    ["a wall", 3840, 2160],
  ])("%s shows everything without scrolling sideways", async (_, width, height) => {
    const page = await signedIn({ viewport: { width, height } });
    const overflows = () => page.evaluate("document.documentElement.scrollWidth > innerWidth");
    expect(await overflows()).toBe(false);
    expect(await violationsOf(page)).toEqual([]);
    await page.getByRole("link", { name: /^Connections/ }).click();
    await page.locator('[role="row"]', { hasText: "jane" }).first().waitFor();
    expect(await overflows()).toBe(false);
    expect(await violationsOf(page)).toEqual([]);
    await searchFor(page, reference);
    await selected(page).getByText("AUTH_FAILED").first().waitFor();
    expect(await overflows()).toBe(false);
    expect(await violationsOf(page)).toEqual([]);
  });
});

describe("all pages", () => {
  it("kept to their policy: no error, no style or script of elsewhere, no request to others", () => {
    expect(troubles).toEqual([]);
  });
});
