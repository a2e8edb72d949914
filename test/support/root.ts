/** Where the project is, also for test support that was compiled to another place. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const above = (directory: string): string =>
  existsSync(join(directory, "package.json")) ? directory : above(dirname(directory));

export const projectRoot = above(dirname(fileURLToPath(import.meta.url)));
