/**
 * One login with the Kubernetes backend, as a world for walks: a namespace of a real cluster whose requests can be seen,
 * and one place for what is to have become of the pod by the time the API server is asked for it. Pods go where their
 * world's label is: no node has it until a pod is to run.
 */
import type { V1Pod } from "@kubernetes/client-node";
import type { Manifest } from "../deployment.ts";
import { BUSYBOX, IDLE, NODE, specFor } from "../kubernetes.ts";
import { type ApiServer, type ClusterFront, type ClusterRequest, clusterFront } from "../kubernetes-front.ts";
import { namespaceWith, readmeRules } from "../readme-roles.ts";
import { eventually } from "../resources.ts";
import { type LoginWorld, loginWorld } from "./login.ts";
import type { Portal } from "./portal.ts";

/** What a pod can have become; `foreign` is one that Berth did not make. */
export type Fate =
  | "absent"
  | "starting"
  | "running"
  | "terminating"
  | "failed"
  | "foreign"
  | "outdated"
  | "outdated and in use";

/** What the next request of a kind comes upon. `asIs`: nothing has happened; `fails`: we have not the permission. */
export type Fates = Array<Fate | "asIs" | "fails">;

export interface KubernetesWorld extends LoginWorld {
  /** Of the pod, and of its namespace. */
  readonly name: string;
  readonly front: ClusterFront;
  /** The section `kubernetes.pod`. */
  readonly pod: Record<string, unknown>;
  readonly timeouts: Record<string, unknown>;
  readonly lookups: Fates;
  readonly creations: Fates;
  readonly claims: Fates;
  readonly watches: Fates;
  readonly removals: Fates;
  /** Pods that are created run at once: those of sessions, which no machine waits for. */
  readonly letPodsRun: () => Promise<void>;
  /** The pod begins to become something under the eyes of whoever watches it: they may end that before we see it. */
  readonly begin: (fate: Fate) => Promise<void>;
}

/** Another daemon's mark, which says that it is in the pod. */
const IN_USE = { "berth-in-use-another": `${new Date().toISOString()}` };

const OURS = { "berth-mode": "persistent" };

/** What tells that a pod has become something; missing where it has as soon as the API server was asked. */
const PHASES: Partial<Record<Fate, string>> = {
  running: "Running",
  failed: "Failed",
  foreign: "Succeeded",
  outdated: "Running",
  "outdated and in use": "Running",
};

/** Keeps a pod that is deleted, until it is taken away. */
const FINALIZER = "berth.test/stays";

const MERGE = "application/merge-patch+json";

export const kubernetesWorld = async (portal: Portal, api: ApiServer): Promise<KubernetesWorld> => {
  const login = loginWorld(portal);
  const name = `lab-${login.username}`;
  const place = `berth.test/${name}`;
  const pods = `/api/v1/namespaces/${name}/pods`;
  for (const object of namespaceWith(name, await readmeRules("session"))) await create(api, name, object);

  const queues = {
    lookups: [] as Fates,
    creations: [] as Fates,
    claims: [] as Fates,
    watches: [] as Fates,
    removals: [] as Fates,
  };
  const queueFor = ({ verb, resource, body }: ClusterRequest): Fates | undefined => {
    if (resource !== "pods") return undefined;
    switch (verb) {
      case "get":
        return queues.lookups;
      case "create":
        return queues.creations;
      case "watch":
        return queues.watches;
      case "delete":
        return queues.removals;
      case "patch":
        // A daemon's own sign of life changes less. Nobody was in the pods that are made here.
        return "berth-first-user" in ((body as V1Pod).metadata?.annotations ?? {})
          ? queues.claims
          : undefined;
      default:
        return undefined;
    }
  };
  const front = await clusterFront(api, async (request) => {
    const fate = queueFor(request)?.shift();
    if (fate === "fails") return "denied";
    if (fate !== undefined && fate !== "asIs") await become(fate);
    return undefined;
  });

  const spec = (command?: readonly string[]) =>
    specFor(BUSYBOX, command === undefined ? {} : { command }, {
      nodeSelector: { [place]: "" },
      restartPolicy: "Never",
    });
  const found = (): Promise<V1Pod | undefined> => api.ask<V1Pod>("GET", `${pods}/${name}`);
  const label = (value: "" | null) =>
    api.ask("PATCH", `/api/v1/nodes/${NODE}`, { metadata: { labels: { [place]: value } } }, MERGE);
  const phase = (wanted: string) =>
    eventually(async () => {
      const seen = await found();
      const { state } = seen?.status?.containerStatuses?.[0] ?? {};
      return seen?.status?.phase === wanted && (wanted !== "Running" || state?.running !== undefined);
    }, `${name} is ${wanted}`);
  const make = (annotations: object = {}, labels: object = OURS, command = IDLE) =>
    api.ask("POST", pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, annotations, labels },
      spec: spec(command),
    });
  const remove = async (pod: string): Promise<void> => {
    await api.ask("DELETE", `${pods}/${pod}`, { gracePeriodSeconds: 0 });
    // Behind it: as soon as the pod is gone, its name may be another's, which must not be deleted.
    await api.ask("PATCH", `${pods}/${pod}`, { metadata: { finalizers: null } }, MERGE);
  };
  const gone = () => eventually(async () => (await found()) === undefined, `${name} is gone`);
  const anew = async (...pod: Parameters<typeof make>): Promise<void> => {
    await remove(name);
    await gone();
    await make(...pod);
    await label("");
  };

  const begin = async (fate: Fate): Promise<void> => {
    const isThere = (await found()) !== undefined;
    switch (fate) {
      case "absent":
        return remove(name);
      case "foreign":
        return anew({}, {}, ["/bin/true"]);
      case "outdated":
        return anew({ "berth-spec-hash": "another" });
      case "outdated and in use":
        return anew({ "berth-spec-hash": "another", ...IN_USE });
    }
    if (!isThere) await make();
    switch (fate) {
      case "running":
        await label("");
        return;
      case "terminating":
        await api.ask("PATCH", `${pods}/${name}`, { metadata: { finalizers: [FINALIZER] } }, MERGE);
        await api.ask("DELETE", `${pods}/${name}`, {});
        return;
      case "failed":
        // The kubelet does not take a pod that belongs elsewhere.
        await api.ask("POST", `${pods}/${name}/binding`, {
          apiVersion: "v1",
          kind: "Binding",
          metadata: { name },
          target: { apiVersion: "v1", kind: "Node", name: NODE },
        });
        return;
      case "starting":
    }
  };
  const become = async (fate: Fate): Promise<void> => {
    await begin(fate);
    if (fate === "absent") await gone();
    const wanted = PHASES[fate];
    if (wanted !== undefined) await phase(wanted);
  };

  const pod: Record<string, unknown> = {
    metadata: { name, namespace: name },
    spec: spec(),
    idleCommand: IDLE,
    shellCommand: ["/bin/sh"],
  };
  const timeouts: Record<string, unknown> = { podStart: "120s" };
  login.overlay.backend = "kubernetes";
  login.overlay.kubernetes = { connection: { host: front.url, qps: 50, burst: 100 }, pod, timeouts };
  const loggedOut = login[Symbol.asyncDispose];
  return Object.assign(login, {
    name,
    front,
    pod,
    timeouts,
    ...queues,
    begin,
    letPodsRun: async () => {
      await label("");
    },
    [Symbol.asyncDispose]: async () => {
      await loggedOut();
      await front[Symbol.asyncDispose]();
      const left = await api.ask<{ readonly items: readonly V1Pod[] }>("GET", pods);
      for (const { metadata } of left?.items ?? []) await remove(metadata?.name ?? "");
      await label(null);
    },
  });
};

const create = async (api: ApiServer, namespace: string, object: object): Promise<void> => {
  const { kind, metadata } = object as Manifest;
  const path = {
    Namespace: "/api/v1/namespaces",
    Role: `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`,
    RoleBinding: `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`,
  }[kind];
  // A cluster that goes on running has it from the run before.
  if (path !== undefined && (await api.ask("GET", `${path}/${metadata.name}`)) === undefined)
    await api.ask("POST", path, object);
};
