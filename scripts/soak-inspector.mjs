/** `npm run soak:inspector [-- OPTIONS]`: installs what is missing, builds the daemon and the soak, runs it. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, compile, install, orExit, requireNode, root } from "./setup.mjs";

await orExit(() => {
  requireNode();
  install();
  spawnSync(join(root, "scripts/test-needs.sh"), ["inspect"], { stdio: "inherit" });
  build();
  compile("tsconfig.bench.json");
});

await import(pathToFileURL(join(root, "dist-bench/bench/soak-inspector.js")).href);
