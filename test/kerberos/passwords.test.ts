/** What becomes of a password when the KDC says no, is another one, or is not there. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Message } from "../../src/ssh/wire.ts";
import { must } from "../support/command.ts";
import type { Daemon } from "../support/daemon.ts";
import { type Kdc, REALM, SERVICE, startKdc, type Tickets } from "../support/kdc.ts";
import { WireClient } from "../support/wire-client.ts";
import { kerberosAuth, kerberosDaemon, ssh } from "./world.ts";

const PASSWORD = "secret-of-user1";

/** Logs in by a password; whether that was let in. */
const tryPassword = async (client: WireClient, username: string, password: string): Promise<boolean> => {
  client.send(Message.USERAUTH_REQUEST, username, "ssh-connection", "password", false, password);
  const [answer] = await client.next(Message.USERAUTH_SUCCESS, Message.USERAUTH_FAILURE);
  return answer === Message.USERAUTH_SUCCESS;
};

const connected = async (daemon: Daemon): Promise<WireClient> => {
  const client = await WireClient.connect(daemon);
  await client.beginAuthentication();
  return client;
};

describe("with a KDC", () => {
  let kdc: Kdc;
  let daemon: Daemon;
  let tickets: Tickets;

  beforeAll(async () => {
    const users = ["user1", "careful", "late", "locked", "gone"];
    kdc = await startKdc({ users: Object.fromEntries(users.map((name) => [name, PASSWORD])) });
    await kdc.admin(
      REALM,
      "modprinc +requires_preauth careful",
      "modprinc -pwexpire yesterday late",
      "modprinc -allow_tix locked",
      "modprinc -expire yesterday gone",
    );
    tickets = await kdc.kinit("user1");
    await must("kvno", [SERVICE], { env: { ...tickets } });
    daemon = await kerberosDaemon(kerberosAuth(kdc));
  });

  afterAll(async () => {
    expect(daemon.log.text).not.toContain(PASSWORD);
    await daemon[Symbol.asyncDispose]();
    await kdc[Symbol.asyncDispose]();
  });

  it("a password lets in where preauthentication is demanded", async () => {
    const client = await connected(daemon);
    expect(await tryPassword(client, "careful", `${PASSWORD}!`)).toBe(false);
    await daemon.log.next("AUTH_FAILED", { username: "careful", method: "password" });
    expect(await tryPassword(client, "careful", PASSWORD)).toBe(true);
  });

  it.each([
    ["with a zero byte and more behind it", "user1", `${PASSWORD}\0`, "AUTH_FAILED"],
    ["of a thousand characters", "user1", PASSWORD.repeat(70), "AUTH_FAILED"],
    ["that has expired", "late", PASSWORD, "KRB_PASSWORD_EXPIRED"],
    ["of an account that is locked", "locked", PASSWORD, "KRB_ACCOUNT_UNUSABLE"],
    ["of an account that has expired", "gone", PASSWORD, "KRB_ACCOUNT_UNUSABLE"],
    ["that belongs to the server", SERVICE, PASSWORD, "AUTH_FAILED"],
  ])("a password %s is refused", async (_, username, password, code) => {
    expect(await tryPassword(await connected(daemon), username, password)).toBe(false);
    await daemon.log.next(code, { username });
  });

  it("that gave the server a new key tells so, and lets in once the keytab has it", async () => {
    const login = () => ssh(daemon, { username: "user1", password: PASSWORD }, "echo in");
    await kdc.admin(REALM, `cpw -randkey ${SERVICE}`);
    const result = await login();
    expect(result).toMatchObject({ code: 255, stdout: "" });
    expect(result.stderr).toContain("Logging in with Kerberos is not configured correctly.");
    expect(
      await daemon.log.next("KRB_KEY_MISMATCH", { username: "user1", method: "password" }),
    ).toMatchObject({
      level: "error",
      message: expect.stringContaining("kvno 3"),
    });
    await kdc.admin(REALM, `ktadd -k ${kdc.keytab} ${SERVICE}`);
    expect(await login()).toMatchObject({ code: 0, stdout: "in\n" });
  });

  it("whose clock is another's is told, and the user's own is not blamed", async () => {
    const users = { user1: PASSWORD };
    // By default the library reckons with the KDC's clock, and nothing is wrong.
    await using past = await startKdc({ users, clock: "-2h", libdefaults: ["kdc_timesync = 0"] });
    await using daemon = await kerberosDaemon(kerberosAuth(past));
    const result = await ssh(daemon, { username: "user1", password: PASSWORD }, "echo never");
    expect(result).toMatchObject({ code: 255, stdout: "" });
    expect(result.stderr).toContain("Your login can't be checked at this time.");
    expect(await daemon.log.next("KRB_CLOCK_SKEW", { username: "user1" })).toMatchObject({ level: "error" });
  });

  it("that has another database behind the same address lets nobody in", async () => {
    await kdc.kill();
    const refused = async (): Promise<void> => {
      const result = await ssh(daemon, { username: "user1", password: "chosen" }, "echo never");
      expect(result).toMatchObject({ code: 255, stdout: "" });
      expect(result.stderr).toContain("Logging in with Kerberos is not configured correctly.");
      const line = await daemon.log.next("KRB_KDC_NOT_PROVEN", { username: "user1" });
      expect(line.level).toBe("error");
    };
    await using impostor = await startKdc({ users: { user1: "chosen" }, ports: kdc.ports });
    // It gives tickets for the password of its choice, and even one for the server: by a key of its own.
    await impostor.kinit("user1");
    await refused();
    await impostor.admin(REALM, `delprinc -force ${SERVICE}`);
    await refused();
  });

  it("that is not there is told, and who has a ticket needs none", async () => {
    await kdc.kill();
    const byTicket = await ssh(daemon, { username: "user1" }, "echo in", { tickets });
    expect(byTicket, byTicket.stderr).toMatchObject({ code: 0, stdout: "in\n" });
    const result = await ssh(daemon, { username: "user1", password: PASSWORD }, "echo never");
    expect(result).toMatchObject({ code: 255, stdout: "" });
    expect(result.stderr).toContain("Your login can't be checked at this time.");
    expect(await daemon.log.next("KRB_BACKEND_ERROR", { username: "user1" })).toMatchObject({
      level: "error",
    });
  });
});
