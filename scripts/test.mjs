/**
 * `npm test [-- TIER... [VITEST OPTIONS]]`: installs what is missing, builds, runs the tiers one after another and
 * ends with `N passed, N failed` over all of them. With CI=true a skipped test, a tier that cannot run and a tier
 * without tests are failures; elsewhere they are said loudly.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import {
  lockFileIsComplete,
  machinesImportXstateAndEachOther,
  noCircularImports,
  nothingOfThisMachine,
} from "./checks.mjs";
import { build, install, orExit, requireNode, root } from "./setup.mjs";

const tiers = JSON.parse(readFileSync(join(root, "test/tiers.json"), "utf8"));
const names = ["lint", ...tiers.map(({ name }) => name)];
const ci = !["", "0", "false"].includes(process.env.CI ?? "");

const main = async () => {
  const words = process.argv.slice(2);
  const options = words.findIndex((word) => !names.includes(word));
  const chosen = options === -1 ? words : words.slice(0, options);
  const wanted = chosen.length > 0 ? chosen : names;
  const vitestOptions = options === -1 ? [] : words.slice(options);
  await orExit(() => {
    requireNode();
    install();
  });
  needs(wanted, { installing: true });
  const results = [];
  for (const name of wanted) {
    const started = performance.now();
    heading(name);
    const result = name === "lint" ? lint() : await tier(name, vitestOptions);
    results.push({ name, seconds: (performance.now() - started) / 1000, ...result });
  }
  report(results);
};

const heading = (name) => console.log(`\n=== ${name} ${"=".repeat(Math.max(0, 70 - name.length))}\n`);

/** What the tiers lack on this machine, as lines; empty when nothing. */
const needs = (wanted, { installing }) => {
  const outside = wanted.filter((name) => name !== "lint");
  if (outside.length === 0) return "";
  const { stdout, stderr } = spawnSync(
    join(root, "scripts/test-needs.sh"),
    [...(installing ? [] : ["--check"]), ...outside],
    { encoding: "utf8", stdio: installing ? "inherit" : "pipe" },
  );
  return installing ? "" : `${stdout}${stderr}`.trim();
};

const outcomeOf = (check) => {
  try {
    return check();
  } catch (error) {
    return [String(error.stack)];
  }
};

const lint = () => {
  const tool = (name, args) => () => {
    const bin = join(root, "node_modules/.bin", name);
    const { status, stdout, stderr, error } = spawnSync(bin, args, { cwd: root, encoding: "utf8" });
    if (status === 0) return [];
    return [error ? error.message : `${stdout}${stderr}`.trim()];
  };
  const checks = {
    "tsc finds no error": tool("tsc", ["-p", "."]),
    "tsc finds no error in the inspector's page": tool("tsc", ["-p", "src/inspect/page"]),
    "biome finds no error": tool("biome", ["check", "."]),
    "machines import xstate and each other, nothing else": machinesImportXstateAndEachOther,
    "no module leads back to itself": noCircularImports,
    "package-lock.json is complete": lockFileIsComplete,
    "nothing of this machine in committed files": nothingOfThisMachine,
  };
  const failures = Object.entries(checks).filter(([title, check]) => {
    const breaches = outcomeOf(check);
    console.log(` ${breaches.length === 0 ? "✓" : "✗"} ${title}`);
    for (const breach of breaches) console.log(`   ${breach.replaceAll("\n", "\n   ")}`);
    return breaches.length > 0;
  });
  return {
    passed: Object.keys(checks).length - failures.length,
    failed: failures.length,
    skipped: 0,
    failures: failures.map(([title]) => title),
  };
};

const tier = async (name, vitestOptions) => {
  const { limitMinutes, daemon } = tiers.find((each) => each.name === name);
  const lacking = needs([name], { installing: false });
  if (lacking !== "") {
    console.log(`!!! THE TIER ${name.toUpperCase()} IS SKIPPED, for this machine cannot run it:\n${lacking}`);
    return { passed: 0, failed: 0, skipped: 1, failures: [] };
  }
  if (daemon) {
    try {
      build();
    } catch (error) {
      console.log(error.message);
      return { ...NOTHING_RAN, failures: ["the build"] };
    }
  }
  const output = join(root, ".run/test", `${name}.json`);
  mkdirSync(join(root, ".run/test"), { recursive: true });
  rmSync(output, { force: true });
  const { status, error } = spawnSync(
    process.execPath,
    [
      join(root, "node_modules/vitest/vitest.mjs"),
      "run",
      "--project",
      name,
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${output}`,
      "--passWithNoTests",
      ...vitestOptions,
    ],
    { cwd: root, stdio: "inherit", timeout: limitMinutes * 60_000, killSignal: "SIGTERM" },
  );
  if (error)
    console.log(
      `The tier ${name} was ended: ${error.code === "ETIMEDOUT" ? `it took more than ${limitMinutes} minutes` : error.message}`,
    );
  return count(output, status);
};

const NOTHING_RAN = { passed: 0, failed: 1, skipped: 0 };

/** Counts one tier. What fails outside of any test (a file that cannot be loaded, an unhandled error) counts too. */
const count = (output, status) => {
  if (!existsSync(output))
    return { ...NOTHING_RAN, failures: ["the run itself, before any result was written"] };
  const { testResults } = JSON.parse(readFileSync(output, "utf8"));
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const failures = [];
  for (const { name, status: fileStatus, message, assertionResults } of testResults) {
    const file = relative(root, name);
    for (const { status: each, fullName, failureMessages } of assertionResults) {
      counts[each in counts ? each : "skipped"] += 1;
      if (each === "failed") failures.push(failure(`${file} > ${fullName}`, failureMessages.join("\n")));
    }
    if (fileStatus === "failed" && assertionResults.every((each) => each.status !== "failed")) {
      counts.failed += 1;
      failures.push(failure(file, message));
    }
  }
  if (status !== 0 && counts.failed === 0) {
    counts.failed = 1;
    failures.push("something outside of any test, see above");
  }
  return { ...counts, failures };
};

/** A test that failed and the beginning of why: who has only the end of the output must find both there. */
const failure = (title, message) => {
  const reason = stripVTControlCharacters(message).split("\n").slice(0, REASON_LINES);
  return [title, ...reason.map((line) => `    ${line}`)].join("\n");
};

const REASON_LINES = 12;

const report = (results) => {
  const total = (key) => results.reduce((sum, result) => sum + result[key], 0);
  heading("tests");
  console.log("tier         passed  failed  skipped   seconds");
  for (const { name, passed, failed, skipped, seconds } of results) {
    const cells = [String(passed).padStart(6), String(failed).padStart(8), String(skipped).padStart(9)];
    console.log(`${name.padEnd(12)} ${cells.join("")} ${seconds.toFixed(1).padStart(9)}`);
  }
  for (const { name, failures } of results) for (const each of failures) console.log(`\n✗ ${name}: ${each}`);
  const empty = results.filter(({ passed, failed, skipped }) => passed + failed + skipped === 0);
  for (const { name } of empty) console.log(`!!! THE TIER ${name.toUpperCase()} HAS NO TESTS`);
  const skipped = total("skipped");
  if (ci && skipped > 0) console.log("!!! In continuous integration nothing may be skipped.");
  console.log(
    `\n${total("passed")} passed, ${total("failed")} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`,
  );
  process.exitCode = total("failed") > 0 || (ci && (skipped > 0 || empty.length > 0)) ? 1 : 0;
};

await main();
