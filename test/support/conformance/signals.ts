/** Signals in both directions (RFC 4254 sections 6.9 and 6.10). */
import { describe, expect, it } from "vitest";
import { transcriptOf } from "../command.ts";
import { nodeClient } from "../node-client.ts";
import type { Subject } from "./subject.ts";

export const signals = ({ ssh, target, options }: Subject): void => {
  describe("a signal", () => {
    it.each(["TERM", "KILL", "USR1"])("SIG%s that ended the program arrives by its name", async (name) => {
      await using client = await nodeClient(target());
      const program = await client.exec(`kill -${name} $$`);
      program.channel.resume();
      program.stderr.resume();
      expect(await program.exit).toEqual({ status: undefined, signal: name });
    });

    it("that ended the program is no success for OpenSSH", async () => {
      expect((await ssh().run("kill -TERM $$")).code).toBe(255);
    });

    if (options.acceptsSignals) {
      it("of the client reaches the program", async () => {
        await using client = await nodeClient(target());
        const program = await client.exec(
          "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.2; done",
        );
        program.stderr.resume();
        const output = transcriptOf(program.channel);
        await output.waitFor("ready");
        program.channel.signal("TERM");
        await output.waitFor("caught");
        expect(await program.exit).toEqual({ status: 9, signal: undefined });
      });
    }
  });
};
