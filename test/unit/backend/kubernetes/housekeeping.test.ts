/** What a daemon does for namespaces besides its connections: whose pods it spares, removes and proves to be in use. */
import { Effect, Exit, Scope } from "effect";
import { describe, expect, it } from "vitest";
import { encodeWhereabouts, thisInstance } from "../../../../src/backend/docker/instance.ts";
import { startKubernetes } from "../../../../src/backend/kubernetes/backend.ts";
import { SILENCE_MILLIS, Witness } from "../../../../src/backend/kubernetes/witness.ts";
import { defaults } from "../../../../src/config/schema.ts";
import { ApiError } from "../../../support/kubernetes-api/pods.ts";
import { type TestApi, testApi } from "../../../support/kubernetes-api/server.ts";
import {
  annotationsOf,
  marksOf,
  names,
  persistent,
  podOf,
  running,
} from "../../../support/kubernetes-api/shared-pods.ts";
import { sectionOf, testDaemon } from "../../../support/kubernetes-backend.ts";
import { runProgram } from "../../../support/programs.ts";
import { eventually } from "../../../support/resources.ts";
import { scoped } from "../../../support/scoped.ts";

/** Ways to the same API server that are another configuration than the first. */
const otherWays = (url: string) => ({
  "other qps": { connection: { qps: 49 } },
  "another timeout": { timeouts: { http: "14s" } },
  "another token": { connection: { bearerToken: "other", host: url } },
  "another address": { connection: { host: url.replace("127.0.0.1", "localhost") } },
});

describe.each(Object.keys(otherWays("")) as (keyof ReturnType<typeof otherWays>)[])("with %s", (way) => {
  it("spares what this daemon's other connections are in", async () => {
    const api = await testApi();
    const daemon = await testDaemon({ host: api.url });
    const other = otherWays(api.url)[way];
    const first = await daemon.connect();
    const [living = ""] = names(api);
    const second = await daemon.connect({ pod: persistent("entered") });
    for (const name of [living, "entered"]) api.pods.age("default", name, 120);
    const self = daemon.shared.instance.id;
    api.pods.create("default", podOf("left-over", "connection", { "berth-instance": self }), running);
    api.pods.age("default", "left-over", 120);
    const idle = { "berth-idle-seconds": "3600", [`berth-in-use-${self}`]: "-" };
    api.pods.create("default", podOf("left-marked", "persistent", {}, idle), running);
    // Leaving a pod that idles makes it look around at once.
    await (await daemon.connect({ ...other, pod: persistent("next", { idleTimeout: "1h" }) })).close();
    await eventually(async () => !names(api).includes("left-over"), "the pod that nobody holds is removed");
    await eventually(async () => marksOf(api, "left-marked").length === 0, "the mark of nobody is removed");
    expect(names(api)).toEqual(expect.arrayContaining([living, "entered"]));
    expect(marksOf(api, "entered")).toHaveLength(1);
    for (const { environment } of [first, second]) {
      expect((await runProgram(environment, "echo in")).stdout).toBe("in\n");
    }
  });

  it("is in a pod until the last connection has left it", async () => {
    const api = await testApi();
    const daemon = await testDaemon({ host: api.url });
    const first = await daemon.connect({ pod: persistent("own") });
    const second = await daemon.connect({ ...otherWays(api.url)[way], pod: persistent("own") });
    await first.close();
    expect(marksOf(api, "own")).toHaveLength(1);
    await second.close();
    expect(marksOf(api, "own")).toEqual([]);
  });
});

describe("at a daemon's start", () => {
  /** A pod of a daemon of this machine that is gone. */
  const leaveBehind = async (api: TestApi): Promise<void> => {
    const { whereabouts } = await Effect.runPromise(thisInstance);
    if (whereabouts === undefined) throw new Error("there is no /proc");
    const gone = encodeWhereabouts({ ...whereabouts, started: "never" });
    const annotations = { "berth-in-use-gone": `- ${gone}` };
    api.pods.create(
      "default",
      podOf("left-over", "connection", { "berth-instance": "gone" }, annotations),
      running,
    );
  };

  it.each([
    ["in mode connection", "kubernetes", {}],
    [
      "in persistent mode without createMissingPods",
      "kubernetes",
      { mode: "persistent", metadata: { name: "own" } },
    ],
    ["with another backend in the file", "docker", {}],
  ] as const)("what dead daemons left is removed %s", async (_, backend, pod) => {
    const api = await testApi();
    await leaveBehind(api);
    const { shared } = await testDaemon({ host: api.url });
    await Effect.runPromise(
      startKubernetes(shared, { backend, kubernetes: sectionOf({ host: api.url }, { pod }) }),
    );
    await eventually(async () => names(api).length === 0, "the pod is removed");
  });

  it("nobody is warned of a permission that the file's mode does not need, and nothing goes on without it", async () => {
    const message = 'pods is forbidden: User "berth" cannot list resource "pods"';
    const api = await testApi({
      meddle: ({ verb }) => (verb === "list" ? new ApiError(403, "Forbidden", message) : undefined),
    });
    const { shared, log } = await testDaemon({ host: api.url });
    const pod = { mode: "persistent", metadata: { name: "own" } };
    const kubernetes = sectionOf({ host: api.url }, { pod });
    await Effect.runPromise(startKubernetes(shared, { backend: "kubernetes", kubernetes }));
    expect(await log.waitFor("KUBERNETES_PERMISSION_DENIED")).toMatchObject({ level: "info" });
    await eventually(async () => shared.kept.namespaces === 0, "the namespace is not looked after");
    await Effect.runPromise(
      startKubernetes(shared, { backend: "kubernetes", kubernetes: sectionOf({ host: api.url }, {}) }),
    );
    await eventually(
      async () =>
        log.entries.some(({ code, level }) => code === "KUBERNETES_PERMISSION_DENIED" && level === "warning"),
      "a mode that needs it is warned",
    );
  });

  it("a permission that is taken away again is told of again", async () => {
    const message = 'pods is forbidden: User "berth" cannot list resource "pods"';
    let isDenied = true;
    const api = await testApi({
      meddle: ({ verb }) =>
        verb === "list" && isDenied ? new ApiError(403, "Forbidden", message) : undefined,
    });
    const { shared, log } = await testDaemon({ host: api.url });
    const kubernetes = sectionOf({ host: api.url }, {});
    await Effect.runPromise(startKubernetes(shared, { backend: "kubernetes", kubernetes }));
    const { value } = await scoped(shared.open(kubernetes));
    /** Lets it look and ask twice, for what it makes of the first answer. */
    const lookTwice = async () => {
      for (const _ of [1, 2]) {
        const asked = api.requests.length;
        value.housekeeping("default").wake();
        await eventually(async () => api.requests.length > asked, "it looks");
      }
    };
    for (const denied of [true, false, true]) {
      isDenied = denied;
      await lookTwice();
    }
    const told = log.entries.filter(({ code }) => code === "KUBERNETES_PERMISSION_DENIED");
    expect(told.map(({ level }) => level)).toEqual(["warning", "warning"]);
  });

  it("no cluster is looked for that nothing names", async () => {
    const { shared } = await testDaemon({ host: "unused" });
    const { kubernetes } = defaults;
    await Effect.runPromise(startKubernetes(shared, { backend: "process", kubernetes }));
    expect(shared.kept).toEqual({ configurations: 0, namespaces: 0, memories: 0 });
  });
});

describe("what is kept", () => {
  it("is not every configuration that was ever used, nor every namespace", async () => {
    const api = await testApi();
    const daemon = await testDaemon({ host: api.url });
    const staying = await daemon.connect({ connection: { bearerToken: "staying" } });
    const namespaces = Array.from({ length: 15 }, (_, index) => `of-${index}`);
    for (const namespace of namespaces) {
      const connection = await daemon.connect({
        connection: { bearerToken: namespace },
        pod: { metadata: { namespace } },
      });
      await connection.close();
    }
    expect(daemon.shared.kept.configurations).toBe(11);
    expect((await runProgram(staying.environment, "echo in")).stdout).toBe("in\n");
    // By itself a housekeeper that saw a pod looks again after half a minute.
    const { value } = await scoped(daemon.shared.open(sectionOf({ host: api.url }, {})));
    for (const namespace of namespaces) value.housekeeping(namespace).wake();
    const isOne = async () => daemon.shared.kept.namespaces === 1;
    await eventually(isOne, "one namespace is looked after");
    expect(daemon.shared.kept.memories).toBe(1);
  });
});

describe("a mark of use", () => {
  it("is renewed on more than one pod, so that leaving one does not take all proof away", async () => {
    const api = await testApi();
    const { shared } = await testDaemon({ host: api.url });
    const scope = Scope.makeUnsafe();
    const known = await Effect.runPromise(
      Scope.provide(shared.open(sectionOf({ host: api.url }, {})), scope),
    );
    const mark = `berth-in-use-${shared.instance.id}`;
    for (const name of ["one", "two", "three"]) {
      const marked = podOf(name, "persistent", {}, { [mark]: "-" });
      const { metadata } = api.pods.create("default", marked, running);
      shared.presence.hold(known.cluster, { namespace: "default", name, uid: metadata?.uid });
    }
    known.housekeeping("default");
    await eventually(async () => api.requests.some(({ verb }) => verb === "list"), "the marks are made");
    const proofs = ["one", "two", "three"].filter((name) => annotationsOf(api, name)[mark] !== "-");
    expect(proofs).toEqual(["one", "two"]);
    await Effect.runPromise(Scope.close(scope, Exit.void));
  });

  it("is renewed by a daemon that creates no pods, too", async () => {
    const api = await testApi();
    api.pods.create("default", podOf("own", "persistent", {}, { "berth-idle-seconds": "60" }), running);
    const daemon = await testDaemon({ host: api.url });
    await daemon.connect({ pod: persistent("own", { createMissingPods: false }) });
    const patches = () => api.requests.filter(({ verb }) => verb === "patch").length;
    await eventually(async () => patches() === 2, "the mark is renewed");
    expect(annotationsOf(api, "own")["berth-idle-seconds"]).toBe("60");
  });

  it("of a daemon that once proved to live stays a proof that it is gone when it falls silent", async () => {
    const witness = new Witness(undefined);
    const marked = (mark: string) => podOf("own", "persistent", {}, { "berth-in-use-other": mark });
    const look = (mark: string, at: number) => Effect.runPromise(witness.look([marked(mark)], at));
    await look("2026-01-01T00:00:00.000Z", 0);
    for (const at of [1, SILENCE_MILLIS / 2, SILENCE_MILLIS]) await look("-", at);
    expect(witness.absenceOf("other")).toBeUndefined();
    await look("-", SILENCE_MILLIS + 1);
    expect(witness.absenceOf("other")).toBe("silent");
  });
});

describe("an idle timeout", () => {
  it("is the newest connection's while others are in the pod", async () => {
    const api = await testApi();
    const daemon = await testDaemon({ host: api.url });
    await daemon.connect({ pod: persistent("own", { idleTimeout: "1h" }) });
    await daemon.connect({ pod: persistent("own", { idleTimeout: "2h" }) });
    expect(annotationsOf(api, "own")["berth-idle-seconds"]).toBe("7200");
    await daemon.connect({ pod: persistent("own") });
    expect(annotationsOf(api, "own")["berth-idle-seconds"]).toBeUndefined();
  });

  it("goes by the API server's clock and not by ours", async () => {
    const now = () => new Date(Date.now() - 3_600_000);
    const api = await testApi({ now });
    const idleFor = (seconds: number) => ({
      "berth-idle-seconds": "60",
      "berth-last-used": new Date(now().getTime() - seconds * 1000).toISOString(),
    });
    api.pods.create("default", podOf("idle", "persistent", {}, idleFor(120)), running);
    api.pods.create("default", podOf("recent", "persistent", {}, idleFor(0)), running);
    const daemon = await testDaemon({ host: api.url });
    const connection = await daemon.connect({ pod: persistent("own", { idleTimeout: "60s" }) });
    await eventually(async () => !names(api).includes("idle"), "the idle pod is removed");
    await connection.close();
    expect(names(api)).toEqual(["recent", "own"]);
    const lastUsed = Date.parse(annotationsOf(api, "own")["berth-last-used"] ?? "");
    expect(Math.abs(lastUsed - now().getTime())).toBeLessThan(60_000);
  });
});

describe("two users in one pod", () => {
  it("draw a warning, whichever daemon they come to", async () => {
    const api = await testApi();
    const one = await testDaemon({ host: api.url });
    await one.connect({ user: "jane", pod: persistent("own") });
    await one.close();
    const two = await testDaemon({ host: api.url });
    await two.connect({ user: "jane", pod: persistent("own") });
    expect(two.log.codes()).not.toContain("KUBERNETES_SHARED_POD");
    const three = await testDaemon({ host: api.url });
    await three.connect({ user: "joe", pod: persistent("own") });
    expect(three.log.codes()).toContain("KUBERNETES_SHARED_POD");
    expect(JSON.stringify(annotationsOf(api, "own"))).not.toContain("jane");
  });
});
