/**
 * `npm run mutate:guards`: a check on the tests walked from the machines. Breaks guards of the built daemon one at a
 * time, in a scratch copy, and walks their machine: each time a test must fail. Nothing of this tree is touched.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { build, install, orExit, requireNode, root } from "./setup.mjs";

const guards = [
  {
    name: "scope check",
    machine: "oidc",
    guard: "lacksScopes: ({ context }) => missingScopes(context).length > 0",
    broken: "lacksScopes: () => false",
  },
  {
    name: "username check",
    machine: "kerberos",
    guard: "isMisnamed: ({ context }) => isMisnamed(context)",
    broken: "isMisnamed: () => false",
  },
  {
    name: "create or refuse",
    machine: "docker",
    guard: "mayCreate: ({ context }) => planOf(context).createMissing",
    broken: "mayCreate: () => true",
  },
];

await orExit(() => {
  requireNode();
  install();
  build();
});

const walkIn = (copy, machine) => {
  const output = join(copy, ".run/result.json");
  const vitest = join(copy, "node_modules/vitest/vitest.mjs");
  const files = [`test/model/${machine}.test.ts`, "--reporter=json", `--outputFile=${output}`];
  const { error } = spawnSync(process.execPath, [vitest, "run", "--project", "model", ...files], {
    cwd: copy,
    stdio: ["ignore", "ignore", "inherit"],
  });
  if (error) throw error;
  const { testResults } = JSON.parse(readFileSync(output, "utf8"));
  return testResults.flatMap(({ assertionResults }) => assertionResults);
};

const copy = mkdtempSync(join(tmpdir(), "berth-guards-"));
const lines = [];
try {
  cpSync(root, copy, {
    recursive: true,
    filter: (path) => !["node_modules", ".git", ".run"].includes(basename(path)),
  });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  for (const { name, machine, guard, broken } of guards) {
    const file = join(copy, "dist/machines", `${machine}.js`);
    const whole = readFileSync(file, "utf8");
    if (whole.split(guard).length !== 2) throw new Error(`${machine} has no guard "${guard}"`);
    const healthy = walkIn(copy, machine).filter(({ status }) => status === "failed");
    writeFileSync(file, whole.replace(guard, broken));
    const failed = walkIn(copy, machine).filter(({ status }) => status === "failed");
    writeFileSync(file, whole);
    lines.push({
      name,
      machine,
      healthy: healthy.length,
      failed: failed.length,
      by: failed[0]?.title ?? "NOTHING",
    });
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}

console.log("guard             machine    fails whole  fails broken  caught by");
for (const { name, machine, healthy, failed, by } of lines) {
  const counts = String(healthy).padStart(11) + String(failed).padStart(14);
  console.log(`${name.padEnd(18)}${machine.padEnd(11)}${counts}  ${by}`);
}
process.exitCode = lines.every(({ healthy, failed }) => healthy === 0 && failed > 0) ? 0 : 1;
