/** What the daemon hears of its connections, and that the end of one touches no other. */
import { expect, test } from "vitest";
import { createActor, fromPromise, setup } from "xstate";
import { authenticationMachine } from "../../machines/authentication.ts";
import { connectionMachine } from "../../machines/connection.ts";
import type { ConnectionEvent } from "../../machines/connection-facts.ts";
import type { ConnectionReport, ConnectionsCommand } from "../../machines/daemon-facts.ts";
import type { Identity, Settings } from "../../machines/facts.ts";
import { connectionSupervisor } from "../../src/connection-supervisor.ts";
import { connectionDefaults, identityOf, passwordOf } from "./machines/values.ts";

const handshake: ConnectionEvent = { type: "handshake.completed", clientVersion: "", algorithms: "" };
const request: ConnectionEvent = {
  type: "authentication.requested",
  username: "jane",
  method: "password",
  credential: passwordOf("secret"),
};
const ignore = (): void => {};

const supervise = () => {
  const reports: string[] = [];
  const said: string[] = [];
  const abandoned: string[] = [];
  const ways = new Map<string, (event: ConnectionEvent) => void>();
  const bug = { isIn: "" };
  const log = (_: unknown, { connectionId }: { connectionId: string }): void => {
    if (connectionId === bug.isIn) throw new Error("a bug");
  };
  const authentication = authenticationMachine.provide({
    actors: { checkPassword: fromPromise(async (): Promise<Identity> => identityOf("jane")) },
    actions: { log, answerSuccess: ignore, answerFailure: ignore, showBanner: ignore },
  });
  const connection = connectionMachine.provide({
    actors: {
      authentication,
      configure: fromPromise(async () => ({
        identity: identityOf("jane"),
        settings: { backend: "none" } as unknown as Settings,
      })),
      release: fromPromise(async () => {}),
    },
    actions: { log, disconnect: (_, { connectionId, text }) => void said.push(`${connectionId}: ${text}`) },
  });
  const connections = connectionSupervisor({
    connection,
    opened: (connectionId, tell) => ways.set(connectionId, tell),
    abandon: (connectionId) => void abandoned.push(connectionId),
    inspect: undefined,
  });
  const waiting: (() => void)[] = [];
  const root = createActor(
    setup({
      types: { events: {} as ConnectionReport },
      actors: { connections },
    }).createMachine({
      invoke: { id: "connections", src: "connections", input: connectionDefaults },
      on: {
        "*": {
          actions: ({ event }) => {
            if ("connectionId" in event) reports.push(`${event.type} ${event.connectionId}`);
            for (const look of waiting.splice(0)) look();
          },
        },
      },
    }),
  ).start();
  const command = (each: ConnectionsCommand): void => root.getSnapshot().children.connections?.send(each);
  const begin = (connectionId: string): ((event: ConnectionEvent) => void) => {
    command({ type: "connection.begun", connectionId, remoteAddress: "127.0.0.1:1" });
    return (event) => ways.get(connectionId)?.(event);
  };
  const heard = async (report: string): Promise<void> => {
    while (!reports.includes(report)) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  return { root, command, begin, heard, reports, said, abandoned, bug };
};

test("a login and an end are told once each", async () => {
  const { begin, heard, reports, abandoned } = supervise();
  const tell = begin("one");
  tell(handshake);
  tell(request);
  await heard("connection.admitted one");
  tell({ type: "peer.disconnected" });
  await heard("connection.ended one");
  tell({ type: "peer.disconnected" });
  expect(reports).toEqual(["connection.admitted one", "connection.ended one"]);
  expect(abandoned).toEqual(["one"]);
});

test("one that throws ends alone, and gives back what it held", async () => {
  const { begin, heard, reports, abandoned, bug } = supervise();
  const other = begin("other");
  const broken = begin("broken");
  bug.isIn = "broken";
  broken(handshake);
  expect(reports).toEqual(["connection.crashed broken"]);
  expect(abandoned).toEqual(["broken"]);
  other(handshake);
  other(request);
  await heard("connection.admitted other");
});

test("all are told to drain or to end, and those that are left are stopped with the daemon", async () => {
  const { root, begin, command, heard, said, reports, abandoned } = supervise();
  for (const connectionId of ["one", "two"]) begin(connectionId);
  command({ type: "drain.requested", notice: "" });
  await heard("connection.ended two");
  expect(said).toEqual([
    "one: The server is shutting down. Please connect again in a moment.",
    "two: The server is shutting down. Please connect again in a moment.",
  ]);
  const tell = begin("three");
  root.stop();
  tell(handshake);
  expect(reports).toEqual(["connection.ended one", "connection.ended two"]);
  // What a stopped daemon's connections hold is given back by whoever stopped it.
  expect(abandoned).toEqual(["one", "two"]);
});
