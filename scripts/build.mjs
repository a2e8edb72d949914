/** `npm run build [-- --tolerate-type-errors]`: compiles the sources to dist/ when they changed. */
import { build, install, orExit, requireNode } from "./setup.mjs";

await orExit(() => {
  requireNode();
  install();
  build({ tolerateTypeErrors: process.argv.includes("--tolerate-type-errors") });
});
