/** Directories that are gone when the test, or the file of tests, is over. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, onTestFinished } from "vitest";

/** For use inside a test. */
export const temporaryDirectory = async (): Promise<string> => {
  const directory = await make();
  onTestFinished(() => remove(directory));
  return directory;
};

const forTheFile: string[] = [];

/** For use in `beforeAll`. */
export const fileTemporaryDirectory = async (): Promise<string> => {
  const directory = await make();
  forTheFile.push(directory);
  return directory;
};

afterAll(() => Promise.all(forTheFile.map(remove)).then(() => {}));

const make = (): Promise<string> => mkdtemp(join(tmpdir(), "berth-test-"));

const remove = (directory: string): Promise<void> => rm(directory, { recursive: true, force: true });
