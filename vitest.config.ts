/**
 * One project for each tier of test/tiers.json; a tier's tests live in test/<tier>/. Where test/<tier>/setup.ts
 * exists it is the tier's global setup. Tiers that start the daemon build it first when a source is newer.
 */
import { existsSync, readFileSync } from "node:fs";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";

interface Tier {
  readonly name: string;
  /** How long one test or hook may take. */
  readonly testSeconds: number;
  /** How many test files run at the same time. */
  readonly workers: number;
  /** Whether its tests start the built daemon. */
  readonly daemon: boolean;
}

const tiers = JSON.parse(readFileSync(new URL("test/tiers.json", import.meta.url), "utf8")) as Tier[];

const project = (
  { name, testSeconds, workers, daemon }: Tier,
  order: number,
): TestProjectInlineConfiguration => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    globalSetup: [
      ...(daemon ? ["test/support/build.ts"] : []),
      ...(existsSync(new URL(`test/${name}/setup.ts`, import.meta.url)) ? [`test/${name}/setup.ts`] : []),
    ],
    testTimeout: testSeconds * 1000,
    hookTimeout: testSeconds * 1000,
    expect: { poll: { timeout: testSeconds * 500 } },
    env: { PATIENCE_SECONDS: String(testSeconds / 2) },
    maxWorkers: workers,
    fileParallelism: workers > 1,
    sequence: { groupOrder: order },
  },
});

export default defineConfig({
  test: { allowOnly: false, teardownTimeout: 60_000, projects: tiers.map(project) },
});
