/** What must be there before Berth runs: a Node that is new enough, the packages of package-lock.json, the build. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** A reason to stop that needs no stack trace. */
export class SetupError extends Error {}

/** Runs the steps and ends the process with a sentence when one cannot be done. */
export const orExit = async (steps) => {
  try {
    return await steps();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
};

/** Refuses a Node that is older than package.json's `engines`. */
export const requireNode = () => {
  const wanted = JSON.parse(read("package.json")).engines.node.replace(/[^0-9.]/g, "");
  const [major = 0, minor = 0] = wanted.split(".").map(Number);
  const [ourMajor = 0, ourMinor = 0] = process.versions.node.split(".").map(Number);
  if (ourMajor < major || (ourMajor === major && ourMinor < minor)) {
    throw new SetupError(`Berth needs Node.js ${wanted} or newer; this is ${process.versions.node}.`);
  }
};

/**
 * Installs the packages when one is missing or has another version than package-lock.json says; builds native
 * add-ons again when Node's binary interface changed since, because they would silently not be loaded.
 */
export const install = (say = console.error) => {
  const abi = join(root, "node_modules", ".node-abi");
  if (packagesAreMissing()) {
    say("Installing packages (npm ci) ...");
    npm(["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"]);
  } else if (existsSync(abi) && readFileSync(abi, "utf8") !== process.versions.modules) {
    say("Building native add-ons for this version of Node.js (npm rebuild) ...");
    npm(["rebuild", "--loglevel=error"]);
  }
  writeFileSync(abi, process.versions.modules);
};

/**
 * Compiles the sources to dist/ when they changed since the last time. The new build takes the old one's place
 * at once, so a daemon or test that runs meanwhile never sees half of it. Type errors stop it, unless tolerated.
 */
export const build = ({ say = console.error, tolerateTypeErrors = false } = {}) => {
  const dist = join(root, "dist");
  const stamp = join(dist, ".built-from");
  const digest = digestOfSources();
  const stamps = tolerateTypeErrors ? [digest, `${digest} with type errors`] : [digest];
  if (existsSync(stamp) && stamps.includes(readFileSync(stamp, "utf8"))) return;
  say("Building ...");
  const fresh = join(root, `dist-new-${process.pid}`);
  try {
    const compiled = spawnSync(
      process.execPath,
      [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json", "--outDir", fresh],
      { cwd: root, encoding: "utf8" },
    );
    const clean = compiled.status === 0;
    if (!clean) {
      const report = `The build failed:\n${compiled.stdout}${compiled.stderr}`;
      if (!tolerateTypeErrors || !existsSync(join(fresh, "src"))) throw new SetupError(report);
      say(report);
    }
    for (const folder of shippedFolders) {
      cpSync(join(root, folder), join(fresh, folder), {
        recursive: true,
        filter: (path) => extname(path) !== ".ts" && path !== join(root, page),
      });
    }
    bundle("The inspector's page", [join(root, page), "--outDir", join(fresh, page)]);
    const client = ["--config", join(root, "scripts/kube-config.vite.mjs")];
    bundle("The Kubernetes client", [...client, "--outDir", join(fresh, "src/backend/kubernetes")]);
    writeFileSync(join(fresh, ".built-from"), clean ? digest : `${digest} with type errors`);
    replace(dist, fresh);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
};

/** Puts one folder in another's place, also while somebody else does the same. */
const replace = (folder, successor) => {
  const old = `${successor}.old`;
  const unless = (codes, step) => {
    try {
      step();
      return true;
    } catch (error) {
      if (!codes.includes(error.code)) throw error;
      return false;
    }
  };
  do {
    unless(["ENOENT"], () => renameSync(folder, old));
    rmSync(old, { recursive: true, force: true });
  } while (!unless(["ENOTEMPTY", "EEXIST"], () => renameSync(successor, folder)));
};

/** The inspector's page, which a browser runs and not we. */
const page = "src/inspect/page";

const bundle = (what, args) => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, "node_modules/vite/bin/vite.js"), "build", ...args],
    { cwd: root, encoding: "utf8" },
  );
  if (status !== 0) throw new SetupError(`${what} could not be built:\n${stdout}${stderr}`);
};

const sourceFolders = ["machines", "src"];
/** What is not TypeScript in these belongs into the build. */
const shippedFolders = [...sourceFolders, "diagrams"];

const read = (path) => readFileSync(join(root, path), "utf8");

const packagesAreMissing = () => {
  const installed = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(installed)) return true;
  const { packages: have } = JSON.parse(readFileSync(installed, "utf8"));
  const { packages: want } = JSON.parse(read("package-lock.json"));
  return Object.entries(want).some(
    ([path, { version, optional, peer }]) =>
      path !== "" && !optional && !(peer && !have[path]) && have[path]?.version !== version,
  );
};

const npm = (args) => {
  const cli = process.env.npm_execpath;
  const [command, ...before] =
    cli && basename(cli) === "npm-cli.js"
      ? [process.execPath, cli]
      : [process.platform === "win32" ? "npm.cmd" : "npm"];
  const run = (more, env = process.env) =>
    spawnSync(command, [...before, ...more], { cwd: root, encoding: "utf8", env, maxBuffer: 2 ** 28 });
  const env = { ...process.env };
  const prefix = dirname(dirname(process.execPath));
  if (
    existsSync(join(prefix, "include/node/node.h")) &&
    run(["config", "get", "nodedir"]).stdout?.trim() === "undefined"
  ) {
    // The headers that came with this Node: without them node-gyp would download them.
    env.npm_config_nodedir = prefix;
  }
  const { status, stdout, stderr, error } = run(args, env);
  if (status === 0) return;
  const output = error ? error.message : `${stdout}${stderr}`.trim();
  const offline =
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED/.test(output);
  throw new SetupError(
    `${output}\n\n${
      offline
        ? "npm could not reach its package registry. The first start needs the network; later ones do not."
        : `\`npm ${args[0]}\` failed; its output is above.`
    }`,
  );
};

/** Compiles what has a tsconfig of its own besides the daemon; the compiler's report is the reason when it fails. */
export const compile = (project) => {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", project], {
    cwd: root,
    encoding: "utf8",
  });
  if (status !== 0) throw new SetupError(stdout);
};

const digestOfSources = () => {
  const files = shippedFolders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  const settings = [
    "tsconfig.json",
    "tsconfig.build.json",
    "package.json",
    "package-lock.json",
    "scripts/kube-config.vite.mjs",
  ].map((name) => join(root, name));
  const hash = createHash("sha256");
  for (const path of [...files.sort(), ...settings])
    hash.update(`${path}\0`).update(readFileSync(path)).update("\0");
  return hash.digest("hex");
};
