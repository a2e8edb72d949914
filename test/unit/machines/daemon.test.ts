/** What the daemon makes of clients that come, in each of its states, and of actors of its own that break. */
import { describe, expect, it } from "vitest";
import { createActor, fromCallback } from "xstate";
import { daemonMachine } from "../../../machines/daemon.ts";
import type {
  ConnectionDefaults,
  ConnectionReport,
  ConnectionsCommand,
  DaemonInput,
} from "../../../machines/daemon-facts.ts";
import { serviceMachine } from "../../../machines/service.ts";

const ready = { type: "service.ready", address: "127.0.0.1:2222" } as const;

const start = (
  services: "start" | "hang" | "break" = "start",
  startups = { start: 1, ratePercent: 100, full: 2 },
) => {
  const commands: string[] = [];
  const turnedAway: string[] = [];
  const logged: string[] = [];
  let report: (report: ConnectionReport) => void = () => {};
  const machine = daemonMachine.provide({
    actors: {
      connections: fromCallback<ConnectionsCommand, ConnectionDefaults>(({ receive, sendBack }) => {
        report = sendBack;
        receive(({ type }) => {
          if (type === "connection.begun" && commands.length === 99) throw new Error("a bug");
          commands.push(type);
        });
      }),
      service: serviceMachine.provide({
        actors: {
          run: fromCallback(({ sendBack }) => {
            if (services === "break") throw new Error("a bug");
            if (services === "start") sendBack(ready);
          }),
        },
      }),
    },
    actions: {
      log: (_, { line }) => void logged.push(`${line.level} ${line.code}`),
      turnAway: (_, { refusal }) => void turnedAway.push(`${refusal.code}: ${refusal.userMessage}`),
    },
  });
  const input = { services: ["ssh"], lastServices: [], startups, drainMillis: 20_000 };
  const connection = { closeTimeoutMillis: 10_000, releaseTimeoutMillis: 10_000 };
  const actor = createActor(machine, { input: { ...input, connection } as unknown as DaemonInput }).start();
  let count = 0;
  const offer = (): string => {
    const connectionId = `c${++count}`;
    actor.send({ type: "connection.offered", connectionId, remoteAddress: "127.0.0.1:1", lot: 0.5 });
    return connectionId;
  };
  const standing = () => {
    const { value, context } = actor.getSnapshot();
    return [value, context.connections, context.unauthenticated];
  };
  return {
    actor,
    offer,
    standing,
    commands,
    turnedAway,
    logged,
    tell: (each: ConnectionReport) => report(each),
  };
};

describe("a client that comes", () => {
  it("while the daemon starts is told so", () => {
    const { offer, turnedAway, standing } = start("hang");
    offer();
    expect(turnedAway).toEqual([
      "SSH_STARTING_UP: The server is starting. Please connect again in a moment.",
    ]);
    expect(standing()).toEqual(["starting", 0, 0]);
  });

  it("is let in, until too many are logging in", () => {
    const { offer, turnedAway, standing, commands, tell } = start();
    const connectionId = offer();
    expect(commands).toEqual(["connection.begun"]);
    offer();
    expect(turnedAway).toEqual(["SSH_STARTUPS_EXCEEDED: Exceeded MaxStartups"]);
    expect(standing()).toEqual(["running", 1, 1]);
    tell({ type: "connection.admitted", connectionId });
    expect(standing()).toEqual(["running", 1, 0]);
    offer();
    expect(standing()).toEqual(["running", 2, 1]);
  });

  it("while the daemon drains, or ends the last connections, is told so", () => {
    const { actor, offer, turnedAway, standing, commands } = start();
    offer();
    actor.send({ type: "stop.requested" });
    offer();
    expect(standing()).toEqual(["draining", 1, 1]);
    expect(turnedAway).toEqual([
      "SSH_SHUTTING_DOWN: The server is shutting down. Please connect again in a moment.",
    ]);
    expect(commands).toEqual(["connection.begun", "drain.requested"]);
  });
});

describe("a connection that is over", () => {
  const ends = {
    "connection.ended": {},
    "connection.crashed": { error: new Error("a bug") },
  } as const;

  it.each(Object.keys(ends) as (keyof typeof ends)[])("by %s is counted once", (type) => {
    for (const wasAdmitted of [true, false]) {
      const { actor, offer, standing, tell } = start();
      const connectionId = offer();
      if (wasAdmitted) tell({ type: "connection.admitted", connectionId });
      tell({ type, connectionId, wasAdmitted, ...ends[type] } as ConnectionReport);
      expect(standing()).toEqual(["running", 0, 0]);
      actor.send({ type: "stop.requested" });
      expect(standing()).toEqual(["stopped", 0, 0]);
    }
  });

  it("by a bug of ours is logged, and the daemon goes on", () => {
    const { offer, logged, tell } = start();
    const connectionId = offer();
    tell({ type: "connection.crashed", connectionId, wasAdmitted: false, error: new Error("a bug") });
    expect(logged.at(-1)).toBe("error UNKNOWN_ERROR");
  });
});

it("does not go on without a service whose actor breaks", () => {
  const { actor, logged } = start("break");
  expect(actor.getSnapshot()).toMatchObject({
    status: "done",
    value: "failed",
    output: { refusal: { code: "UNKNOWN_ERROR", message: "Error: a bug" } },
  });
  expect(logged).toEqual(["crit SERVICE_CRASHED"]);
});

it("does not go on when the actor that looks after connections breaks", () => {
  const { actor, offer, logged, commands } = start("start", { start: 1000, ratePercent: 100, full: 1000 });
  while (commands.length < 99) offer();
  offer();
  expect(actor.getSnapshot().value).toBe("failing");
  expect(logged.at(-1)).toBe("crit SERVICE_CRASHED");
  actor.send({ type: "stop.requested" });
  expect(actor.getSnapshot()).toMatchObject({
    status: "done",
    output: { refusal: { code: "UNKNOWN_ERROR" } },
  });
});
