/** Pods with Berth's marks on an API server of our own, as daemons that share them see and leave them. */
import type { V1Pod } from "@kubernetes/client-node";
import type { TestApi } from "./server.ts";

/** The section `kubernetes.pod` of a persistent pod that may be created. */
export const persistent = (name: string, settings: object = {}) => ({
  mode: "persistent",
  createMissingPods: true,
  metadata: { name },
  ...settings,
});

/** A pod as Berth marks its own. */
export const podOf = (name: string, mode: string, labels: object, annotations: object = {}): V1Pod => ({
  metadata: { name, labels: { "berth-mode": mode, ...labels }, annotations: { ...annotations } },
  spec: { containers: [{ name: "shell" }] },
});

/** The state of a container. */
export const running = { running: { startedAt: new Date() } };

/** Of the pods that there are. */
export const names = (api: TestApi) => api.pods.list("default").map(({ metadata }) => metadata?.name);

export const annotationsOf = (api: TestApi, name: string): Readonly<Record<string, string>> =>
  api.pods.get("default", name).metadata?.annotations ?? {};

/** The daemons that say they are in a pod. */
export const marksOf = (api: TestApi, name: string) =>
  Object.keys(annotationsOf(api, name)).filter((key) => key.startsWith("berth-in-use-"));
