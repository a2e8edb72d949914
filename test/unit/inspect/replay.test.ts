import { describe, expect, it } from "vitest";
import type { Line, RefusalSeen, Row, StepLine, Trace } from "../../../src/inspect/format.ts";
import { machinesAt, replayOf, standingOf, traceOfText } from "../../../src/inspect/page/replay.ts";

const refusal = (code: string): RefusalSeen => ({
  code,
  level: "notice",
  message: `${code} happened`,
  userMessage: "No.",
  details: {},
});

const actor = (id: string, machine: string, parent?: string): Line => ({
  type: "actor",
  at: 0,
  actor: id,
  name: machine,
  machine,
  ...(parent !== undefined && { parent }),
});

const step = (id: string, at: number, value: string, more: Partial<StepLine> = {}): StepLine => ({
  type: "step",
  at,
  actor: id,
  event: { type: "event" },
  moves: [{ transitions: [`${id}|${at}`], value }],
  status: "active",
  ...more,
});

const trace = (...lines: readonly Line[]): Trace => ({
  format: "berth-trace",
  version: 1,
  startedAt: 0,
  dropped: 0,
  lines,
});

const refusalsOf = (...lines: readonly Line[]): readonly number[] => {
  const { refusals, entries } = replayOf(trace(...lines));
  return refusals.map((number) => entries[number]?.at ?? -1);
};

const actors = [actor("c", "connection"), actor("d", "docker", "c"), actor("s", "session", "c")];

describe("the step that refused", () => {
  it("is the first that had the reason, not the one in which the user was told", () => {
    expect(
      refusalsOf(
        ...actors,
        step("d", 1, "refused", { refusal: refusal("DOCKER") }),
        step("c", 2, "refusing", { refusal: refusal("DOCKER") }),
        step("s", 3, "finishing", { refusal: refusal("DOCKER"), told: true }),
        // The disconnect says it once more.
        step("c", 4, "closing", { told: true }),
      ),
    ).toEqual([1]);
  });

  it("is one for each attempt, also when the reason is the same", () => {
    expect(
      refusalsOf(
        ...actors,
        step("c", 1, "failing", { refusal: refusal("AUTH"), told: true }),
        step("c", 2, "awaiting"),
        step("c", 3, "failing", { refusal: refusal("AUTH"), told: true }),
      ),
    ).toEqual([1, 3]);
  });

  it("is none where nobody was told", () => {
    expect(refusalsOf(...actors, step("c", 1, "failing", { refusal: refusal("AUTH") }))).toEqual([]);
  });

  it("is the last reason where nobody was told, and the client went away without a login", () => {
    const lines = [
      ...actors,
      step("c", 1, "failing", { refusal: refusal("ONE") }),
      step("c", 2, "failing", { refusal: refusal("TWO") }),
      step("c", 3, "closing"),
    ];
    const refusalOf = (connection: Partial<Row>) => {
      const { refusals, entries } = replayOf({ ...trace(...lines), connection: connection as Row });
      return refusals.map((number) => entries[number]?.at);
    };
    expect(refusalOf({ loggedIn: false, endedAt: 4 })).toEqual([2]);
    expect(refusalOf({ loggedIn: false })).toEqual([]);
    expect(refusalOf({ loggedIn: true, endedAt: 4 })).toEqual([]);
  });
});

describe("a moment of the replay", () => {
  const replay = replayOf(
    trace(
      ...actors,
      step("c", 1, "entering"),
      step("d", 2, "pulling"),
      step("c", 3, "serving", { moves: [{ transitions: ["a", "b"], value: { serving: "open" } }] }),
    ),
  );
  const [connection] = replay.roots;
  if (connection === undefined) throw new Error("there is no root");

  it("has the active states, those around them, and the path until then", () => {
    expect(standingOf(replay, connection, 0)).toMatchObject({
      active: new Set(["connection", "connection.entering"]),
      taken: new Set(["c|1"]),
    });
    expect(standingOf(replay, connection, 2)).toMatchObject({
      active: new Set(["connection", "connection.serving", "connection.serving.open"]),
      taken: new Set(["c|1", "a", "b"]),
      last: new Set(["a", "b"]),
    });
  });

  it("has the machines that have begun", () => {
    expect(machinesAt(replay, 0).map(({ machine }) => machine)).toEqual(["connection"]);
    expect(machinesAt(replay, 1).map(({ machine }) => machine)).toEqual(["connection", "docker"]);
  });

  it("knows how long each state lasted", () => {
    expect(replay.entries[0]).toMatchObject({ kind: "step", spent: 2 });
    expect(replay.entries[2]).toMatchObject({ kind: "step", spent: undefined });
  });
});

describe("a file", () => {
  it("is taken when it is a trace, and refused with a sentence when it is not", () => {
    expect(traceOfText(JSON.stringify(trace()))).toEqual(trace());
    expect(traceOfText("no JSON")).toBe("This file is not JSON.");
    expect(traceOfText("{}")).toContain("not a trace");
    expect(traceOfText(JSON.stringify({ ...trace(), version: 2 }))).toContain("newer version");
    expect(traceOfText(JSON.stringify({ ...trace(), lines: 3 }))).toContain("damaged");
  });
});
