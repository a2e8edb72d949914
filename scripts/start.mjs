/**
 * `npm start`: installs and builds what is missing, then becomes the daemon, with the arguments it was given.
 * The daemon runs in this very process, so that signals and the exit code are its own.
 */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { isatty } from "node:tty";
import { pathToFileURL } from "node:url";
import { build, install, orExit, requireNode, root } from "./setup.mjs";

await orExit(() => {
  requireNode();
  install();
  build();
});

// The terminal sends Ctrl-C to the daemon and to npm, and npm passes it on: two signals for one press, of which the
// second would end what the first only asked to drain.
if (process.env.npm_lifecycle_event !== undefined) {
  const onePressMilliseconds = 500;
  const emit = process.emit;
  let pressed = Number.NEGATIVE_INFINITY;
  process.emit = function (event, ...details) {
    if (event === "SIGINT") {
      const now = performance.now();
      if (now - pressed < onePressMilliseconds) return true;
      pressed = now;
    }
    return emit.call(this, event, ...details);
  };
}

// To a daemon SIGHUP says that its log was moved. When it comes because the terminal was closed, nobody is left who
// could stop what `npm start` started.
if (isatty(0)) {
  process.on("SIGHUP", () => {
    if (!terminalIsThere()) process.kill(process.pid, "SIGTERM");
  });
}

const main = join(root, "dist/src/main.js");
process.argv[1] = main;
process.setSourceMapsEnabled(true);
await import(pathToFileURL(main).href);

function terminalIsThere() {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return true;
  } catch {
    return false;
  }
}
