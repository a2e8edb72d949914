/** Which principals may have which user names: by the default rule, and by those of the Kerberos configuration. */
import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Daemon } from "../support/daemon.ts";
import { GssapiClient, KERBEROS } from "../support/gssapi-client.ts";
import { type GssapiInitiator, gssapiInitiator } from "../support/gssapi-initiator.ts";
import { type Kdc, PARTNER, REALM, startKdc } from "../support/kdc.ts";
import { fileTemporaryDirectory } from "../support/temporary.ts";
import { kerberosAuth, kerberosDaemon } from "./world.ts";

const FOREIGN = `user1@${PARTNER}`;
/** One component with an at sign in it, which looks like somebody of the other realm. */
const ESCAPED = `user1\\@${PARTNER}`;

const RULES = [
  "auth_to_local = RULE:[2:$1/$2](user1/admin)s/.*/root/",
  `auth_to_local = RULE:[1:$1@$0](.*@${PARTNER.replace(".", "\\.")})s/@.*/-partner/`,
  "auth_to_local = DEFAULT",
];

let kdc: Kdc;
const initiators = new Map<string, GssapiInitiator>();

beforeAll(async () => {
  const names = ["user1", "User1", "user1/admin", FOREIGN, ESCAPED];
  kdc = await startKdc({ users: Object.fromEntries(names.map((name) => [name, "secret"])) });
  for (const name of names) initiators.set(name, gssapiInitiator(await kdc.kinit(name)));
});

afterAll(async () => {
  for (const initiator of initiators.values()) await initiator[Symbol.asyncDispose]();
  await kdc[Symbol.asyncDispose]();
});

/** Whether a principal may have a user name. */
const mayHave = async (daemon: Daemon, principal: string, username: string): Promise<boolean> => {
  const initiator = initiators.get(principal);
  if (initiator === undefined) throw new Error(`${principal} has no ticket`);
  const client = await GssapiClient.to(daemon, username);
  await client.request(KERBEROS);
  const word = await client.token(await initiator.begin());
  if (word.kind !== "token") throw new Error(`the token of ${principal} was not accepted`);
  await initiator.step(word.bytes);
  const answer = await client.mic(await initiator.sign(client.signedData()));
  return answer.kind === "success";
};

describe("by the default rule", () => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await kerberosDaemon(kerberosAuth(kdc));
  });
  afterAll(() => daemon[Symbol.asyncDispose]());

  it.each([
    ["user1", "user1"],
    ["User1", "User1"],
  ])("%s is %s", async (principal, username) => {
    expect(await mayHave(daemon, principal, username)).toBe(true);
    await daemon.log.next("SSH_HANDSHAKE_SUCCESSFUL", { username, authenticatedUsername: username });
  });

  it.each([
    ["user1", "User1"],
    ["User1", "user1"],
    ["user1", "root"],
    ["user1", `user1@${REALM}`],
  ])("%s is not %s", async (principal, username) => {
    expect(await mayHave(daemon, principal, username)).toBe(false);
    await daemon.log.next("KRB_USERNAME_DOES_NOT_MATCH", { username, authenticatedUsername: principal });
  });

  it.each([
    ["an instance", "user1/admin", "user1"],
    ["an instance", "user1/admin", "user1/admin"],
    ["a foreign realm", FOREIGN, "user1"],
    ["a foreign realm", FOREIGN, FOREIGN],
    ["an escaped character", ESCAPED, FOREIGN],
    ["an escaped character", ESCAPED, "user1"],
  ])("a principal with %s is nobody: %s is not %s", async (_, principal, username) => {
    expect(await mayHave(daemon, principal, username)).toBe(false);
    await daemon.log.next(
      "KRB_USERNAME_DOES_NOT_MATCH",
      ({ message, details }) => message.startsWith("No rule") && details.username === username,
    );
  });
});

describe("without enforced user names", () => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await kerberosDaemon(kerberosAuth(kdc, { enforceUsername: false }));
  });
  afterAll(() => daemon[Symbol.asyncDispose]());

  it.each([
    ["user1", "user1"],
    ["user1/admin", `user1/admin@${REALM}`],
    [FOREIGN, FOREIGN],
  ])("%s may be root, and is called %s", async (principal, authenticatedUsername) => {
    expect(await mayHave(daemon, principal, "root")).toBe(true);
    await daemon.log.next("SSH_HANDSHAKE_SUCCESSFUL", { username: "root", authenticatedUsername });
  });

  it("a principal that looks like another one is nobody", async () => {
    expect(await mayHave(daemon, ESCAPED, "root")).toBe(false);
    await daemon.log.next("KRB_USERNAME_DOES_NOT_MATCH", { principal: `${ESCAPED}@${REALM}` });
  });
});

describe("by auth_to_local of the configuration", () => {
  let daemon: Daemon;
  beforeAll(async () => {
    const configPath = `${await fileTemporaryDirectory()}/krb5.conf`;
    const text = await readFile(kdc.configPath, "utf8");
    const rules = RULES.map((line) => `    ${line}\n`).join("");
    await writeFile(configPath, text.replace(`  ${REALM} = {\n`, `  ${REALM} = {\n${rules}`));
    daemon = await kerberosDaemon(kerberosAuth({ ...kdc, configPath }));
  });
  afterAll(() => daemon[Symbol.asyncDispose]());

  it.each([
    ["user1", "user1", true],
    ["user1/admin", "root", true],
    ["user1/admin", "user1", false],
    [FOREIGN, "user1-partner", true],
    [FOREIGN, "user1", false],
    [ESCAPED, "user1-partner", false],
  ])("%s as %s: %s", async (principal, username, isIn) => {
    expect(await mayHave(daemon, principal, username)).toBe(isIn);
  });
});
