/**
 * One login with the Kubernetes backend, as a world for walks: an API server of our own, and one place for what is to
 * have become of the pod by the time the API server is asked for it.
 */
import type { V1ContainerState, V1Pod } from "@kubernetes/client-node";
import { ApiError } from "../kubernetes-api/pods.ts";
import { type ApiOptions, type ApiRequest, openApi, type TestApi } from "../kubernetes-api/server.ts";
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

/** What the next request of a kind comes upon. `asIs`: nothing has happened; `fails`: the API server does not permit it. */
export type Fates = Array<Fate | "asIs" | "fails">;

export interface KubernetesWorld extends LoginWorld {
  readonly name: string;
  readonly api: TestApi;
  /** The section `kubernetes.pod`. */
  readonly pod: Record<string, unknown>;
  readonly timeouts: Record<string, unknown>;
  readonly lookups: Fates;
  readonly creations: Fates;
  readonly claims: Fates;
  readonly watches: Fates;
  readonly removals: Fates;
  /** Pods that are created run at once: those of sessions, which no machine waits for. */
  readonly letPodsRun: () => void;
  /** The pod becomes something under the eyes of whoever watches it. */
  readonly become: (fate: Fate) => void;
}

const NAMESPACE = "default";

/** Another daemon's mark, which says that it is in the pod. */
const IN_USE = { "berth-in-use-another": `${new Date().toISOString()}` };

const states = {
  starting: { waiting: { reason: "ContainerCreating" } },
  running: { running: { startedAt: new Date() } },
  failed: { terminated: { exitCode: 1 } },
  succeeded: { terminated: { exitCode: 0 } },
} as const;

export const kubernetesWorld = async (portal: Portal): Promise<KubernetesWorld> => {
  const login = loginWorld(portal);
  const name = `lab-${login.username}`;
  const queues = {
    lookups: [] as Fates,
    creations: [] as Fates,
    claims: [] as Fates,
    watches: [] as Fates,
    removals: [] as Fates,
  };
  const queueFor = ({ verb, resource, body }: ApiRequest): Fates | undefined => {
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
  const options: { state: V1ContainerState; meddle: NonNullable<ApiOptions["meddle"]> } = {
    state: states.starting,
    meddle: (request) => {
      const fate = queueFor(request)?.shift();
      if (fate === "fails") {
        const message = `pods is forbidden: User "berth" cannot ${request.verb} resource "pods"`;
        return new ApiError(403, "Forbidden", message);
      }
      if (fate !== undefined && fate !== "asIs") become(fate);
      return undefined;
    },
  };
  const api = await openApi(options);

  const found = (): V1Pod | undefined =>
    api.pods.list(NAMESPACE).find(({ metadata }) => metadata?.name === name);

  const make = (state: keyof typeof states, annotations: Record<string, string> = {}, ours = true): void => {
    const labels = ours ? { "berth-mode": "persistent" } : {};
    const containers = [{ name: "shell", image: "image:1" }];
    if (found() !== undefined) api.pods.remove(NAMESPACE, name);
    api.pods.create(
      NAMESPACE,
      { metadata: { name, labels, annotations }, spec: { containers } },
      states[state],
    );
  };

  const become = (fate: Fate): void => {
    const there = found() !== undefined;
    switch (fate) {
      case "absent":
        return void (there && api.pods.remove(NAMESPACE, name));
      case "terminating":
        if (!there) make("running");
        return void api.pods.delete(NAMESPACE, name, {}, true);
      case "foreign":
        return make("succeeded", {}, false);
      case "outdated":
        return make("running", { "berth-spec-hash": "another" });
      case "outdated and in use":
        return make("running", { "berth-spec-hash": "another", ...IN_USE });
      default:
        if (there) api.pods.setState(NAMESPACE, name, states[fate]);
        else make(fate);
    }
  };

  const pod: Record<string, unknown> = {
    metadata: { name, namespace: NAMESPACE },
    spec: { containers: [{ name: "shell", image: "image:1" }] },
    shellCommand: ["/bin/sh"],
  };
  const timeouts: Record<string, unknown> = { podStart: "60s" };
  login.overlay.backend = "kubernetes";
  login.overlay.kubernetes = { connection: { host: api.url, qps: 50, burst: 100 }, pod, timeouts };
  const loggedOut = login[Symbol.asyncDispose];
  return Object.assign(login, {
    name,
    api,
    pod,
    timeouts,
    ...queues,
    become,
    letPodsRun: () => {
      options.state = states.running;
    },
    [Symbol.asyncDispose]: async () => {
      await loggedOut();
      await api.close();
    },
  });
};
