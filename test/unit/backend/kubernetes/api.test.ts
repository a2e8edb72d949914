/** How the API server is spoken to: when it is busy, closes connections, forgets watches; and where there is none. */
import { Duration, Effect } from "effect";
import { describe, expect, it } from "vitest";
import { ClusterAccess } from "../../../../src/backend/kubernetes/access.ts";
import { podApi } from "../../../../src/backend/kubernetes/api.ts";
import { FollowedPod, PodWatches } from "../../../../src/backend/kubernetes/followed-pod.ts";
import { Throttle } from "../../../../src/backend/kubernetes/throttle.ts";
import { ApiError } from "../../../support/kubernetes-api/pods.ts";
import { type ApiRequest, testApi } from "../../../support/kubernetes-api/server.ts";
import { sectionOf, testDaemon } from "../../../support/kubernetes-backend.ts";
import { memoryLogger } from "../../../support/memory-logger.ts";
import { exec, runProgram, startProgram } from "../../../support/programs.ts";
import { eventually } from "../../../support/resources.ts";
import { scoped } from "../../../support/scoped.ts";

const persistent = { mode: "persistent", metadata: { name: "own" } };
const creating = { ...persistent, createMissingPods: true };

/** The first request of a kind goes wrong. */
const first = (verb: string, trouble: ApiError) => {
  let left = 1;
  return (request: ApiRequest) => (request.verb === verb && left-- > 0 ? trouble : undefined);
};

describe("an API server that is busy", () => {
  const busy = (seconds: number) => new ApiError(429, "TooManyRequests", "too many requests", seconds);

  it.each(["get", "patch"])("and says when to come back is asked to %s again then", async (verb) => {
    const api = await testApi({ meddle: first(verb, busy(1)) });
    const labels = { "berth-mode": "persistent" };
    const spec = { containers: [{ name: "shell" }] };
    const state = { running: { startedAt: new Date() } };
    api.pods.create("default", { metadata: { name: "own", labels }, spec }, state);
    const daemon = await testDaemon({ host: api.url });
    const since = performance.now();
    const { environment } = await daemon.connect({ pod: persistent });
    expect(performance.now() - since).toBeGreaterThan(990);
    expect((await runProgram(environment, "echo in")).stdout).toBe("in\n");
    expect(await daemon.log.waitFor("KUBERNETES_THROTTLED")).toMatchObject({
      details: { verb, resource: "pods", namespace: "default", name: "own", httpStatus: 429 },
    });
  });

  it("is not waited for longer than timeouts.http", async () => {
    const api = await testApi({ meddle: first("get", busy(3)) });
    const daemon = await testDaemon({ host: api.url });
    const { refusal } = await daemon.connect({ pod: persistent, timeouts: { http: "2s" } });
    expect(refusal).toMatchObject({ code: "KUBERNETES_API_UNAVAILABLE", details: { httpStatus: 429 } });
    expect(api.requests.filter(({ verb }) => verb === "get")).toHaveLength(1);
  });
});

describe("a connection that the server closes when it is used again", () => {
  it.each([
    ["get", "pods"],
    ["create", "pods"],
    ["get", "pods/exec"],
  ])("is no reason to fail to %s %s", async (verb, resource) => {
    let dropped = 0;
    const api = await testApi({
      meddle: (request) => {
        if (!request.isReused || request.verb !== verb || request.resource !== resource) return undefined;
        dropped += 1;
        return "drop";
      },
    });
    const daemon = await testDaemon({ host: api.url });
    // Several at once leave connections behind that nobody needs.
    await Promise.all([1, 2, 3].map(() => daemon.connect({ pod: creating })));
    const next = await daemon.connect({ pod: { ...creating, metadata: { name: "next" } } });
    expect((await runProgram(next.environment, "echo in")).stdout).toBe("in\n");
    expect(dropped).toBeGreaterThan(0);
    expect(daemon.log.codes()).not.toContain("KUBERNETES_POD_CREATE_FAILED");
  });
});

it("an address without a Kubernetes API is not taken for a cluster without the pod", async () => {
  const api = await testApi({
    meddle: ({ verb }) => (verb === "get" ? new ApiError(404, "", "404 page not found") : undefined),
  });
  const { refusal } = await (await testDaemon({ host: api.url })).connect({ pod: persistent });
  expect(refusal.code).toBe("KUBERNETES_API_REFUSED");
  expect(refusal.message).toContain("There is no Kubernetes API where we ask to get pods");
});

describe("a watch", () => {
  it("that ends is begun again", async () => {
    let watches = 0;
    const api = await testApi({
      state: { waiting: { reason: "ContainerCreating" } },
      meddle: ({ verb, name, query }) => {
        if (verb !== "watch") return undefined;
        const wanted = query.get("fieldSelector")?.replace("metadata.name=", "") ?? name;
        watches += 1;
        if (watches === 3) api.pods.setState("default", wanted, { running: { startedAt: new Date() } });
        return watches < 3 ? "drop" : undefined;
      },
    });
    const { outcome } = await (await testDaemon({ host: api.url })).connect();
    expect(outcome.kind).toBe("ready");
    expect(watches).toBeGreaterThanOrEqual(3);
  });

  it("whose version is too old before it begins is begun again from a new one, and not at once", async () => {
    const gone = new ApiError(410, "Expired", "too old resource version: 1 (2)");
    const asked: number[] = [];
    const api = await testApi({
      state: { waiting: { reason: "ContainerCreating" } },
      meddle: ({ verb, query }) => {
        if (verb !== "watch") return undefined;
        asked.push(performance.now());
        if (asked.length < 3) return gone;
        const name = query.get("fieldSelector")?.replace("metadata.name=", "") ?? "";
        api.pods.setState("default", name, { running: { startedAt: new Date() } });
        return undefined;
      },
    });
    const { outcome } = await (await testDaemon({ host: api.url })).connect();
    expect(outcome.kind).toBe("ready");
    expect((asked[2] ?? 0) - (asked[0] ?? 0)).toBeGreaterThan(1900);
  });

  it("that was refused for a while tells again what becomes of the pod", async () => {
    let isRefused = true;
    const unauthorized = new ApiError(401, "Unauthorized", "Unauthorized");
    const api = await testApi({
      meddle: ({ verb }) => (verb === "watch" && isRefused ? unauthorized : undefined),
    });
    const spec = { containers: [{ name: "shell" }] };
    api.pods.create("default", { metadata: { name: "own" }, spec }, { running: { startedAt: new Date() } });
    const daemon = await testDaemon({ host: api.url });
    const { environment } = await daemon.connect({ pod: persistent });
    const program = await startProgram(environment, exec("sleep 60"));
    await daemon.log.waitFor("KUBERNETES_CREDENTIALS_REFUSED");
    isRefused = false;
    api.pods.delete("default", "own", {}, true);
    expect(await Effect.runPromise(Effect.flip(program.exit))).toMatchObject({
      code: "KUBERNETES_POD_DELETED",
    });
  });

  it("that its server has forgotten is ended by us", async () => {
    const api = await testApi();
    const logger = memoryLogger().logger;
    const access = ClusterAccess.from(sectionOf({ host: api.url }, {}).connection);
    const timeout = Duration.millis(500);
    const pods = podApi({ access, throttle: new Throttle(-1, 1), timeout, logger });
    const watches = new PodWatches({ access, api: pods, timeout, watchSeconds: 1 }, logger);
    const spec = { containers: [{ name: "shell" }] };
    await scoped(watches.follow(api.pods.create("default", { metadata: { name: "own" }, spec }, {})));
    const watched = () => api.requests.filter(({ verb }) => verb === "watch");
    await eventually(async () => watched().length > 1, "it is watched again");
    expect(watched()[0]?.query.get("timeoutSeconds")).toBe("1");
  });

  it("sees a pod that is deleted before it runs", async () => {
    const api = await testApi({ state: { waiting: { reason: "ContainerCreating" } } });
    const daemon = await testDaemon({ host: api.url });
    const connecting = daemon.connect();
    const [pod] = await eventually(async () => {
      const all = api.pods.list("default");
      return all.length > 0 && api.requests.some(({ verb }) => verb === "watch") && all;
    }, "the pod is waited for");
    api.pods.remove("default", pod?.metadata?.name ?? "");
    const { refusal } = await connecting;
    expect(refusal.code).toBe("KUBERNETES_POD_WAIT_FAILED");
  });
});

it("who has seen what they waited for is not told of the pod any more", async () => {
  const followed = new FollowedPod(undefined);
  let told = 0;
  const waiting = Effect.runPromise(
    followed.untilSeen((pod) => {
      told += 1;
      return pod;
    }),
  );
  for (const name of ["seen", "later", "last"]) followed.see({ metadata: { name } });
  expect((await waiting).metadata?.name).toBe("seen");
  expect(told).toBe(2);
});
