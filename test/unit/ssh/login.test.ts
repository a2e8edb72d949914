import { expect, test } from "vitest";
import { SshClient } from "../../support/ssh.ts";
import { PASSWORD, serve } from "./scripted.ts";

test("OpenSSH's client logs in with a password and gets output, errors and an exit status", async () => {
  const server = await serve();
  await using client = await SshClient.to({ ...server, username: "jane", password: PASSWORD });
  const result = await client.run("cat; echo oops >&2; exit 3", { stdin: "hi\n" });
  expect(result).toMatchObject({ stdout: "hi\n", stderr: "oops\n", code: 3 });
});
