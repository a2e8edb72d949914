/** A pod in use is never deleted: daemons that fall silent, marks that are lost, and who is faster at the same moment. */
import type { V1Pod } from "@kubernetes/client-node";
import { Effect } from "effect";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { KnownCluster } from "../../../../src/backend/kubernetes/clusters.ts";
import { HEARTBEAT_MILLIS, SILENCE_MILLIS, Witness } from "../../../../src/backend/kubernetes/witness.ts";
import { ApiError } from "../../../support/kubernetes-api/pods.ts";
import { type ApiRequest, type TestApi, testApi } from "../../../support/kubernetes-api/server.ts";
import { marksOf, names, persistent, podOf, running } from "../../../support/kubernetes-api/shared-pods.ts";
import { sectionOf, testDaemon } from "../../../support/kubernetes-backend.ts";
import { runProgram } from "../../../support/programs.ts";
import { eventually } from "../../../support/resources.ts";
import { scoped } from "../../../support/scoped.ts";

type Daemon = Awaited<ReturnType<typeof testDaemon>>;

/** What a daemon on another host wrote once. */
const OTHERS = { "berth-in-use-other": "2026-01-01T00:00:00.000Z" };

const count = (api: TestApi, wanted: string) => api.requests.filter(({ verb }) => verb === wanted).length;

const denied = new ApiError(403, "Forbidden", 'pods "x" is forbidden: User "b" cannot patch resource "pods"');

/** A way to the API server, as a connection has it. */
const wayTo = async (api: TestApi, daemon: Daemon, connection = {}): Promise<KnownCluster> =>
  (await scoped(daemon.shared.open(sectionOf({ host: api.url }, { connection })))).value;

/** Lets a daemon look after its namespace now. */
const lookAround = async (api: TestApi, daemon: Daemon): Promise<void> => {
  const { housekeeping } = await wayTo(api, daemon);
  const before = count(api, "list");
  housekeeping("default").wake();
  await eventually(async () => count(api, "list") > before, "the namespace is looked after");
};

/** The clock only goes ahead: if it went back, whoever has to wait at the throttle would wait for that long. */
let aheadMillis = 0;

beforeAll(() => {
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + aheadMillis);
});
afterAll(() => vi.restoreAllMocks());

/** Lets time pass for a daemon that looks around again and again. */
const pass = async (api: TestApi, daemon: Daemon, millis: number): Promise<void> => {
  await lookAround(api, daemon);
  // A look may take place as late as when the next one is asked for.
  const stepMillis = HEARTBEAT_MILLIS / 2;
  for (let passed = 0; passed < millis + stepMillis; passed += stepMillis) {
    aheadMillis += stepMillis;
    await lookAround(api, daemon);
  }
};

describe("a daemon elsewhere that has fallen silent", () => {
  it("is not taken for gone where nobody listened: the API server may have been away for it, too", async () => {
    const witness = new Witness(undefined);
    const pods = [podOf("own", "persistent", {}, OTHERS)];
    const look = (at: number) => Effect.runPromise(witness.look(pods, at));
    await look(0);
    await look(SILENCE_MILLIS);
    expect(witness.absenceOf("other")).toBeUndefined();
    for (const at of [30_000, 60_000, 90_000]) await look(SILENCE_MILLIS + at);
    expect(witness.absenceOf("other")).toBeUndefined();
    await look(2 * SILENCE_MILLIS);
    expect(witness.absenceOf("other")).toBe("silent");
  });

  it("loses no pod to one that could not say that it lives, either", async () => {
    let isDenied = true;
    const api = await testApi({
      meddle: ({ verb }) => (verb === "patch" && isDenied ? denied : undefined),
    });
    api.pods.create("default", podOf("theirs", "connection", { "berth-instance": "other" }, OTHERS), running);
    const daemon = await testDaemon({ host: api.url });
    await pass(api, daemon, SILENCE_MILLIS);
    expect(await daemon.log.waitFor("KUBERNETES_PERMISSION_DENIED")).toMatchObject({
      details: { verb: "patch", resource: "pods", namespace: "default", name: "theirs" },
    });
    expect(count(api, "delete")).toBe(0);
    isDenied = false;
    await lookAround(api, daemon);
    await eventually(async () => names(api).length === 0, "the pod of nobody is removed");
  });

  it("keeps its outdated pod until its mark has been taken away", async () => {
    const api = await testApi({ meddle: ({ verb }) => (verb === "patch" ? denied : undefined) });
    const outdated = { "berth-spec-hash": "another", ...OTHERS };
    api.pods.create("default", podOf("own", "persistent", {}, outdated), running);
    const daemon = await testDaemon({ host: api.url });
    await pass(api, daemon, SILENCE_MILLIS);
    const { refusal } = await daemon.connect({ pod: persistent("own", { recreateOutdated: "whenUnused" }) });
    expect(refusal).toMatchObject({ code: "KUBERNETES_PERMISSION_DENIED", details: { verb: "patch" } });
    expect(count(api, "delete")).toBe(0);
  });
});

describe("a mark of use", () => {
  it("is made again when somebody has taken this daemon for gone", async () => {
    const api = await testApi();
    const daemon = await testDaemon({ host: api.url });
    const { environment } = await daemon.connect({ pod: persistent("own", { idleTimeout: "1s" }) });
    const [mark = ""] = marksOf(api, "own");
    api.pods.annotate("default", "own", {
      metadata: { annotations: { [mark]: null, "berth-last-used": new Date(0).toISOString() } },
    } as unknown as V1Pod);
    await lookAround(api, daemon);
    await eventually(async () => marksOf(api, "own").includes(mark), "the mark is there again");
    const another = await testDaemon({ host: api.url });
    await lookAround(api, another);
    expect((await runProgram(environment, "echo in")).stdout).toBe("in\n");
    expect(count(api, "delete")).toBe(0);
  });

  it("is made again for who comes next, for the pod that they see has none", async () => {
    const api = await testApi();
    const daemon = await testDaemon({ host: api.url });
    await daemon.connect({ pod: persistent("own") });
    const [mark = ""] = marksOf(api, "own");
    api.pods.annotate("default", "own", {
      metadata: { annotations: { [mark]: null } },
    } as unknown as V1Pod);
    await daemon.connect({ pod: persistent("own") });
    expect(marksOf(api, "own")).toEqual([mark]);
  });

  it.each([
    ["is denied", denied, "KUBERNETES_PERMISSION_DENIED"],
    ["is not answered", "hang", "KUBERNETES_API_UNAVAILABLE"],
    ["meets a conflict that goes on", new ApiError(409, "Conflict", "try again"), "KUBERNETES_CONFLICT"],
  ] as const)("that %s lets nobody in", async (_, trouble, code) => {
    const api = await testApi({ meddle: ({ verb }) => (verb === "patch" ? trouble : undefined) });
    api.pods.create("default", podOf("own", "persistent", {}), running);
    const daemon = await testDaemon({ host: api.url });
    const { refusal } = await daemon.connect({
      pod: persistent("own", { idleTimeout: "1h" }),
      timeouts: { http: "500ms" },
    });
    expect(refusal).toMatchObject({
      code,
      details: { verb: "patch", resource: "pods", namespace: "default", name: "own" },
    });
    expect(api.streams.size).toBe(0);
  });

  it("that may not be renewed any more is told of loudly, also where no pods are made", async () => {
    let isDenied = false;
    const api = await testApi({
      meddle: ({ verb }) => (verb === "patch" && isDenied ? denied : undefined),
    });
    api.pods.create("default", podOf("own", "persistent", {}), running);
    const daemon = await testDaemon({ host: api.url });
    await daemon.connect({ pod: persistent("own", { createMissingPods: false }) });
    isDenied = true;
    await pass(api, daemon, HEARTBEAT_MILLIS);
    expect(await daemon.log.waitFor("KUBERNETES_PERMISSION_DENIED")).toMatchObject({
      level: "warning",
      message: expect.stringContaining("others will take it for gone"),
      details: { verb: "patch", resource: "pods", namespace: "default", name: "own" },
    });
  });

  it("is renewed where that is permitted, however many connections have credentials that may not", async () => {
    const isPoor = ({ authorization }: ApiRequest) => authorization === "Bearer poor";
    const api = await testApi({
      meddle: (request) => (request.verb === "patch" && isPoor(request) ? denied : undefined),
    });
    const daemon = await testDaemon({ host: api.url });
    const poor = await wayTo(api, daemon, { bearerToken: "poor" });
    const rich = await wayTo(api, daemon);
    const mark = `berth-in-use-${daemon.shared.instance.id}`;
    for (const [name, { cluster }] of [
      ["one", poor],
      ["two", poor],
      ["three", rich],
    ] as const) {
      const marked = podOf(name, "persistent", {}, { [mark]: "-" });
      const { metadata } = api.pods.create("default", marked, running);
      daemon.shared.presence.hold(cluster, { namespace: "default", name, uid: metadata?.uid });
    }
    await lookAround(api, daemon);
    expect(api.pods.get("default", "three").metadata?.annotations?.[mark]).not.toBe("-");
  });
});

describe("somebody who comes at the moment of a pod's deletion", () => {
  it("is faster: the pod stays", async () => {
    const api = await testApi({
      meddle: ({ verb }) => {
        if (verb === "delete") api.pods.annotate("default", "own", { metadata: { annotations: OTHERS } });
        return undefined;
      },
    });
    const idle = { "berth-idle-seconds": "1", "berth-last-used": new Date(0).toISOString() };
    api.pods.create("default", podOf("own", "persistent", {}, idle), running);
    const daemon = await testDaemon({ host: api.url });
    await lookAround(api, daemon);
    await eventually(async () => count(api, "delete") > 0, "the pod was to be deleted");
    await lookAround(api, daemon);
    expect(names(api)).toEqual(["own"]);
    expect(count(api, "delete")).toBe(1);
  });

  it.each([false, true])(
    "is slower and sees that it terminates, with createMissingPods %s",
    async (creates) => {
      const api = await testApi({
        meddle: ({ verb }) => {
          if (verb === "patch" && count(api, "patch") === 1) api.pods.delete("default", "own", {}, true);
          return undefined;
        },
      });
      const { metadata } = api.pods.create("default", podOf("own", "persistent", {}), running);
      const daemon = await testDaemon({ host: api.url });
      const connecting = daemon.connect({ pod: persistent("own", { createMissingPods: creates }) });
      if (!creates) {
        expect((await connecting).refusal).toMatchObject({
          code: "KUBERNETES_POD_NOT_RUNNING",
          details: { phase: "terminating" },
        });
        return;
      }
      await eventually(async () => count(api, "watch") > 0, "its end is waited for");
      api.pods.remove("default", "own");
      const { environment } = await connecting;
      expect((await runProgram(environment, "echo in")).stdout).toBe("in\n");
      expect(api.pods.get("default", "own").metadata?.uid).not.toBe(metadata?.uid);
    },
  );
});
