/** One cluster for all tests of the tier: starting one takes 20 s, and a machine can have only one. */
import type { TestProject } from "vitest/node";
import { startCluster } from "../support/kubernetes.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Directory of the cluster; empty for the one of `KUBECONFIG`. */
    readonly cluster: string;
  }
}

export default async (project: TestProject): Promise<() => Promise<void>> => {
  const { directory, stop } = await startCluster();
  project.provide("cluster", directory);
  return stop;
};
