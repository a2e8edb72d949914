/** Nothing of a Kerberos login that is secret is in what the inspector says. */
import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { base64, Eavesdropper, expectNothingOf, mark } from "../support/eavesdropper.ts";
import { inspectSection } from "../support/inspector.ts";
import { startKdc } from "../support/kdc.ts";
import { daemonForTest, kerberosAuth, ssh } from "./world.ts";

/** Keys and tickets are found in base64, three bytes at a time: where in a text they begin doesn't matter then. */
const piecesOf = (bytes: Buffer): readonly string[] =>
  [0, 1, 2].map((start) =>
    bytes.subarray(bytes.length - 33 + start, bytes.length - 3 + start).toString("base64"),
  );

it("passwords, tickets and the keytab stay out of what the inspector says", async () => {
  const password = mark("password");
  const wrong = mark("wrong-password");
  await using kdc = await startKdc({ users: { user1: password } });
  const tickets = await kdc.kinit("user1");
  const daemon = await daemonForTest(kerberosAuth(kdc), { inspect: inspectSection() });
  const eavesdropper = await Eavesdropper.at(daemon);
  expect((await ssh(daemon, { username: "user1" }, "true", { tickets })).code).toBe(0);
  expect((await ssh(daemon, { username: "user1", password }, "true")).code).toBe(0);
  expect((await ssh(daemon, { username: "user1", password: wrong }, "true")).code).toBe(255);
  for (let ended = 0; ended < 3; ended++) {
    await daemon.log.next("SSH_DISCONNECTED", ({ message }) => message === "The connection is closed");
  }
  const said = await eavesdropper.everything();
  eavesdropper.close();
  expect(said).toContain("gssapi-with-mic");
  const cache = await readFile(tickets.KRB5CCNAME.replace(/^FILE:/, ""));
  const keytab = await readFile(kdc.keytab);
  expectNothingOf([password, wrong, base64(password), ...piecesOf(cache), ...piecesOf(keytab)], said);
});
