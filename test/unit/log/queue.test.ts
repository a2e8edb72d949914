import { describe, expect, it } from "vitest";
import type { Destination, Written } from "../../../src/log/destination.ts";
import { LineQueue } from "../../../src/log/queue.ts";

/** A destination whose every write is answered by the test. */
const answered = () => {
  const asked: Array<{ lines: ReadonlyArray<string>; answer: (written: Written) => void }> = [];
  let onAsked = () => {};
  const destination: Destination = {
    description: "the test",
    write: (lines) =>
      new Promise((answer) => {
        asked.push({ lines, answer });
        onAsked();
      }),
    reopen: async () => {},
    close: async () => {},
  };
  const nextWrite = async () => {
    while (asked.length === 0) await new Promise<void>((resolve) => (onAsked = resolve));
    const write = asked.shift();
    if (write === undefined) throw new Error("unreachable");
    return write;
  };
  return { destination, nextWrite };
};

const queueTo = (destination: Destination, options: { maximumWaiting?: number } = {}) => {
  const told: string[] = [];
  const queue = new LineQueue(destination, {
    tell: (sentence) => told.push(sentence),
    lossLine: (lost, reason) => `lost ${lost}: ${reason}\n`,
    retryMillis: 1,
    ...options,
  });
  return { queue, told };
};

const broken = (lines = 0): Written => ({ lines, reason: new Error("ENOSPC: no space left on device") });

describe("a queue of lines", () => {
  it("writes in order, what came together at once", async () => {
    const { destination, nextWrite } = answered();
    const { queue } = queueTo(destination);
    queue.push("1\n");
    queue.push("2\n");
    const first = await nextWrite();
    expect(first.lines).toEqual(["1\n", "2\n"]);
    queue.push("3\n");
    first.answer({ lines: 2 });
    const second = await nextWrite();
    expect(second.lines).toEqual(["3\n"]);
    second.answer({ lines: 1 });
    await queue.flush();
  });

  it("tries lines again that were not written, and only those, and tells once", async () => {
    const { destination, nextWrite } = answered();
    const { queue, told } = queueTo(destination);
    queue.push("1\n");
    queue.push("2\n");
    (await nextWrite()).answer(broken(1));
    const second = await nextWrite();
    expect(second.lines).toEqual(["2\n"]);
    second.answer(broken());
    const third = await nextWrite();
    expect(third.lines).toEqual(["2\n"]);
    third.answer({ lines: 1 });
    await queue.flush();
    expect(told).toEqual([expect.stringContaining("ENOSPC: no space left on device")]);
  });

  it("keeps a bounded amount, tells once, and says in the log what is missing", async () => {
    const { destination, nextWrite } = answered();
    const { queue, told } = queueTo(destination, { maximumWaiting: 100 });
    const line = `${"x".repeat(9)}\n`;
    for (let pushed = 0; pushed < 10_000; pushed++) queue.push(line);
    const first = await nextWrite();
    expect(first.lines).toEqual(Array.from({ length: 10 }, () => line));
    first.answer({ lines: 10 });
    const second = await nextWrite();
    expect(second.lines).toEqual(["lost 9990: the test does not take lines fast enough\n"]);
    second.answer({ lines: 1 });
    await queue.flush();
    expect(told).toEqual(["log lines are being lost: the test does not take lines fast enough"]);
    queue.push(line);
    const third = await nextWrite();
    expect(third.lines).toEqual([line]);
    third.answer({ lines: 1 });
  });

  it("splits what waits into short writes", async () => {
    const { destination, nextWrite } = answered();
    const { queue } = queueTo(destination);
    const line = `${"x".repeat(8191)}\n`;
    for (let pushed = 0; pushed < 20; pushed++) queue.push(line);
    const sizes: number[] = [];
    while (sizes.reduce((sum, size) => sum + size, 0) < 20) {
      const write = await nextWrite();
      sizes.push(write.lines.length);
      write.answer({ lines: write.lines.length });
    }
    expect(sizes).toEqual([8, 8, 4]);
  });

  it("opens the destination again only between two writes", async () => {
    const { destination, nextWrite } = answered();
    const order: string[] = [];
    const { queue } = queueTo({ ...destination, reopen: async () => void order.push("reopened") });
    queue.push("1\n");
    const first = await nextWrite();
    const reopened = queue.reopen();
    order.push("written");
    first.answer({ lines: 1 });
    await reopened;
    expect(order).toEqual(["written", "reopened"]);
  });

  it("gives a destination that takes nothing up when it is closed, and tells how much is lost", async () => {
    const { destination, nextWrite } = answered();
    const { queue, told } = queueTo(destination);
    queue.push("1\n");
    queue.push("2\n");
    await nextWrite();
    await queue.close();
    expect(told).toEqual(["the log is closed; lines that could not be written to it: 2"]);
    queue.push("3\n");
    expect(told).toHaveLength(2);
  });
});
