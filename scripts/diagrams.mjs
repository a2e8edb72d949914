/** `npm run diagrams`: draws every machine of machines/ into diagrams/, as SVG and as Mermaid. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { compile, install, orExit, requireNode, root } from "./setup.mjs";

await orExit(() => {
  requireNode();
  install();
  compile("tsconfig.scripts.json");
});

process.chdir(root);
await import(pathToFileURL(join(root, "dist-scripts/scripts/diagrams/main.js")).href);
