/** Writes diagrams/, and takes away what no machine is drawn in any more. */
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { diagrams } from "./diagrams.ts";

const folder = "diagrams";
const files = await diagrams();
await mkdir(folder, { recursive: true });
for (const name of await readdir(folder))
  if (/\.(svg|mmd)$/.test(name) && !files.has(name)) await rm(join(folder, name));
for (const [name, content] of files) await writeFile(join(folder, name), content);
console.log(`${files.size} files in ${folder}/`);
