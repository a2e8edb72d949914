/** Pictures that the README shows: a run with `UPDATE_SCREENSHOTS=1` renews them, others leave them alone. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { projectRoot } from "./root.ts";

export const keepScreenshot = async (page: Page, name: string): Promise<void> => {
  if (process.env.UPDATE_SCREENSHOTS === undefined) return;
  const folder = join(projectRoot, "docs/screenshots");
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
};
