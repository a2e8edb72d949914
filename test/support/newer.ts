/**
 * Programs that are newer than this machine's: Debian unstable's OpenSSH client and a Node.js with its own ML-KEM.
 * They are unpacked into a cache of the project, never installed.
 */
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { must } from "./command.ts";
import { projectRoot } from "./root.ts";

const CACHE = join(projectRoot, ".run/newer");
const WITHIN_SECONDS = 300;

/** A major of Node.js that has ML-KEM; its binary is a package of npm's registry. */
const NODE = "24";

/** Fills a folder of the cache whole or not at all. */
const cached = async (name: string, fill: (path: string) => Promise<void>): Promise<string> => {
  const path = join(CACHE, name);
  if (existsSync(path)) return path;
  const unfinished = `${path}-${process.pid}`;
  await mkdir(CACHE, { recursive: true });
  try {
    await fill(unfinished);
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return path;
};

/** Puts `ssh` of Debian unstable in front of this machine's: the environment for commands. */
export const newerOpenSsh = async (): Promise<{ readonly PATH: string }> => {
  const root = await cached("openssh", async (path) => {
    const download = `${path}-download`;
    try {
      await must(
        "debootstrap",
        ["--foreign", "--variant=minbase", "--include=openssh-client", "sid", download],
        { withinSeconds: WITHIN_SECONDS },
      );
      const archives = join(download, "var/cache/apt/archives");
      for (const file of await readdir(archives)) {
        if (file.endsWith(".deb")) await must("dpkg-deb", ["-x", join(archives, file), path]);
      }
    } finally {
      await rm(download, { recursive: true, force: true });
    }
    const libraries = await libraryFolder(path);
    const [loader] = (await readdir(libraries)).filter((file) => /^ld-linux.*\.so/.test(file));
    const bin = join(path, "berth");
    await mkdir(bin);
    // It runs with its own C library; the path is that of the finished folder.
    const script = `#!/bin/sh\nlib=$(dirname "$0")/../${libraries.slice(path.length + 1)}\nexec "$lib/${loader}" --library-path "$lib" "$(dirname "$0")/../usr/bin/ssh" "$@"\n`;
    await writeFile(join(bin, "ssh"), script);
    await chmod(join(bin, "ssh"), 0o755);
  });
  return { PATH: `${join(root, "berth")}:${process.env.PATH ?? ""}` };
};

/** The folder of an unpacked Debian that is named after its architecture: `usr/lib/x86_64-linux-gnu`. */
const libraryFolder = async (root: string): Promise<string> => {
  const lib = join(root, "usr/lib");
  const found = (await readdir(lib)).find((name) => name.endsWith("-linux-gnu"));
  if (found === undefined) throw new Error(`${lib} has no folder of libraries`);
  return join(lib, found);
};

/** The path of a Node.js that has ML-KEM in `node:crypto`. */
export const newerNode = async (): Promise<string> => {
  const name = `node-${process.platform}-${process.arch}`;
  const root = await cached(`node-${NODE}`, async (path) => {
    await mkdir(path, { recursive: true });
    const args = ["install", "--prefix", path, "--no-save", "--no-audit", "--no-fund", `${name}@${NODE}`];
    await must("npm", args, { withinSeconds: WITHIN_SECONDS });
  });
  return join(root, "node_modules", name, "bin/node");
};
