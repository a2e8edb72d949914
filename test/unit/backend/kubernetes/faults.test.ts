/** An API server that fails, lies, loses answers, refuses and falls silent: what the backend makes of it. */
import { Effect } from "effect";
import { describe, expect, it, onTestFinished } from "vitest";
import { transcriptOf } from "../../../support/command.ts";
import { IDLE } from "../../../support/kubernetes.ts";
import { ApiError } from "../../../support/kubernetes-api/pods.ts";
import { type ApiRequest, testApi } from "../../../support/kubernetes-api/server.ts";
import { testDaemon } from "../../../support/kubernetes-backend.ts";
import { endOf, exec, runProgram, startProgram } from "../../../support/programs.ts";
import { eventually } from "../../../support/resources.ts";

const persistent = { mode: "persistent", metadata: { name: "own" } };
const creating = { ...persistent, createMissingPods: true };

const unavailable = new ApiError(503, "ServiceUnavailable", "etcdserver: leader changed");

/** The first requests of a kind go wrong. */
const first = <A>(times: number, verb: string, trouble: A, resource = "pods") => {
  let left = times;
  return (request: ApiRequest): A | undefined =>
    request.verb === verb && request.resource === resource && left-- > 0 ? trouble : undefined;
};

describe("creating a pod", () => {
  it("is tried again when the API server can't do it now", async () => {
    const api = await testApi({ meddle: first(2, "create", unavailable) });
    const daemon = await testDaemon({ host: api.url });
    const { environment } = await daemon.connect();
    expect((await runProgram(environment, "echo in")).stdout).toBe("in\n");
    const told = daemon.log.entries.filter(({ code }) => code === "KUBERNETES_POD_CREATE_FAILED");
    // Loud once: a login whose time is up ends without a word of it.
    expect(told.map(({ level }) => level)).toEqual(["warning", "debug"]);
    expect(told[0]).toMatchObject({
      message: expect.stringContaining("etcdserver: leader changed"),
      details: { namespace: "default", podName: api.pods.list("default")[0]?.metadata?.name },
    });
    await daemon.close();
    expect(api.pods.list("default")).toEqual([]);
  });

  it("is tried again when quotas were counted at the same moment", async () => {
    const conflict = new ApiError(409, "Conflict", "Operation cannot be fulfilled on resourcequotas");
    const api = await testApi({ meddle: first(1, "create", conflict) });
    const { outcome } = await (await testDaemon({ host: api.url })).connect();
    expect(outcome.kind).toBe("ready");
  });

  it.each(["connection", "persistent"])(
    "finds the pod whose creation was not answered in mode %s",
    async (mode) => {
      const api = await testApi({ meddle: first(1, "create", "dropAnswer") });
      const daemon = await testDaemon({ host: api.url });
      const connection = await daemon.connect({ pod: mode === "persistent" ? creating : {} });
      expect((await runProgram(connection.environment, "echo in")).stdout).toBe("in\n");
      expect(api.pods.list("default")).toHaveLength(1);
      await connection.close();
      expect(api.pods.list("default")).toHaveLength(mode === "persistent" ? 1 : 0);
    },
  );

  it("leaves nothing when the client goes before the answer", async () => {
    const abort = new AbortController();
    const api = await testApi({
      meddle: ({ verb }) => {
        if (verb !== "create") return undefined;
        abort.abort();
        return "dropAnswer";
      },
    });
    const daemon = await testDaemon({ host: api.url });
    await daemon.connect({ signal: abort.signal });
    await daemon.close();
    expect(api.pods.list("default")).toEqual([]);
  });

  it("is refused with the API server's words and no more tries when they are final", async () => {
    const invalid = new ApiError(
      422,
      "Invalid",
      'Pod "x" is invalid: spec.containers[0].image: Required value',
    );
    const api = await testApi({ meddle: first(1, "create", invalid) });
    const { refusal } = await (await testDaemon({ host: api.url })).connect();
    expect(refusal.code).toBe("KUBERNETES_POD_CREATE_FAILED");
    expect(refusal.message).toContain("Required value");
    expect(refusal.userMessage).not.toContain("Required value");
    expect(api.requests.filter(({ verb }) => verb === "create")).toHaveLength(1);
  });

  it("names a field that the API server does not know", async () => {
    const unknown = new ApiError(
      400,
      "BadRequest",
      'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].imagePullPolcy"',
    );
    const api = await testApi({
      meddle: ({ query, body }) =>
        query.get("fieldValidation") === "Strict" && JSON.stringify(body).includes("imagePullPolcy")
          ? unknown
          : undefined,
    });
    const daemon = await testDaemon({ host: api.url });
    const spec = { containers: [{ name: "shell", image: "image:1", imagePullPolcy: "Never" }] };
    const { refusal } = await daemon.connect({ pod: { spec } });
    expect(refusal.code).toBe("KUBERNETES_POD_CREATE_FAILED");
    expect(refusal.message).toContain('unknown field "spec.containers[0].imagePullPolcy"');
  });

  it("does not take a pod of the same name for its own", async () => {
    const api = await testApi();
    const daemon = await testDaemon({ host: api.url });
    const named = { metadata: { name: "taken" } };
    const winner = await daemon.connect({ pod: named });
    const { refusal } = await daemon.connect({ pod: named });
    expect(refusal.code).toBe("KUBERNETES_POD_CREATE_FAILED");
    expect((await runProgram(winner.environment, "echo still in")).stdout).toBe("still in\n");
  });

  it("does not take the pod of another session for its own, nor with it when it goes", async () => {
    const api = await testApi();
    const daemon = await testDaemon({ host: api.url });
    const { environment } = await daemon.connect({ pod: { mode: "session", metadata: { name: "taken" } } });
    const winner = await startProgram(environment, exec("cat"));
    const request = { program: exec("true"), terminal: undefined, environment: {}, channel: 1 };
    const failure = await Effect.runPromise(Effect.flip(Effect.scoped(environment.start(request))));
    expect(failure).toMatchObject({
      code: "KUBERNETES_POD_CREATE_FAILED",
      details: { namespace: "default", podName: "taken" },
    });
    winner.stdin.end("still in");
    expect(await endOf(winner)).toMatchObject({ stdout: "still in", exit: 0 });
  });
});

it("a session whose pod does not come up in time fails with Kubernetes' own reason", async () => {
  const waiting = { reason: "ErrImagePull", message: "no such image" };
  const api = await testApi({ state: { waiting } });
  const daemon = await testDaemon({ host: api.url });
  const { environment } = await daemon.connect({ pod: { mode: "session" }, timeouts: { podStart: "1s" } });
  const request = { program: exec("true"), terminal: undefined, environment: {}, channel: 0 };
  const failure = await Effect.runPromise(Effect.flip(Effect.scoped(environment.start(request))));
  expect(failure).toMatchObject({
    code: "KUBERNETES_POD_WAIT_FAILED",
    details: {
      namespace: "default",
      podName: expect.stringMatching(/^containerssh-\w{8}$/),
      podStartSeconds: 1,
      reason: "shell: ErrImagePull: no such image",
    },
  });
});

describe("a pod that has ended and that Berth did not make", () => {
  it.each([
    ["failed", 1],
    ["succeeded", 0],
  ])("is refused at once when it has %s, and never deleted", async (phase, exitCode) => {
    const api = await testApi();
    const spec = { containers: [{ name: "shell" }] };
    api.pods.create("default", { metadata: { name: "own" }, spec }, { terminated: { exitCode } });
    const daemon = await testDaemon({ host: api.url });
    const { refusal, notices, states } = await daemon.connect({ pod: creating });
    expect(refusal).toMatchObject({ code: "KUBERNETES_POD_NOT_RUNNING", details: { phase } });
    expect(refusal.message).toContain("Berth deletes no pod that it did not create");
    expect(states).not.toContain("pod.awaitingRemoval");
    expect(notices).toEqual([]);
    expect(api.requests.map(({ verb }) => verb)).not.toContain("delete");
  });
});

describe("removing a pod", () => {
  it("is given up after timeouts.podStop and told in the log", async () => {
    const api = await testApi({ meddle: ({ verb }) => (verb === "delete" ? unavailable : undefined) });
    const daemon = await testDaemon({ host: api.url });
    const connection = await daemon.connect({ timeouts: { podStop: "1500ms" } });
    const since = performance.now();
    await connection.close();
    expect(performance.now() - since).toBeGreaterThan(1400);
    expect(api.requests.filter(({ verb }) => verb === "delete").length).toBeGreaterThan(1);
    expect(daemon.log.entries).toContainEqual(
      expect.objectContaining({
        code: "KUBERNETES_POD_REMOVE_FAILED",
        details: expect.objectContaining({ podName: api.pods.list("default")[0]?.metadata?.name }),
      }),
    );
  });
});

describe("a permission that is missing", () => {
  const denied = (verb: string, resource: string) =>
    new ApiError(
      403,
      "Forbidden",
      `${resource} is forbidden: User "berth" cannot ${verb} resource "${resource}"`,
    );

  it.each([
    ["create", "pods", {}],
    ["get", "pods", persistent],
    ["watch", "pods", {}],
    ["patch", "pods", creating],
    // Another daemon's idle timeout would delete the pod under somebody who is in it without a mark.
    ["patch", "pods", persistent],
  ])("to %s %s refuses the login and is named", async (verb, resource, pod) => {
    const api = await testApi({
      state: { waiting: { reason: "ContainerCreating" } },
      meddle: (request) =>
        request.verb === verb && request.resource === resource ? denied(verb, resource) : undefined,
    });
    if (verb === "patch") {
      api.pods.create(
        "default",
        {
          metadata: { name: "own", labels: { "berth-mode": "persistent" } },
          spec: { containers: [{ name: "shell" }] },
        },
        { running: { startedAt: new Date() } },
      );
    }
    const { refusal } = await (await testDaemon({ host: api.url })).connect({ pod });
    expect(refusal).toMatchObject({
      code: "KUBERNETES_PERMISSION_DENIED",
      details: { verb, resource, namespace: "default" },
    });
    expect(refusal.message).toContain(`${verb} ${resource}`);
    expect(refusal.userMessage).toContain("permission");
  });

  it("to exec fails the program and is named", async () => {
    const api = await testApi({ meddle: first(1, "get", denied("get", "pods/exec"), "pods/exec") });
    const { environment } = await (await testDaemon({ host: api.url })).connect();
    const request = { program: exec("true"), terminal: undefined, environment: {}, channel: 0 };
    const failure = await Effect.runPromise(Effect.flip(Effect.scoped(environment.start(request))));
    expect(failure).toMatchObject({
      code: "KUBERNETES_PERMISSION_DENIED",
      details: { verb: "get", resource: "pods/exec" },
    });
  });

  // Kubernetes 1.35 asks for `create`, too, to open a WebSocket.
  it.each([
    ["pods/exec", "connection"],
    ["pods/attach", "session"],
  ])("to create %s is named although the request gets it", async (resource, mode) => {
    const api = await testApi({ meddle: first(1, "get", denied("create", resource), resource) });
    const { environment } = await (await testDaemon({ host: api.url })).connect({ pod: { mode } });
    const request = { program: exec("true"), terminal: undefined, environment: {}, channel: 0 };
    const failure = await Effect.runPromise(Effect.flip(Effect.scoped(environment.start(request))));
    expect(failure.message).toContain(`not permit us to create ${resource} in namespace default`);
    expect(failure).toMatchObject({
      code: "KUBERNETES_PERMISSION_DENIED",
      details: { verb: "create", resource },
    });
  });

  it("is not seen in what admission refuses", async () => {
    const quota = new ApiError(
      403,
      "Forbidden",
      'pods "x" is forbidden: exceeded quota: pods, requested: pods=1',
    );
    const api = await testApi({ meddle: first(1, "create", quota) });
    const { refusal } = await (await testDaemon({ host: api.url })).connect();
    expect(refusal.code).toBe("KUBERNETES_POD_CREATE_FAILED");
    expect(refusal.message).toContain("exceeded quota");
  });
});

describe("a program that runs", () => {
  const started = async (meddle: Parameters<typeof testApi>[0] = {}) => {
    const api = await testApi(meddle);
    const daemon = await testDaemon({ host: api.url });
    const connection = await daemon.connect({ pod: { ...creating, idleCommand: IDLE } });
    const program = await startProgram(connection.environment, exec("echo started; exec sleep 30"));
    await transcriptOf(program.stdout).waitFor("started");
    return { api, daemon, connection, program };
  };

  it("fails with a sentence when its connection breaks, and others go on", async () => {
    const { api, connection, program } = await started();
    const other = await startProgram(connection.environment, exec("cat"));
    const [broken] = api.streams;
    broken?.terminate();
    const failure = await Effect.runPromise(Effect.flip(program.exit));
    expect(failure.code).toBe("KUBERNETES_EXIT_CODE_FAILED");
    expect(failure.userMessage).toBe("The connection to your program was lost. Please connect again.");
    other.stdin.end("fine");
    expect(await endOf(other)).toMatchObject({ stdout: "fine", exit: 0 });
  });

  it("is not started in another pod that has the name of the connection's by now", async () => {
    const { api, connection, program } = await started();
    const { spec } = api.pods.remove("default", "own");
    api.pods.create("default", { metadata: { name: "own" }, ...(spec && { spec }) }, { running: {} });
    const details = { namespace: "default", podName: "own" };
    const deleted = { code: "KUBERNETES_POD_DELETED", details };
    expect(await Effect.runPromise(Effect.flip(program.exit))).toMatchObject(deleted);
    const before = api.requests.filter(({ resource }) => resource === "pods/exec").length;
    const request = { program: exec("true"), terminal: undefined, environment: {}, channel: 1 };
    const failure = Effect.flip(Effect.scoped(connection.environment.start(request)));
    expect(await Effect.runPromise(failure)).toMatchObject(deleted);
    expect(api.requests.filter(({ resource }) => resource === "pods/exec")).toHaveLength(before);
  });

  it("fails without asking about its pod when the API server is gone", async () => {
    const { api, program } = await started();
    await api.close();
    expect(await Effect.runPromise(Effect.flip(program.exit))).toMatchObject({
      code: "KUBERNETES_EXIT_CODE_FAILED",
      details: { namespace: "default", podName: "own", answer: "The server does not answer any more" },
    });
  });

  it("fails within 10 s when the API server falls silent", async () => {
    let silent = false;
    const { api, program } = await started({ meddle: () => (silent ? "hang" : undefined) });
    // Leaving the pod would wait for as long as `timeouts.http` allows.
    onTestFinished(() => {
      silent = false;
    });
    silent = true;
    for (const stream of api.streams) stream.pause();
    const since = performance.now();
    const failure = await Effect.runPromise(Effect.flip(program.exit));
    expect(failure.code).toBe("KUBERNETES_EXIT_CODE_FAILED");
    expect(performance.now() - since).toBeLessThan(10_000);
  });

  it("goes on when only its own connection is slow to answer", async () => {
    const { api, program } = await started();
    const [stream] = api.streams;
    stream?.pause();
    await eventually(
      async () =>
        api.requests.some(
          ({ resource, name, namespace }) => resource === "pods" && name === "" && namespace === "",
        ),
      "the server is asked whether it lives",
    );
    stream?.resume();
    await Effect.runPromise(program.signal("TERM"));
    expect(await Effect.runPromise(program.exit)).toMatchObject({ kind: "signal", signal: "TERM" });
  });

  it("fails with the reason when its container is started again", async () => {
    const { api, program } = await started();
    api.pods.setState("default", "own", { running: { startedAt: new Date() } }, 1);
    for (const stream of api.streams) stream.terminate();
    const failure = await Effect.runPromise(Effect.flip(program.exit));
    expect(failure).toMatchObject({
      code: "KUBERNETES_CONTAINER_RESTARTED",
      details: { namespace: "default", podName: "own", restarts: 1 },
    });
  });
});
