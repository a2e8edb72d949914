import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { Effect } from "effect";
import { expect, it, onTestFinished } from "vitest";
import { libcOnce } from "../../../../src/backend/process/libc.ts";
import { PipeOutput } from "../../../../src/backend/process/output.ts";
import { eventually } from "../../../support/resources.ts";

const CHUNK_BYTES = 64 * 1024;
const NUMBERS = Array.from({ length: 600_000 }, (_, index) => `${index + 1}\n`).join("");

/** `seq`, which writes all of NUMBERS, and its output. */
const startCounting = async () => {
  const { read, write } = (await Effect.runPromise(libcOnce())).openPipe();
  const output = new PipeOutput(read);
  const child = spawn("seq", ["600000"], { stdio: ["ignore", write, "inherit"] });
  closeSync(write);
  onTestFinished(() => {
    child.kill();
    output.destroy();
  });
  return { output, child, exit: once(child, "exit") };
};

const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex");

it("lends the same memory again and again, but never before it was given back", async () => {
  const { output } = await startCounting();
  const hash = createHash("sha256");
  const memory = new Set<ArrayBufferLike>();
  let chunks = 0;
  const sink = new Writable({
    write: (chunk: Buffer, _, done) => {
      memory.add(chunk.buffer);
      chunks += 1;
      // Meanwhile the program writes on, and what it writes has to go elsewhere.
      setImmediate(() => {
        hash.update(chunk);
        done();
      });
    },
  });
  output.pour(sink);
  await finished(output);
  sink.end();
  await finished(sink);
  expect(hash.digest("hex")).toBe(digestOf(NUMBERS));
  expect(chunks).toBeGreaterThan(20);
  expect(memory.size).toBeLessThanOrEqual(3);
});

it("keeps the program waiting when two chunks are lent, and drops the rest when nobody is to hear it", async () => {
  const { output, child, exit } = await startCounting();
  let first: Buffer | undefined;
  const sink = new Writable({
    write: (chunk: Buffer) => {
      first = chunk;
    },
  });
  output.pour(sink);
  await eventually(async () => {
    const place = await readFile(`/proc/${child.pid}/wchan`, "utf8");
    return place.includes("pipe_write");
  }, "the program waits for its output to be taken");
  expect(sink.writableLength).toBeLessThanOrEqual(2 * CHUNK_BYTES);
  output.discard();
  await Promise.all([exit, finished(output)]);
  expect(first?.toString()).toBe(NUMBERS.slice(0, first?.length));
});
