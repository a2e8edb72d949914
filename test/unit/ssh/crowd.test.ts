/** Many clients that log in at once. */
import { expect, it } from "vitest";
import { rawSocket } from "../../support/sockets.ts";
import { serve } from "./scripted.ts";

const CROWD = 30;
/** src/turns.ts does no more than this in one turn of the event loop, however long it had to wait. */
const MOST_PER_TURN = 8;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("a crowd that is not logged in yet is read by a few in each turn of the event loop", async () => {
  const server = await serve();
  const sockets = await Promise.all(Array.from({ length: CROWD }, () => rawSocket(server)));
  await server.connection(CROWD - 1);
  // From here on everybody's bytes are there; that they were read shows, for nonsense ends a connection.
  for (const socket of sockets) socket.write("nonsense\r\n");
  const read = () =>
    server.connections.filter(({ events }) => events.some(({ type }) => type === "peer.failed")).length;
  const perTurn: number[] = [];
  for (let before = 0; before < CROWD; before = read()) {
    await nextTurn();
    perTurn.push(read() - before);
  }
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(MOST_PER_TURN);
});
