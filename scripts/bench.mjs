/**
 * `npm run bench [-- OPTIONS]`: installs what is missing, builds the daemon and the benchmarks, runs them. The
 * options are told by `npm run bench -- --help`.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, install, orExit, requireNode, root, SetupError } from "./setup.mjs";

await orExit(() => {
  requireNode();
  install();
  spawnSync(join(root, "scripts/test-needs.sh"), ["e2e"], { stdio: "inherit" });
  build();
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.bench.json"], {
    cwd: root,
    encoding: "utf8",
  });
  if (status !== 0) throw new SetupError(stdout);
});

await import(pathToFileURL(join(root, "dist-bench/bench/main.js")).href);
