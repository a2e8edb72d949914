/** Sessions beside each other, and what is left when a client goes away. */
import { describe, expect, it } from "vitest";
import { transcriptOf } from "../command.ts";
import { nodeClient } from "../node-client.ts";
import { eventually, processesWith } from "../resources.ts";
import { idling, marker, type Subject } from "./subject.ts";

export const connections = ({ ssh, target, options }: Subject): void => {
  const gone = (mark: string) =>
    eventually(async () => (await processesWith(mark)).length === 0, `no process with ${mark} is left`);

  describe("sessions", () => {
    it("of one connection run beside each other, each with its own streams and status", async () => {
      await using client = await ssh().multiplexed();
      const results = await Promise.all(
        [1, 2, 3, 4, 5].map((n) => client.run(`cat; echo err ${n} >&2; exit ${n}`, { stdin: `in ${n}` })),
      );
      expect(results.map(({ stdout, stderr, code }) => [stdout, stderr, code])).toEqual(
        [1, 2, 3, 4, 5].map((n) => [`in ${n}`, `err ${n}\n`, n]),
      );
    });

    it("of several connections run beside each other", async () => {
      const results = await Promise.all([1, 2, 3, 4].map((n) => ssh().run(`echo ${n}; exit ${n}`)));
      expect(results.map(({ stdout, code }) => [stdout, code])).toEqual(
        [1, 2, 3, 4].map((n) => [`${n}\n`, n]),
      );
    });

    it("end alone: when one is closed its program goes, and another one of the connection goes on", async () => {
      const mark = marker();
      await using client = await nodeClient(target());
      const staying = await client.exec("cat; exit 3");
      // Some servers let a program live on that has no terminal to hang up.
      const leaving = await client.exec(idling(mark), { terminal: !options.hangsUpWithoutTerminal });
      await transcriptOf(leaving.channel).waitFor("started");
      expect(await processesWith(mark)).not.toEqual([]);
      leaving.channel.close();
      await gone(mark);
      const output = transcriptOf(staying.channel);
      staying.stderr.resume();
      staying.channel.end("still here");
      await output.waitFor("still here");
      expect(await staying.exit).toEqual({ status: 3, signal: undefined });
    });
  });

  describe("a client that disappears", () => {
    it("leaves no program in a terminal behind", async () => {
      const mark = marker();
      await using terminal = ssh().terminal(idling(mark));
      await terminal.waitFor("started");
      expect(await processesWith(mark)).not.toEqual([]);
      terminal.kill("SIGKILL");
      await gone(mark);
    });

    it("leaves no program that reads behind", async () => {
      const mark = marker();
      await using program = ssh().start(`sh -c 'echo started; cat' ${mark}`);
      await transcriptOf(program.stdout).waitFor("started");
      program.kill("SIGKILL");
      await gone(mark);
    });

    if (options.hangsUpWithoutTerminal) {
      it("leaves no program that neither reads nor writes behind", async () => {
        const mark = marker();
        await using program = ssh().start(idling(mark));
        await transcriptOf(program.stdout).waitFor("started");
        expect(await processesWith(mark)).not.toEqual([]);
        program.kill("SIGKILL");
        await gone(mark);
      });
    }
  });
};
