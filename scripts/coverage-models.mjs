/**
 * `npm run coverage:models [-- --last]`: walks every machine (`--last`: takes what the last walk left) and prints which
 * of their states and transitions the running daemon really visited, with a reason for each that it did not.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, install, orExit, requireNode, root } from "./setup.mjs";

const STEPS = join(root, ".run/model/steps");
const WALKS = join(root, ".run/model/walks");

await orExit(() => {
  requireNode();
  install();
  build();
});
const walked = process.argv.includes("--last")
  ? 0
  : spawnSync(
      process.execPath,
      // What pods go through is walked where the cluster is.
      [join(root, "scripts/test.mjs"), "model", "kubernetes", "test/model", "test/kubernetes/walk.test.ts"],
      { stdio: "inherit" },
    ).status;

const load = (module) => import(pathToFileURL(join(root, "dist/machines", module)).href);
const { catalogue } = await load("catalogue.js");
const { statesOf, transitionId, transitionsOf } = await load("transition-id.js");

const visited = new Set();
for (const name of existsSync(STEPS) ? readdirSync(STEPS) : []) {
  for (const line of readFileSync(join(STEPS, name), "utf8").split("\n").filter(Boolean)) {
    const { states, transitions } = JSON.parse(line);
    // A state that was left by a transition was there, however short.
    for (const id of [...states, ...transitions, ...transitions.map((each) => each.split("|")[0])])
      visited.add(id);
  }
}
const reasonsOf = (name) => {
  const file = join(WALKS, `${name}.json`);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
};

const rows = Object.entries(catalogue).map(([name, machine]) => {
  const states = statesOf(machine.root);
  const ids = {
    states: states.map(({ id }) => id),
    transitions: states.flatMap(transitionsOf).map(transitionId),
  };
  const reasons = reasonsOf(name);
  const missed = [...ids.states, ...ids.transitions].filter((id) => !visited.has(id));
  return { name, ...ids, missed: missed.map((id) => ({ id, reason: reasons[id] })) };
});

const seen = (ids) => ids.filter((id) => visited.has(id)).length;
const share = (ids) =>
  `${seen(ids)}/${ids.length}`.padStart(9) + `${((100 * seen(ids)) / ids.length).toFixed(0)} %`.padStart(7);
console.log(`\n${"machine".padEnd(20)}${"states".padStart(9)}${"".padStart(7)}${"transitions".padStart(16)}`);
for (const { name, states, transitions } of rows)
  console.log(`${name.padEnd(20)}${share(states)}${share(transitions)}`);
const all = (key) => rows.flatMap((row) => row[key]);
console.log(`${"all".padEnd(20)}${share(all("states"))}${share(all("transitions"))}`);

for (const { name, missed } of rows.filter((row) => row.missed.length > 0)) {
  console.log(`\n${name}, not visited:`);
  for (const { id, reason } of missed) console.log(`  ${id}\n    ${reason ?? "NO REASON IS GIVEN"}`);
}
const unexplained = all("missed").filter(({ reason }) => reason === undefined);
const aim = seen(all("transitions")) >= 0.95 * all("transitions").length;
if (!aim) console.log("\nThe aim is 95 % of all transitions.");
process.exitCode = walked !== 0 || unexplained.length > 0 || !aim ? 1 : 0;
