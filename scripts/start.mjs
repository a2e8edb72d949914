/**
 * `npm start`: installs and builds what is missing, then becomes the daemon, with the arguments it was given.
 * The daemon runs in this very process, so that signals and the exit code are its own.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, install, orExit, requireNode, root } from "./setup.mjs";

await orExit(() => {
  requireNode();
  install();
  build();
});

// The terminal sends Ctrl-C to the daemon and to npm, and npm passes it on: two at once are one, or the second
// would end what the first only asked to drain.
const samePressMilliseconds = 150;
const emit = process.emit;
let lastInterrupt = Number.NEGATIVE_INFINITY;
process.emit = function (event, ...details) {
  if (event === "SIGINT") {
    const now = performance.now();
    const again = now - lastInterrupt < samePressMilliseconds;
    lastInterrupt = now;
    if (again) return true;
  }
  return emit.call(this, event, ...details);
};

const main = join(root, "dist/src/main.js");
process.argv[1] = main;
process.setSourceMapsEnabled(true);
await import(pathToFileURL(main).href);
