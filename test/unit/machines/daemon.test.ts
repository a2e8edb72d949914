/** What the daemon makes of an actor that breaks, which only a bug of ours can bring about. */
import { describe, expect, it } from "vitest";
import { createActor, type EventObject, fromCallback, toPromise } from "xstate";
import type { ConnectionEvent } from "../../../machines/connection-facts.ts";
import { type DaemonInput, daemonMachine } from "../../../machines/daemon.ts";
import type { LogLine } from "../../../machines/facts.ts";
import { type ServiceEvent, type ServiceInput, serviceMachine } from "../../../machines/service.ts";

const ignore = (): void => {};

const input: DaemonInput = {
  services: ["health"],
  lastServices: [],
  startups: { start: 10, ratePercent: 100, full: 10 },
  drainMillis: 60_000,
  connection: {
    methods: ["password"],
    kerberosMethods: [],
    attemptLimit: 6,
    authorizes: false,
    loginGraceMillis: 60_000,
    interactiveGraceMillis: 60_000,
    closeTimeoutMillis: 60_000,
    releaseTimeoutMillis: 60_000,
  },
};

const runs = fromCallback<EventObject, ServiceInput>(({ sendBack }) =>
  sendBack({ type: "service.ready", address: "" } satisfies ServiceEvent),
);
const breaks = fromCallback<EventObject, ServiceInput>(() => {
  throw new Error("a bug");
});

/** Its connections have no log, and break with their first line. */
const start = (run: typeof runs) => {
  const logged: LogLine[] = [];
  const abandoned: string[] = [];
  const daemon = createActor(
    daemonMachine.provide({
      actors: { service: serviceMachine.provide({ actors: { run } }) },
      actions: {
        log: (_, { line }) => void logged.push(line),
        admit: ignore,
        turnAway: ignore,
        abandon: (_, { connectionId }) => void abandoned.push(connectionId),
      },
    }),
    { input },
  );
  return { daemon: daemon.start(), logged, abandoned };
};

describe("the daemon", () => {
  it("outlives a connection that breaks, gives back what it held, and says so", () => {
    const { daemon, logged, abandoned } = start(runs);
    for (const connectionId of ["c1", "c2"])
      daemon.send({ type: "connection.offered", connectionId, remoteAddress: "127.0.0.1:1", lot: 1 });
    daemon.getSnapshot().children.c1?.send({
      type: "handshake.completed",
      clientVersion: "",
      algorithms: "",
    } satisfies ConnectionEvent);
    expect(daemon.getSnapshot().value).toBe("running");
    expect(daemon.getSnapshot().context.connections).toEqual(["c2"]);
    expect(daemon.getSnapshot().context.unauthenticated).toEqual(["c2"]);
    expect(abandoned).toEqual(["c1"]);
    expect(logged.at(-1)).toMatchObject({
      level: "error",
      code: "UNKNOWN_ERROR",
      message: 'Error: the action "log" was not provided',
      details: { connectionId: "c1" },
    });
  });

  it("does not go on without a service whose actor breaks", async () => {
    const { daemon, logged } = start(breaks);
    const { refusal } = await toPromise(daemon);
    expect(refusal).toMatchObject({ code: "UNKNOWN_ERROR", message: "Error: a bug" });
    expect(daemon.getSnapshot().value).toBe("failed");
    expect(logged).toMatchObject([{ level: "crit", code: "SERVICE_CRASHED", message: "Error: a bug" }]);
  });
});
