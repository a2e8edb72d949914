/**
 * deploy/Dockerfile without a builder and without a base image to pull: what its last stage copies, on this machine's
 * Node.js with its libraries and busybox.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { must } from "./command.ts";
import { librariesOf } from "./docker-images.ts";
import type { TestCluster } from "./kubernetes.ts";
import { projectRoot } from "./root.ts";

export const loadBerthImage = async (cluster: TestCluster, name: string): Promise<void> => {
  const { copied, entrypoint } = await lastStage();
  await cluster.image(name, {
    programs: [process.execPath],
    entrypoint: entrypoint.map((word) => (word === "node" ? process.execPath : word)),
    fill: async (root) => {
      const files = (
        await Promise.all(copied.map((path) => (path === "node_modules" ? productionPackages() : [path])))
      ).flat();
      const berth = join(root, "berth");
      await mkdir(berth);
      await must("sh", ["-c", 'tar -c -C "$1" -T - | tar -x -C "$2"', "sh", projectRoot, berth], {
        stdin: files.join("\n"),
      });
      const addOns = (await readdir(berth, { recursive: true })).filter((path) => path.endsWith(".node"));
      const libraries = await librariesOf(addOns.map((path) => join(berth, path)));
      await must("cp", ["--parents", "--dereference", "--update", ...libraries, root]);
    },
  });
};

const lastStage = async () => {
  const lines = (await readFile(join(projectRoot, "deploy/Dockerfile"), "utf8")).split("\n");
  const entrypoint = lines.find((line) => line.startsWith("ENTRYPOINT "))?.slice("ENTRYPOINT ".length);
  return {
    copied: lines.flatMap((line) => /^COPY --from=build \/berth\/(\S+) \.\//.exec(line)?.[1] ?? []),
    entrypoint: JSON.parse(entrypoint ?? "") as readonly string[],
  };
};

/** What `npm prune --omit=dev` leaves. */
const productionPackages = async (): Promise<readonly string[]> => {
  const lock = JSON.parse(await readFile(join(projectRoot, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
  };
  return Object.entries(lock.packages)
    .filter(([path, { dev = false }]) => path.lastIndexOf("node_modules/") === 0 && !dev)
    .map(([path]) => path)
    .filter((path) => existsSync(join(projectRoot, path)));
};
