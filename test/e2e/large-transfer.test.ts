/** A gigabyte through one session, there and back, and what the daemon's memory grew to meanwhile. */
import { pipeline } from "node:stream/promises";
import { expect, it } from "vitest";
import { bytes, digestOf } from "../support/bytes.ts";
import { startDaemon } from "../support/daemon.ts";
import { generateKey } from "../support/keys.ts";
import { directory, peakRssBytes } from "../support/resources.ts";
import { SshClient } from "../support/ssh.ts";
import { usersAuth } from "../support/users.ts";

const GIGABYTE = 1_000_000_000;

it("a gigabyte both ways through cat is the same and costs less than 200 MB of memory", {
  timeout: 300_000,
}, async () => {
  await using keys = await directory();
  const key = await generateKey(keys.path, "user");
  await using daemon = await startDaemon({
    config: { auth: await usersAuth({ name: "demo", keys: [key.publicKey] }), backend: "process" },
  });
  await using ssh = await SshClient.to(daemon.target({ identityFile: key.file }));
  const { stream, digest } = bytes(GIGABYTE);
  await using program = ssh.start("cat");
  const [received] = await Promise.all([digestOf(program.stdout), pipeline(stream, program.stdin)]);
  expect(received).toEqual({ count: GIGABYTE, digest: digest() });
  expect(await program.ending).toEqual({ code: 0, signal: null });
  expect(peakRssBytes(daemon.pid)).toBeLessThan(200_000_000);
});
