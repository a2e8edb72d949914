/**
 * Walks machines/kubernetes.ts (see test/model/README.md): logins whose pod is made, found, waited for, replaced or
 * refused. What happens to the pod meanwhile, and what Berth may do, is the walk's to say.
 */
import { afterAll, beforeAll, inject } from "vitest";
import { kubernetesMachine } from "../../machines/kubernetes.ts";
import type { KubernetesContext, PodFacts, PodPlan } from "../../machines/kubernetes-facts.ts";
import { clusterIn } from "../support/kubernetes.ts";
import { type ApiServer, apiServer } from "../support/kubernetes-front.ts";
import {
  type Fate,
  type Fates,
  type KubernetesWorld,
  kubernetesWorld,
} from "../support/model/kubernetes-world.ts";
import { seesGranted, seesProgram, seesRefusal } from "../support/model/login.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { askingPortal, openPortal, type Portal } from "../support/model/portal.ts";
import { after, type Cause, done, fails, type Look, walk } from "../support/model/walk.ts";
import { eventually } from "../support/resources.ts";

let api: ApiServer;
let portal: Portal;
let daemon: ObservedDaemon;

beforeAll(async () => {
  api = await apiServer(clusterIn(inject("cluster")).kubeconfig);
  portal = await openPortal();
  daemon = await startObserved({ config: { ...askingPortal(portal), backend: "process" } });
});
afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await portal?.[Symbol.asyncDispose]();
  api?.[Symbol.dispose]();
});

type PodCause = Cause<KubernetesWorld>;
type Queue = "lookups" | "creations" | "claims" | "watches" | "removals";

const event = (state: string, output?: unknown) => done(kubernetesMachine, `kubernetes.${state}`, output);

const facts = (phase: PodFacts["phase"], more: Partial<PodFacts> = {}): PodFacts => ({
  namespace: "default",
  name: "",
  uid: "1",
  phase,
  ours: true,
  outdated: false,
  inUse: false,
  reason: "",
  ...more,
});

const plan = (chosen: Partial<PodPlan>): PodCause => {
  const { mode = "connection", createMissing = false, replaceOutdated = false } = chosen;
  return {
    event: event("planning", {
      mode,
      createMissing,
      replaceOutdated,
      namespace: "",
      name: "",
      podStartMillis: 0,
    } satisfies PodPlan),
    arrange: async ({ pod, letPodsRun }) => {
      if (mode === "session") await letPodsRun();
      Object.assign(pod, {
        mode,
        createMissingPods: createMissing,
        recreateOutdated: replaceOutdated ? "whenUnused" : "never",
      });
    },
  };
};

const arranged = (queue: Queue, fate: Fates[number]) => (world: KubernetesWorld) =>
  void world[queue].push(fate);

/** The API server does not permit what a state asks for. */
const denied = (state: string, queue: Queue): PodCause => ({
  event: fails(kubernetesMachine, `kubernetes.${state}`),
  arrange: arranged(queue, "fails"),
});

const found = (fate: Fate, output: PodFacts | undefined): PodCause => ({
  event: event("pod.lookingUp", output),
  arrange: arranged("lookups", fate),
});

const podOf = (context: unknown): PodFacts | undefined => (context as KubernetesContext).pod;
const planOf = (context: unknown): PodPlan | undefined => (context as KubernetesContext).plan;

const claimed = (fate: Fates[number], output: PodFacts | undefined): PodCause => ({
  event: event("pod.claiming", output),
  // An outdated pod stays one, its claims are a cause of their own; and no pod that runs begins to start.
  when: ({ context }) => {
    const pod = podOf(context);
    return pod?.outdated === false && (fate !== "starting" || pod.phase === "starting");
  },
  arrange: arranged("claims", fate),
});

/** What a pod that starts comes to, while it is watched. */
const comesTo = (fate: Fate, output: PodFacts | undefined): PodCause => ({
  event: event("pod.starting", output),
  arrange: arranged("watches", "asIs"),
  cause: async (world) => {
    await seesWatch(world);
    await world.begin(fate);
  },
});

const sees =
  (verb: string, resource = "pods"): Look<KubernetesWorld> =>
  async ({ front, name }) => {
    await eventually(
      async () =>
        front.requests.some(
          (request) =>
            request.verb === verb &&
            request.resource === resource &&
            JSON.stringify([request.name, request.query.toString(), request.body]).includes(name),
        ),
      `the API server was asked to ${verb} ${resource}`,
    );
  };

const seesLookup = sees("get");
const seesWatch = (world: KubernetesWorld) => sees("watch")(world, daemon);

/** What a late pod is explained by. */
const explained = (fate: Fates[number], output: PodFacts | undefined): PodCause => ({
  event: event("explainingDelay", output),
  arrange: arranged("lookups", fate),
});

walk<KubernetesWorld>("kubernetes", {
  input: { connectionId: "", identity: {}, settings: {} },
  key: ({ plan: chosen, pod }: KubernetesContext) => [
    chosen,
    pod?.phase,
    pod?.ours,
    pod?.outdated,
    pod?.inUse,
  ],
  causes: {
    "a persistent pod that may be created": plan({ mode: "persistent", createMissing: true }),
    "a persistent pod that must be there": plan({ mode: "persistent" }),
    "a persistent pod that may be replaced": plan({
      mode: "persistent",
      createMissing: true,
      replaceOutdated: true,
    }),
    "a pod for the connection": plan({}),
    "a pod for each session": plan({ mode: "session" }),
    "the user has nothing for the pod's name": {
      event: fails(kubernetesMachine, "kubernetes.planning"),
      arrange: ({ pod }) => {
        Object.assign(pod, { mode: "persistent", metadata: { name: "lab-{metadata.team}" } });
      },
    },

    "the pod is found running": found("running", facts("running")),
    "the pod is found starting": found("starting", facts("starting")),
    "the pod is found terminating": found("terminating", facts("terminating")),
    "the pod is found failed": found("failed", facts("failed")),
    "somebody's own pod is found that has succeeded": found("foreign", facts("succeeded", { ours: false })),
    "the pod is found outdated": found("outdated", facts("running", { outdated: true })),
    "the pod is found outdated and in use": found(
      "outdated and in use",
      facts("running", { outdated: true, inUse: true }),
    ),
    "there is no pod": found("absent", undefined),
    "the pod may not be looked up": denied("pod.lookingUp", "lookups"),

    "the pod is still running": claimed("running", facts("running")),
    "the pod is still starting": claimed("starting", facts("starting")),
    "somebody deletes the pod before it is claimed": claimed("terminating", facts("terminating")),
    "the pod is gone before it is claimed": claimed("absent", undefined),
    "the outdated pod is still running": {
      event: event("pod.claiming", facts("running", { outdated: true })),
      when: ({ context }) => podOf(context)?.outdated === true,
      arrange: arranged("claims", "asIs"),
    },
    "the pod may not be claimed": denied("pod.claiming", "claims"),

    "the pod runs": comesTo("running", facts("running")),
    "the pod fails": comesTo("failed", facts("failed")),
    "somebody deletes the pod while it starts": comesTo("terminating", facts("terminating")),
    "the pod is gone before it runs": {
      event: event("pod.starting", undefined),
      arrange: arranged("watches", "asIs"),
      // Whoever watches sees a deletion begin: only when it was not watched is it gone all at once.
      cause: async (world) => {
        await seesWatch(world);
        world.lookups.unshift("absent");
        await eventually(async () => world.front.breakWatches() > 0, "the watch is broken");
      },
    },
    "the pod that starts may not be watched": denied("pod.starting", "watches"),

    "the pod is asked to go": { event: event("pod.removing"), arrange: arranged("removals", "asIs") },
    "the pod may not be deleted": denied("pod.removing", "removals"),
    "the pod goes": {
      event: event("pod.awaitingRemoval"),
      arrange: arranged("watches", "asIs"),
      cause: async (world) => {
        await seesWatch(world);
        await world.begin("absent");
      },
    },
    "the pod that goes may not be watched": denied("pod.awaitingRemoval", "watches"),

    "the pod is created": {
      event: event("pod.creating", { kind: "created", pod: facts("starting") }),
      arrange: arranged("creations", "asIs"),
    },
    "somebody creates the pod first": {
      event: event("pod.creating", { kind: "exists", message: "" }),
      when: ({ context }) => planOf(context)?.mode === "persistent",
      arrange: arranged("creations", "running"),
    },
    "somebody else has a pod of that name": {
      event: event("pod.creating", { kind: "exists", message: "" }),
      when: ({ context }) => planOf(context)?.mode === "connection",
      arrange: (world) => {
        world.creations.push("foreign");
        world.lookups.push("asIs");
      },
    },
    "the pod may not be created": denied("pod.creating", "creations"),

    "the time is up": {
      event: after(kubernetesMachine, "kubernetes.pod"),
      // Where a pod is waited for; elsewhere only an API server that hangs takes so long.
      when: (snapshot) =>
        snapshot.matches({ pod: "starting" }) || snapshot.matches({ pod: "awaitingRemoval" }),
      arrange: ({ timeouts, watches }) => {
        timeouts.podStart = "12s";
        watches.push("asIs");
      },
    },
    "Kubernetes says why": explained("asIs", facts("starting")),
    "Kubernetes does not say why": {
      event: fails(kubernetesMachine, "kubernetes.explainingDelay"),
      arrange: arranged("lookups", "fails"),
    },

    "the login's files are written": { event: event("writingFiles") },
    "a file of the login belongs below a file": {
      event: fails(kubernetesMachine, "kubernetes.writingFiles"),
      arrange: ({ files }) => {
        files["/etc/passwd/below"] = "";
      },
    },
    "the environment opens": { event: event("opening", {}) },
  },
  world: () => kubernetesWorld(portal, api),
  daemon: async () => daemon,
  begin: (world, observed) => world.logIn(observed),
  looks: {
    "kubernetes.planning": seesGranted,
    "kubernetes.pod.lookingUp": seesLookup,
    "kubernetes.pod.claiming": sees("patch"),
    "kubernetes.pod.starting": sees("watch"),
    "kubernetes.pod.removing": sees("delete"),
    "kubernetes.pod.awaitingRemoval": sees("watch"),
    "kubernetes.pod.creating": sees("create"),
    "kubernetes.explainingDelay": seesLookup,
    "kubernetes.writingFiles": seesGranted,
    "kubernetes.opening": seesGranted,
    "kubernetes.ready": seesProgram,
    "kubernetes.refused": seesRefusal(
      ["KUBERNETES_CONFIG_ERROR", "The server is not configured correctly for your environment."],
      ["KUBERNETES_PERMISSION_DENIED", "The server lacks a permission to reach your environment."],
      ["KUBERNETES_POD_NOT_FOUND", "Your environment does not exist yet."],
      ["KUBERNETES_POD_NOT_RUNNING", "Please try again later, or ask your administrator."],
      ["KUBERNETES_POD_CREATE_FAILED", "Your environment could not be created."],
      ["KUBERNETES_POD_WAIT_FAILED", "waiting for it took too long"],
      ["KUBERNETES_POD_WAIT_FAILED", "Your environment was deleted while it was starting."],
      ["KUBERNETES_FILE_WRITE_FAILED", "A file of your login could not be placed in your environment."],
    ),
  },
  unreached: {
    "kubernetes.pod.running": "the end of a part, left in the same step",
    "kubernetes.opening|xstate.error.actor.0.kubernetes.opening|0":
      "what opens was there for every step before, and nothing is asked of the API server",
  },
});
