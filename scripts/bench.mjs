/**
 * `npm run bench [-- OPTIONS]`: installs what is missing, builds the daemon and the benchmarks, runs them. The
 * options are told by `npm run bench -- --help`.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, compile, install, orExit, requireNode, root } from "./setup.mjs";

await orExit(() => {
  requireNode();
  install();
  spawnSync(join(root, "scripts/test-needs.sh"), ["e2e", "docker", "kubernetes"], { stdio: "inherit" });
  build();
  compile("tsconfig.bench.json");
});

await import(pathToFileURL(join(root, "dist-bench/bench/main.js")).href);
