/**
 * The lint tier's checks of the house's own rules: what machines/ may import, no circles among modules, nothing of
 * one machine in committed files. Each returns a line for every breach.
 */
import { spawnSync } from "node:child_process";
import { lstatSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { root } from "./setup.mjs";

/** Machines import xstate and each other, nothing else. */
export const machinesImportXstateAndEachOther = () =>
  modules("machines/").flatMap((file) =>
    importsOf(file)
      .filter((name) => name !== "xstate" && !/^\.\/[\w-]+\.ts$/.test(name))
      .map((name) => `${file} imports ${name}`),
  );

/** Arrows point one way: nothing a module imports leads back to it. */
export const noCircularImports = () => {
  const state = new Map();
  const circles = [];
  const visit = (file, path) => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      circles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
      return;
    }
    state.set(file, "open");
    for (const next of importsOf(file).filter((name) => name.startsWith("."))) {
      visit(normalize(join(dirname(file), next)), [...path, file]);
    }
    state.set(file, "done");
  };
  for (const file of [...modules("machines/"), ...modules("src/")]) visit(file, []);
  return circles;
};

/** Committed files name no package registry of this machine and no path that exists only on it. */
export const nothingOfThisMachine = () => {
  const breaches = [
    [/\/work\/(?:main|shared)\b|\/tmp\/ref\b/, "names a path of one machine"],
    [/"resolved":\s+"http|\bregistry\s*=\s*http|--(?:registry|index-url)[= ]h/, "names a package registry"],
  ];
  return committed("").flatMap((file) => {
    if (!isFile(file)) return [];
    const text = readFileSync(join(root, file), "utf8");
    return breaches.flatMap(([pattern, what]) => {
      const found = pattern.exec(text);
      return found ? [`${file}:${text.slice(0, found.index).split("\n").length} ${what}`] : [];
    });
  });
};

/** `npm ci` refuses a lock file that lacks a package another one names, also one for another platform. */
export const lockFileIsComplete = () => {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  // A package is found in its dependent's own node_modules or in one further up.
  const found = (path, name) => {
    if (`${path === "" ? "" : `${path}/`}node_modules/${name}` in packages) return true;
    return path !== "" && found(path.slice(0, Math.max(0, path.lastIndexOf("/node_modules/"))), name);
  };
  return Object.entries(packages).flatMap(([path, { dependencies, devDependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })
      .filter((name) => !found(path, name))
      .map((name) => `package-lock.json lacks ${name}, which ${path || "package.json"} names`),
  );
};

/** Files of the repository, committed or about to be. */
const committed = (under) => {
  const { status, stdout, stderr } = spawnSync(
    "git",
    ["ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", under || "."],
    { cwd: root, encoding: "utf8", maxBuffer: 2 ** 28 },
  );
  if (status !== 0) throw new Error(`git ls-files failed: ${stderr}`);
  return stdout.split("\0").filter((file) => file !== "");
};

const modules = (under) => committed(under).filter((file) => /\.tsx?$/.test(file) && isFile(file));

/** Not a link, and not deleted since. */
const isFile = (file) => lstatSync(join(root, file), { throwIfNoEntry: false })?.isFile() ?? false;

/** What a module imports, as biome formats it. */
const importsOf = (file) => {
  if (!isFile(file)) return [];
  const text = readFileSync(join(root, file), "utf8");
  return [
    /^(?:import|export|\}).*? from "([^"]+)"/gm,
    /^import "([^"]+)"/gm,
    /\bimport\("([^"]+)"\)/g,
  ].flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1]));
};
