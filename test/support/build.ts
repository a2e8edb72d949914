/** Global setup of the tiers that start the daemon: builds it when a source changed, also when run by vitest alone. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Type errors are the lint tier's to fail on: while others work in the tree, a test of something else still runs. */
export const setup = (): void => {
  const script = fileURLToPath(new URL("../../scripts/build.mjs", import.meta.url));
  const { status } = spawnSync(process.execPath, [script, "--tolerate-type-errors"], { stdio: "inherit" });
  if (status !== 0) throw new Error("the daemon could not be built");
};
