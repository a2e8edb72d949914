/** Directories that are gone when the test is over. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

export const temporaryDirectory = async (): Promise<string> => {
  const directory = await mkdtemp(join(tmpdir(), "berth-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
};
