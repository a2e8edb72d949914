/** The question for a sign of life where it is asked so seldom that no timer waits that long. */
import { once } from "node:events";
import { setImmediate as passed } from "node:timers/promises";
import { expect, test } from "vitest";
import { ClientAlive } from "../../../src/ssh/client-alive.ts";

test("an interval of two months does not make it look at its clock all the time", async () => {
  const asked: string[] = [];
  const alive = new ClientAlive({
    intervalMillis: 60 * 24 * 60 * 60 * 1000,
    countMax: 3,
    ask: () => void asked.push("question"),
    lost: () => void asked.push("end"),
  });
  // Node.js says when a timer's time does not fit.
  const warned = once(process, "warning").then(([{ name }]) => String(name));
  alive.start();
  expect(await Promise.race([warned, passed("no warning")])).toBe("no warning");
  alive.stop();
  expect(asked).toEqual([]);
});
