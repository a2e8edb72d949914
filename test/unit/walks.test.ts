/** Every machine is walked: a new one that no file walks would be missed by nobody else. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { catalogue } from "../../machines/catalogue.ts";
import { projectRoot } from "../support/root.ts";

it("there is one walk for each machine", async () => {
  const folder = join(projectRoot, "test");
  const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith(".test.ts"));
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  const walked = texts.flatMap((text) =>
    [...text.matchAll(/^walk<\w+>\("([\w-]+)"/gm)].map(([, name]) => name),
  );
  expect(walked.sort()).toEqual(Object.keys(catalogue).sort());
});
