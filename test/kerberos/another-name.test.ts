/** Whoever proves to be one user and asks for another's name is refused, and authorization sees it, whatever it says. */
import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Result } from "../support/command.ts";
import type { Daemon } from "../support/daemon.ts";
import { type Kdc, REALM, startKdc, type Tickets } from "../support/kdc.ts";
import { freePort } from "../support/ports.ts";
import { fileTemporaryDirectory } from "../support/temporary.ts";
import { answer, type Behaviour, openWebhookServer, type WebhookServer } from "../support/webhook-server.ts";
import { kerberosAuth, kerberosDaemon, ssh } from "./world.ts";

const PASSWORD = "secret";
/** How long the daemon asks a webhook that says nothing, where it has to know. */
const AUTH_TIMEOUT_SECONDS = 60;

let kdc: Kdc;
let tickets: Tickets;
let configPath: string;
let webhook: WebhookServer & AsyncDisposable;
let behave: Behaviour;

beforeAll(async () => {
  kdc = await startKdc({ users: { user1: PASSWORD, alias: PASSWORD } });
  tickets = await kdc.kinit("user1");
  configPath = `${await fileTemporaryDirectory()}/krb5.conf`;
  const rules = "    auth_to_local = RULE:[1:$1](alias)s/.*/user1/\n    auth_to_local = DEFAULT\n";
  const text = await readFile(kdc.configPath, "utf8");
  await writeFile(configPath, text.replace(`  ${REALM} = {\n`, `  ${REALM} = {\n${rules}`));
  webhook = await openWebhookServer((...exchange) => behave(...exchange));
});
afterAll(async () => {
  await webhook[Symbol.asyncDispose]();
  await kdc[Symbol.asyncDispose]();
});

const authorizedBy = (url: string): Promise<Daemon> =>
  kerberosDaemon({
    ...kerberosAuth({ ...kdc, configPath }),
    authz: { method: "webhook", webhook: { url, authTimeout: `${AUTH_TIMEOUT_SECONDS}s` } },
  });

const expectRefusal = async (result: Result, daemon: Daemon, username: string): Promise<void> => {
  expect(result).toMatchObject({ code: 255, stdout: "" });
  expect(result.stderr).toContain("The user name of your SSH client is not that of your Kerberos principal.");
  expect(await daemon.log.next("KRB_USERNAME_DOES_NOT_MATCH", { username })).toMatchObject({
    level: "notice",
    details: { authenticatedUsername: "user1" },
  });
};

describe("with authorization that can be asked", () => {
  let daemon: Daemon;
  beforeAll(async () => {
    daemon = await authorizedBy(webhook.url);
  });
  afterAll(async () => {
    expect(daemon.log.all("SSH_HANDSHAKE_SUCCESSFUL")).toEqual([]);
    await daemon[Symbol.asyncDispose]();
  });

  describe.each([
    ["a ticket", "root", undefined],
    ["a password", "alias", PASSWORD],
  ])("by %s", (_, username, password) => {
    it.each<readonly [string, Behaviour]>([
      ["yes", answer({ success: true })],
      ["no", answer({ success: false })],
      ["what is no answer", answer({ success: true }, 500)],
      ["nothing", () => {}],
    ])("it sees both names, and may say %s", async (_says, behaviour) => {
      behave = behaviour;
      const asked = webhook.asked.length;
      const login = { username, ...(password !== undefined && { password }) };
      const result = await ssh(daemon, login, "echo never", { tickets });
      await expectRefusal(result, daemon, username);
      const names = { username, authenticatedUsername: "user1" };
      expect(webhook.asked[asked]).toMatchObject({ path: "/authz", body: names });
    });
  });

  it("what it says is in the log", async () => {
    behave = answer({ success: false });
    await ssh(daemon, { username: "root" }, "echo never", { tickets });
    const sentence = "About a login that is refused anyway: Authorization failed";
    await daemon.log.any("AUTHZ_FAILED", ({ message }) => message === sentence);
    behave = answer({ success: true }, 500);
    await ssh(daemon, { username: "root" }, "echo never", { tickets });
    const gaveUp = ({ level, message }: { level: string; message: string }) =>
      level === "error" && message.includes("giving up");
    await daemon.log.any("AUTH_BACKEND_ERROR", gaveUp);
  });
});

it("authorization that cannot be reached keeps nobody waiting", async () => {
  await using daemon = await authorizedBy(`http://127.0.0.1:${await freePort()}`);
  const began = performance.now();
  const result = await ssh(daemon, { username: "root" }, "echo never", { tickets });
  expect((performance.now() - began) / 1000).toBeLessThan(AUTH_TIMEOUT_SECONDS / 3);
  await expectRefusal(result, daemon, "root");
  expect((await daemon.log.next("AUTH_BACKEND_ERROR", { providedUsername: "root" })).level).toBe("debug");
});

it("without authorization the refusal is the same", async () => {
  await using daemon = await kerberosDaemon(kerberosAuth({ ...kdc, configPath }));
  const result = await ssh(daemon, { username: "root" }, "echo never", { tickets });
  await expectRefusal(result, daemon, "root");
});
