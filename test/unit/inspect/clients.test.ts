/** Pages of the inspector where there is much to tell. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { Clients } from "../../../src/inspect/clients.ts";
import type { Row, ServerMessage } from "../../../src/inspect/format.ts";
import { Recorder } from "../../../src/inspect/recorder.ts";
import { memoryLogger } from "../../support/memory-logger.ts";

/** Their rows are 10 MB as JSON: more than may wait for one client. */
const CONNECTIONS = 30_000;

const connected = async () => {
  const recorder = new Recorder({ connections: CONNECTIONS, bytes: 2 ** 30 });
  for (let number = 0; number < CONNECTIONS; number++)
    recorder.traces.begin(number.toString(16).padStart(32, "0"), `192.0.2.1:${number}`);
  const log = memoryLogger();
  const clients = new Clients({ recorder, logger: log.logger, version: "0", allowControl: false });
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  onTestFinished(() => server.close());
  server.on("connection", (socket) => clients.addPage(socket, ""));
  await once(server, "listening");
  const page = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  onTestFinished(() => page.terminate());
  const rows = new Map<string, Row>();
  const types: string[] = [];
  page.on("message", (data) => {
    const message: ServerMessage = JSON.parse(String(data));
    types.push(message.type);
    if (message.type === "changes") for (const row of message.rows) rows.set(row.id, row);
  });
  await once(page, "open");
  return { recorder, log, page, rows, types };
};

test("a page that reads is told of every connection, however many there are, and of what changes meanwhile", async () => {
  const { recorder, log, rows, types } = await connected();
  await expect.poll(() => rows.size).toBe(CONNECTIONS);
  expect(types[0]).toBe("hello");
  // All of them at once, as when the daemon drains.
  for (const { connection } of recorder.traces.live())
    if (connection !== undefined) recorder.traces.update(connection, { state: "closing" });
  const changed = () => [...rows.values()].filter(({ state }) => state === "closing").length;
  await expect.poll(changed).toBe(CONNECTIONS);
  expect(log.codes()).toEqual([]);
});

test("a page that does not read is not told more than it may keep waiting", async () => {
  const { recorder, log, page } = await connected();
  page.pause();
  const change = setInterval(() => {
    for (const { connection } of recorder.traces.live())
      if (connection !== undefined) recorder.traces.update(connection, { since: Date.now() });
  }, 100);
  onTestFinished(() => clearInterval(change));
  expect(await log.waitFor("INSPECT_TOO_SLOW")).toMatchObject({ level: "notice" });
});
