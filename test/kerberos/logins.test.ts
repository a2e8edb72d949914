/** Logins with tickets and with passwords, by real clients against a real KDC; what others get to know of them. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Daemon } from "../support/daemon.ts";
import { type Kdc, REALM, startKdc, type Tickets } from "../support/kdc.ts";
import { plink } from "../support/other-clients.ts";
import { processTree } from "../support/resources.ts";
import { answer, byPath, openWebhookServer, type WebhookServer } from "../support/webhook-server.ts";
import { byTicket, kerberosAuth, kerberosDaemon, paramikoByTicket, scratchOf, ssh } from "./world.ts";

const PASSWORD = "secret-of-user1";
/** Where programs find the KDC: authorization brings the file into their environment. */
const CONFIGURATION = "/tmp/krb5.conf";

let kdc: Kdc;
let webhook: WebhookServer & AsyncDisposable;
let tickets: Tickets;

const bodies = (path: string) =>
  webhook.asked.filter((asked) => asked.path === path).map(({ body }) => body as Record<string, unknown>);

beforeAll(async () => {
  kdc = await startKdc({ users: { user1: PASSWORD, root: "toor" } });
  await kdc.admin(REALM, "addprinc -randkey HTTP/other.berth.test");
  tickets = await kdc.kinit("user1");
  const configuration = await readFile(kdc.configPath);
  webhook = await openWebhookServer(
    byPath({
      "/authz": answer({
        success: true,
        metadata: { A: { value: "of authz" } },
        environment: { B: { value: "of authz" }, KRB5_CONFIG: { value: CONFIGURATION } },
        files: { [CONFIGURATION]: { value: configuration.toString("base64") } },
      }),
      "/config": answer({ config: {}, environment: { C: { value: "of the configuration server" } } }),
    }),
  );
});

afterAll(async () => {
  await webhook[Symbol.asyncDispose]();
  await kdc[Symbol.asyncDispose]();
});

const withWebhooks = (options = {}) =>
  kerberosDaemon(
    { ...kerberosAuth(kdc, options), authz: { method: "webhook", webhook: { url: webhook.url } } },
    { configserver: { url: `${webhook.url}/config` } },
  );

describe("with enforced user names", () => {
  let daemon: Daemon;
  let asked: number;

  beforeAll(async () => {
    daemon = await withWebhooks();
  });
  afterAll(() => daemon[Symbol.asyncDispose]());
  beforeEach(() => {
    asked = bodies("/authz").length;
  });
  afterEach(async () => {
    // What passed through a file is gone, whatever became of the login.
    expect(await readdir(await scratchOf(daemon))).toEqual(["krb5.conf"]);
    expect(daemon.log.text).not.toContain(PASSWORD);
  });

  it("a ticket logs in without a password, and authorization is told both names", async () => {
    const result = await ssh(daemon, { username: "user1" }, "id -un; printenv KRB5CCNAME || echo none", {
      tickets,
    });
    expect(result, result.stderr).toMatchObject({ code: 0, stdout: "user1\nnone\n" });
    expect(bodies("/authz").at(-1)).toMatchObject({ username: "user1", authenticatedUsername: "user1" });
  });

  it("without a ticket, the password is asked for and checked by the KDC", async () => {
    const login = { username: "user1", password: PASSWORD };
    const options = {
      PreferredAuthentications: "gssapi-with-mic,password",
      ...{ GSSAPIAuthentication: "yes" },
    };
    const result = await ssh(daemon, login, "klist -f", { tickets: kdc.noTickets, options });
    expect(result, result.stderr).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`user1@${REALM}`),
    });
    expect(result.stdout).toMatch(/Flags: \w*I/);
  });

  it.each([
    ["another password", { username: "user1", password: "wrong" }],
    ["another user's password", { username: "root", password: PASSWORD }],
    ["a user whom the KDC doesn't know", { username: "nobody", password: PASSWORD }],
    ["a name with a realm", { username: `user1@${REALM}`, password: PASSWORD }],
    ["a name with escapes", { username: "user1\\", password: PASSWORD }],
    ["no password", { username: "user1", password: "" }],
  ])("%s is refused", async (_, login) => {
    const result = await ssh(daemon, login, "echo never");
    expect(result).toMatchObject({ code: 255, stdout: "" });
    expect(result.stderr).toContain("Permission denied");
    await daemon.log.next("AUTH_FAILED", { username: login.username });
    expect(bodies("/authz")).toHaveLength(asked);
  });

  it("what each step learned is added to what the steps before had set", async () => {
    const command = 'echo "$B, $C, $KRB5CCNAME"; stat -c "%a %U" /tmp/krb5cc';
    const result = await ssh(daemon, { username: "user1", password: PASSWORD }, command);
    expect(result, result.stderr).toMatchObject({
      code: 0,
      stdout: "of authz, of the configuration server, FILE:/tmp/krb5cc\n600 user1\n",
    });
    const principal = { KERBEROS_PRINCIPAL: { value: `user1@${REALM}`, sensitive: false } };
    const cache = { KRB5CCNAME: { value: "FILE:/tmp/krb5cc", sensitive: false } };
    expect(bodies("/authz").at(-1)).toMatchObject({ metadata: principal, environment: cache });
    expect(bodies("/config").at(-1)).toMatchObject({
      metadata: { A: { value: "of authz" }, ...principal },
      environment: { B: { value: "of authz" }, ...cache },
    });
    // The ticket is the user's, and neither webhook's.
    expect(bodies("/authz").at(-1)?.files).toBeUndefined();
    expect(Object.keys((bodies("/config").at(-1)?.files as object) ?? {})).toEqual([CONFIGURATION]);
  });

  it("ssh -K forwards a ticket that gets tickets for other services", async () => {
    const command = "klist -f && kvno HTTP/other.berth.test";
    const options = { GSSAPIDelegateCredentials: "yes" };
    const result = await ssh(daemon, { username: "user1" }, command, { tickets, options });
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(result.stdout).toContain(`Default principal: user1@${REALM}`);
    expect(result.stdout).toContain(`krbtgt/${REALM}@${REALM}`);
    expect(result.stdout).toContain(`HTTP/other.berth.test@${REALM}: kvno = 1`);
  });

  it("the initial credentials of a password get tickets for other services", async () => {
    const command = "kvno HTTP/other.berth.test";
    const result = await ssh(daemon, { username: "user1", password: PASSWORD }, command);
    expect(result, result.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining("kvno = 1") });
  });

  it("paramiko logs in with a ticket, and forwards it", async () => {
    const result = await paramikoByTicket(daemon.target({ username: "user1" }), "klist", tickets);
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(result.stdout).toContain(`Default principal: user1@${REALM}`);
  });

  it("PuTTY's plink logs in with a ticket", async () => {
    const target = daemon.target({ host: "localhost", username: "user1" });
    const result = await plink(target, "id -un", { env: { ...tickets } });
    expect(result, result.stderr).toMatchObject({ code: 0, stdout: "user1\n" });
    expect(result.stderr).toContain("GSSAPI");
  });

  it("the library's crash ends no session and costs nobody a later login", async () => {
    const [, library] = await processTree(daemon.pid);
    await writeFile(`${await scratchOf(daemon)}/half-written`, "");
    process.kill(library ?? 0, "SIGKILL");
    await daemon.log.next("KRB_LIBRARY_FAILED", { reason: "it ended with SIGKILL" });
    const result = await ssh(daemon, { username: "user1" }, "id -un", { tickets });
    expect(result, result.stderr).toMatchObject({ code: 0, stdout: "user1\n" });
  });
});

describe("without enforced user names", () => {
  it("every user name is let in, and both names are told to everybody who decides", async () => {
    await using daemon = await withWebhooks({ enforceUsername: false });
    expect(daemon.log.all("KRB_USERNAME_NOT_ENFORCED")).toEqual([]);
    const result = await ssh(daemon, { username: "root" }, "echo in", { tickets });
    expect(result, result.stderr).toMatchObject({ code: 0, stdout: "in\n" });
    const names = { username: "root", authenticatedUsername: "user1" };
    expect(bodies("/authz").at(-1)).toMatchObject(names);
    expect(bodies("/config").at(-1)).toMatchObject(names);
    expect(await daemon.log.next("SSH_HANDSHAKE_SUCCESSFUL")).toMatchObject({ details: names });
  });

  it("the log warns at start where nobody decides", async () => {
    await using daemon = await kerberosDaemon(kerberosAuth(kdc, { enforceUsername: false }));
    const [password, gssapi, ...more] = daemon.log.all("KRB_USERNAME_NOT_ENFORCED");
    expect(password).toMatchObject({
      level: "warning",
      message: expect.stringContaining("auth.password.kerberos.enforceUsername: is off"),
    });
    expect(gssapi?.message).toContain("auth.gssapi.kerberos.enforceUsername: is off");
    expect(more).toEqual([]);
  });
});

it("each way to log in has options of its own", async () => {
  const { password, gssapi } = kerberosAuth(kdc, { credentialCachePath: "/tmp/other-cache" });
  await using daemon = await kerberosDaemon({ password, gssapi: { ...(gssapi as object), method: "" } });
  const methods = await ssh(daemon, { username: "user1" }, "true", { tickets, options: byTicket });
  expect(methods.stderr).toContain("Permission denied (password)");
  const result = await ssh(daemon, { username: "user1", password: PASSWORD }, "klist");
  expect(result.stdout, result.stderr).toContain("FILE:/tmp/other-cache");
});
