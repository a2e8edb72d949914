/** What a test does with the inspector's page in the browser, and sees there. */
import type { Locator, Page } from "playwright-core";

/** Waits until a state, `machine.path.of.states`, is lit. */
export const isActive = (page: Page, state: string): Promise<void> =>
  page.locator(`[data-state="${state}"].active`).first().waitFor();

/** From here on, every state that is lit is kept: who only looks now and then misses one that is lit for 90 ms. */
export const recordLitStates = (page: Page): Promise<void> =>
  page.evaluate(`{
    const lit = new Set();
    const look = () => {
      for (const state of document.querySelectorAll("[data-state].active")) lit.add(state.dataset.state);
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
    globalThis.litStates = () => [...lit];
  }`);

export const litStates = (page: Page): Promise<readonly string[]> => page.evaluate("litStates()");

export const searchFor = async (page: Page, text: string): Promise<void> => {
  await page.getByRole("textbox", { name: /Reference/ }).fill(text);
  await page.keyboard.press("Enter");
};

/** The selected entry of the timeline. */
export const selected = (page: Page): Locator =>
  page.locator('.timeline-list [role="option"][aria-selected="true"]');

/** Presses Tab until an element that the selector names has the focus. */
export const tabTo = async (page: Page, selector: string, key = "Tab"): Promise<void> => {
  for (let presses = 0; presses < 40; presses++) {
    await page.keyboard.press(key);
    if ((await page.locator(`:focus${selector}`).count()) > 0) return;
  }
  throw new Error(`${key} does not lead to ${selector}`);
};
