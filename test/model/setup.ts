/** Global setup: what is counted afterwards is this run's. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../support/root.ts";

export const setup = (): void => rmSync(join(projectRoot, ".run/model"), { recursive: true, force: true });
