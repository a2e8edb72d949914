/** Many bytes, and a client that doesn't take them. */
import { randomInt } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { describe, expect, it } from "vitest";
import { bytes, digestOf } from "../bytes.ts";
import { PATIENCE_SECONDS } from "../patience.ts";
import { writtenUntilStuck } from "../resources.ts";
import type { Subject } from "./subject.ts";

/**
 * More than all buffers on the way together, windows of the protocol included. Of the kernel's, one alone may take 32 MiB
 * in where there is memory for it (tcp_rmem): there is a connection in the way of a pod's output that nobody sets up but
 * the API server.
 */
const BUFFERS_BYTES = 64_000_000;

export const transfers = ({ ssh, options }: Subject): void => {
  describe("a large transfer", () => {
    it(`of ${options.largeMegabytes} MB through cat is the same on both ways`, {
      timeout: 2000 * PATIENCE_SECONDS + 300 * options.largeMegabytes,
    }, async () => {
      const count = options.largeMegabytes * 1_000_000;
      const { stream, digest } = bytes(count);
      await using program = ssh().start("cat");
      const [received] = await Promise.all([digestOf(program.stdout), pipeline(stream, program.stdin)]);
      expect(received).toEqual({ count, digest: digest() });
      expect(await program.ending).toEqual({ code: 0, signal: null });
    });

    it("to a client that doesn't read stops the program, not the connection", async () => {
      const count = 100_000_000 + randomInt(10_000_000);
      await using client = await ssh().multiplexed();
      await using program = client.start(`head -c ${count} /dev/zero`);
      // Not reading standard output here: ssh's pipe fills, then its window, then what the server has.
      expect(await writtenUntilStuck(String(count))).toBeLessThan(BUFFERS_BYTES);
      expect((await client.run("echo meanwhile")).stdout).toBe("meanwhile\n");
      expect((await digestOf(program.stdout)).count).toBe(count);
      expect(await program.ending).toEqual({ code: 0, signal: null });
    });
  });
};
