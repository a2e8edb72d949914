/** The manifests of deploy/kubernetes as `kubectl apply -k` sends them. */
import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAllDocuments, stringify } from "yaml";
import { must } from "./command.ts";
import { generateKey, type Key } from "./keys.ts";
import { directory } from "./resources.ts";
import { projectRoot } from "./root.ts";

export const MANIFESTS = join(projectRoot, "deploy/kubernetes");

export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

export interface BuiltManifests {
  readonly objects: readonly Manifest[];
  readonly hostKey: Key;
}

export interface Changes {
  /** Berth's configuration. */
  readonly config?: object;
  /** More of a kustomization that has the manifests as its base. */
  readonly overlay?: object;
}

/** With a host key as the first lines of kustomization.yaml say. */
export const builtManifests = async ({ config, overlay = {} }: Changes = {}): Promise<BuiltManifests> => {
  await using home = await directory();
  const base = join(home.path, "base");
  const over = join(home.path, "overlay");
  await cp(MANIFESTS, base, { recursive: true });
  await mkdir(over);
  const hostKey = await generateKey(base, "ssh_host_ed25519_key");
  if (config !== undefined) await writeFile(join(base, "berth.yaml"), stringify(config));
  await writeFile(join(over, "kustomization.yaml"), stringify({ resources: ["../base"], ...overlay }));
  const { stdout } = await must("kubectl", ["kustomize", over]);
  return {
    objects: parseAllDocuments(stdout).map((document) => document.toJS() as Manifest),
    hostKey,
  };
};
