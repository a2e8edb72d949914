import { Redacted } from "effect";
import { describe, expect, it } from "vitest";
import { createActor, fromCallback, fromPromise, setup, waitFor } from "xstate";
import type { Refusal } from "../../../machines/facts.ts";
import { UNTIMED } from "../../../machines/untimed.ts";
import type { Row, StepLine, Trace } from "../../../src/inspect/format.ts";
import { Recorder } from "../../../src/inspect/recorder.ts";
import { type HistoryLimits, traceJson } from "../../../src/inspect/traces.ts";

const SECRET = "what-nobody-may-see";

const refusal: Refusal = {
  code: "AUTH_FAILED",
  level: "notice",
  userMessage: "No.",
  message: "wrong password",
  details: {},
};

type Told = { readonly type: "go" | "crash" | "close"; readonly password?: string };

/** A machine that does what connections do, as far as the recorder is concerned. */
const connectionMachine = setup({
  types: {
    events: {} as Told | { type: "refuse"; refusal: Refusal },
    context: {} as { refusal: Refusal | undefined; secret: string },
  },
  actors: { look: fromPromise(async () => SECRET) },
  actions: {
    crash: () => {
      throw new Error("a bug");
    },
    showBanner: (_, _params: { text: string }) => {},
  },
}).createMachine({
  id: "connection",
  context: { refusal: undefined, secret: SECRET },
  initial: "entering",
  states: {
    entering: {
      on: {
        go: { target: "looking" },
        crash: { actions: "crash" },
        refuse: {
          actions: [
            ({ context, event }) => void Object.assign(context, { refusal: event.refusal }),
            { type: "showBanner", params: { text: "No." } },
          ],
        },
        close: { target: "closed" },
      },
    },
    looking: { invoke: { src: "look", onDone: { target: "passing" } } },
    passing: { always: { target: "settled" } },
    settled: { on: { close: { target: "closed" } } },
    closed: { type: "final" },
  },
});

type Crashed = { readonly type: "connection.crashed"; readonly connectionId: string };

/** The supervisor tells of the ends of connections, as src/connection-supervisor.ts does. */
const daemonMachine = setup({
  types: { events: {} as Crashed },
  actors: {
    connections: fromCallback<Crashed>(({ receive, sendBack }) => receive((crashed) => sendBack(crashed))),
  },
}).createMachine({
  id: "daemon",
  invoke: { id: "connections", src: "connections" },
  on: { "connection.crashed": {} },
});

const daemon = (limits: Partial<HistoryLimits> = {}) => {
  const recorder = new Recorder({ connections: 1000, bytes: 10_000_000, ...limits });
  const root = createActor(daemonMachine, { inspect: recorder.observe });
  root.start();
  const open = (id: string) => {
    const actor = createActor(connectionMachine, { id, inspect: recorder.observe });
    const crashed = { type: "connection.crashed", connectionId: id } as const;
    actor.subscribe({ error: () => root.getSnapshot().children.connections?.send(crashed) });
    return actor.start();
  };
  const traceOf = (reference: string): Trace => {
    const owner = recorder.traces.find(reference);
    if (owner === undefined) throw new Error(`${reference} is not kept`);
    return JSON.parse(traceJson(owner));
  };
  const stepsOf = (reference: string): readonly StepLine[] =>
    traceOf(reference).lines.filter((line) => line.type === "step");
  const rowOf = (id: string): Row | undefined => recorder.traces.rows().find((row) => row.id === id);
  return { recorder, root, open, traceOf, stepsOf, rowOf };
};

const ID = "0123456789abcdef";

describe("the trace of a connection", () => {
  it("has every microstep with its transitions, who sent the event, and the end", async () => {
    const { open, stepsOf, traceOf, rowOf } = daemon();
    const connection = open(ID);
    connection.send({ type: "go", password: SECRET });
    await waitFor(connection, (snapshot) => snapshot.matches("settled"));
    connection.send({ type: "close" });
    expect(stepsOf(ID).map(({ event, moves }) => [event.type, moves])).toEqual([
      ["xstate.init", [{ transitions: [], value: "entering" }]],
      ["go", [{ transitions: ["connection.entering|go|0"], value: "looking" }]],
      [
        "xstate.done.actor.0.connection.looking",
        [
          {
            transitions: ["connection.looking|xstate.done.actor.0.connection.looking|0"],
            value: "passing",
          },
          { transitions: ["connection.passing|always|0"], value: "settled" },
        ],
      ],
      ["close", [{ transitions: ["connection.settled|close|0"], value: "closed" }]],
    ]);
    const { lines } = traceOf(ID);
    const promise = lines.find((line) => line.type === "actor" && line.src === "look");
    expect(promise).toMatchObject({ name: "0.connection.looking" });
    expect(lines.some((line) => line.type === "end" && line.status === "done")).toBe(true);
    expect(stepsOf(ID)[2]?.from).toBe(promise?.type === "actor" ? promise.actor : "");
    expect(rowOf(ID)).toMatchObject({ state: "closed", endedAt: expect.any(Number) });
  });

  it("holds nothing of an event that is not named in the table, of a context or of a source's answer", async () => {
    const { open, recorder, traceOf } = daemon();
    const connection = open(ID);
    connection.send({ type: "go", password: SECRET });
    await waitFor(connection, (snapshot) => snapshot.matches("settled"));
    recorder.logged({
      time: 0,
      level: "info",
      code: "AUTH",
      message: "said",
      details: { connectionId: ID, token: Redacted.make(SECRET), inside: { value: SECRET } as never },
    });
    const trace = traceOf(ID);
    expect(JSON.stringify(trace)).not.toContain(SECRET);
    expect(trace.lines.at(-1)).toMatchObject({ code: "AUTH", details: { token: "<redacted>" } });
  });

  it("has a row that says where the innermost machine is that it waits for", () => {
    const { recorder, rowOf } = daemon();
    const inner = setup({ types: { events: {} as Told } }).createMachine({
      id: "inner",
      initial: "pulling",
      states: { pulling: { on: { go: { target: "present" } } }, present: { type: "final" } },
    });
    const outer = setup({ actors: { inner } }).createMachine({
      id: "outer",
      initial: "preparing",
      states: {
        preparing: { invoke: { id: "inner", src: "inner", onDone: { target: "creating" } } },
        creating: {},
      },
    });
    const whole = setup({ actors: { outer } }).createMachine({
      id: "connection",
      invoke: { id: "outer", src: "outer" },
    });
    const connection = createActor(whole, { id: ID, inspect: recorder.observe }).start();
    expect(rowOf(ID)?.detail).toBe("inner: pulling");
    connection.getSnapshot().children.outer?.getSnapshot().children.inner?.send({ type: "go" });
    expect(rowOf(ID)?.detail).toBe("outer: creating");
  });

  it("puts a log line after the step that wrote it", () => {
    const { open, recorder, traceOf } = daemon();
    const connection = open(ID);
    recorder.listen((event) => {
      if (event.type !== "@xstate.action" || event.action.type !== "showBanner") return;
      const details = { connectionId: ID };
      recorder.logged({ time: 0, level: "info", code: "AUTH", message: "said", details });
    });
    connection.send({ type: "refuse", refusal });
    const [step, line] = traceOf(ID).lines.slice(-2);
    expect(step).toMatchObject({ type: "step", event: { type: "refuse" } });
    expect(line).toMatchObject({ type: "log" });
  });

  it("ends where an action throws, and its daemon goes on", () => {
    const { open, root, traceOf, rowOf } = daemon();
    open(ID).send({ type: "crash" });
    expect(traceOf(ID).lines.at(-1)).toMatchObject({ type: "end", status: "error" });
    expect(rowOf(ID)?.endedAt).toEqual(expect.any(Number));
    expect(root.getSnapshot().status).toBe("active");
  });

  it("is found by the beginning of the ID, in any case, and not by next to nothing", () => {
    const { open, recorder } = daemon();
    open(ID);
    expect(recorder.traces.find(" 01234567 ")).toBeDefined();
    expect(recorder.traces.find("0123456789ABCDEF")).toBeDefined();
    expect(recorder.traces.find("012")).toBeUndefined();
    expect(recorder.traces.find("fedcba98")).toBeUndefined();
  });
});

describe("a refusal", () => {
  it("is told in its step, counted, and in the row; the second like it counts again", () => {
    const { open, recorder, stepsOf, rowOf } = daemon();
    const connection = open(ID);
    connection.send({ type: "refuse", refusal });
    connection.send({ type: "refuse", refusal: { ...refusal } });
    expect(stepsOf(ID).filter(({ told }) => told)).toHaveLength(2);
    expect(stepsOf(ID).at(-1)?.refusal).toMatchObject({ code: "AUTH_FAILED", userMessage: "No." });
    expect(rowOf(ID)?.code).toBe("AUTH_FAILED");
    expect(recorder.statistics()).toMatchObject({
      refusals: 2,
      refusalsByCode: [{ code: "AUTH_FAILED", count: 2, reference: ID.slice(0, 8) }],
    });
  });
});

describe("memory", () => {
  const close = ({ open }: ReturnType<typeof daemon>, count: number): void => {
    for (let number = 0; number < count; number++) {
      open(`${number}`.padStart(8, "0")).send({ type: "close" });
    }
  };

  it("is bounded in finished connections: the oldest go", () => {
    const world = daemon({ connections: 3 });
    world.recorder.traces.watch(true);
    close(world, 5);
    expect(world.recorder.traces.rows().map(({ id }) => id)).toEqual(["00000002", "00000003", "00000004"]);
    expect(world.recorder.traces.takeChanges().forgotten).toEqual(["00000000", "00000001"]);
  });

  it("is bounded in bytes", () => {
    const bytes = 20_000;
    const world = daemon({ bytes });
    close(world, 200);
    const kept = world.recorder.traces.rows().map(({ id }) => JSON.stringify(world.traceOf(id)).length);
    expect(kept.length).toBeGreaterThan(5);
    expect(kept.reduce((sum, each) => sum + each)).toBeLessThan(bytes * 2);
  });

  it("is bounded for one connection that goes on and on", () => {
    const { open, traceOf, recorder } = daemon({ bytes: 100_000 });
    const connection = open(ID);
    for (let count = 0; count < 5_000; count++) connection.send({ type: "go" });
    expect(recorder.traces.find(ID)?.lines.bytes).toBeLessThan(100_000);
    expect(traceOf(ID).dropped).toBeGreaterThan(4_000);
    expect(traceOf(ID).lines[1]).toMatchObject({ event: { type: "xstate.init" } });
  });
});

describe("counts", () => {
  it("have every state that was entered and every transition that was taken", async () => {
    const { open, recorder } = daemon();
    const connection = open(ID);
    connection.send({ type: "go" });
    await waitFor(connection, (snapshot) => snapshot.matches("settled"));
    expect(recorder.visits().connection).toEqual({
      states: {
        connection: 1,
        "connection.entering": 1,
        "connection.looking": 1,
        "connection.passing": 1,
        "connection.settled": 1,
      },
      transitions: {
        "connection.entering|go|0": 1,
        "connection.looking|xstate.done.actor.0.connection.looking|0": 1,
        "connection.passing|always|0": 1,
      },
    });
    expect(recorder.statistics().slowest).toMatchObject([{ state: "connection.looking", count: 1 }]);
  });

  it("have the time for a source that was stopped before it answered, and none for what may take its time", () => {
    const recorder = new Recorder({ connections: 1000, bytes: 10_000_000 });
    const never = fromPromise(() => new Promise<never>(() => {}));
    const machine = setup({ actors: { never } }).createMachine({
      id: "connection",
      initial: "checking",
      states: {
        checking: { invoke: { src: "never" }, on: { stop: "asking" } },
        asking: { tags: UNTIMED, invoke: { src: "never" }, on: { stop: "over" } },
        over: { type: "final" },
      },
    });
    const actor = createActor(machine, { id: ID, inspect: recorder.observe }).start();
    actor.send({ type: "stop" });
    actor.send({ type: "stop" });
    expect(recorder.statistics().slowest).toMatchObject([{ state: "connection.checking", count: 1 }]);
  });
});
