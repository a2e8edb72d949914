/**
 * What every backend must do, asked by real SSH clients. The same suite passes against Debian's sshd
 * (test/e2e/sshd.test.ts), which shows that it asks for nothing special.
 *
 * @example
 * conformance("docker, mode connection", async () => {
 *   const daemon = await startDaemon({ config });
 *   return { ssh: daemon.target({ identityFile }), cleanup: () => daemon[Symbol.asyncDispose]() };
 * }, { lacks: ["sftp", "rsync"] });
 */
import { afterAll, beforeAll, describe } from "vitest";
import { connections } from "./conformance/connections.ts";
import { files } from "./conformance/files.ts";
import { programs } from "./conformance/programs.ts";
import { signals } from "./conformance/signals.ts";
import type { ConformanceOptions, Started, Subject } from "./conformance/subject.ts";
import { terminals } from "./conformance/terminals.ts";
import { transfers } from "./conformance/transfers.ts";
import { SshClient } from "./ssh.ts";

export { type ConformanceOptions, policyOfTheSuite, type Started } from "./conformance/subject.ts";

/** Registers the suite. `start` runs once, before it; its cleanup once, after it. */
export const conformance = (
  name: string,
  start: () => Promise<Started>,
  options: ConformanceOptions = {},
): void => {
  describe(`conformance: ${name}`, () => {
    let started: Started | undefined;
    let client: SshClient | undefined;
    beforeAll(async () => {
      started = await start();
      client = await SshClient.to(started.ssh);
    });
    afterAll(async () => {
      await client?.[Symbol.asyncDispose]();
      await started?.cleanup();
    });
    const subject: Subject = {
      ssh: () => there(client),
      target: () => there(started).ssh,
      options: {
        lacks: [],
        sharesFiles: true,
        acceptsEnvironment: true,
        acceptsSignals: true,
        hangsUpWithoutTerminal: true,
        concurrent: false,
        largeMegabytes: 64,
        ...options,
      },
    };
    const parts = [programs, terminals, signals, files, transfers, connections];
    describe("clients", { concurrent: subject.options.concurrent }, () => {
      for (const part of parts) part(subject);
    });
  });
};

const there = <A>(value: A | undefined): A => {
  if (value === undefined) throw new Error("the subject of the conformance suite was not started");
  return value;
};
