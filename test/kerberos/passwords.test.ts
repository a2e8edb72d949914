/** What becomes of a password when the KDC says no, is another one, is slow, or says nothing. */
import { readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Message } from "../../src/ssh/wire.ts";
import { must } from "../support/command.ts";
import type { Daemon } from "../support/daemon.ts";
import { GssapiClient, KERBEROS } from "../support/gssapi-client.ts";
import { type GssapiInitiator, gssapiInitiator } from "../support/gssapi-initiator.ts";
import { type Kdc, PARTNER, REALM, SERVICE, startKdc, type Tickets } from "../support/kdc.ts";
import { type SlowKdc, slowKdc } from "../support/slow-kdc.ts";
import { fileTemporaryDirectory } from "../support/temporary.ts";
import { WireClient } from "../support/wire-client.ts";
import { kerberosAuth, kerberosDaemon, ssh } from "./world.ts";

const PASSWORD = "secret-of-user1";
const LOGINS = 50;
const KDC_DELAY_MILLIS = 2000;
const ECHO_MILLIS = 50;

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

describe("with a slow KDC", () => {
  let kdc: Kdc;
  let late: SlowKdc;
  let silent: SlowKdc;
  let daemon: Daemon;
  let patient: Daemon;
  let patience: ReturnType<typeof ssh>;

  /** The same KDC for somebody who finds it at another port. */
  const configurationWith = async (folder: string, { port }: SlowKdc): Promise<string> => {
    const file = `${folder}/krb5-${port}.conf`;
    const text = await readFile(kdc.configPath, "utf8");
    await writeFile(file, text.replace(`127.0.0.1:${kdc.ports[REALM]}`, `127.0.0.1:${port}`));
    return file;
  };

  beforeAll(async () => {
    kdc = await startKdc({ users: { user1: PASSWORD, [`user1@${PARTNER}`]: PASSWORD } });
    late = await slowKdc(kdc.ports[REALM], KDC_DELAY_MILLIS);
    silent = await slowKdc(kdc.ports[REALM], Number.POSITIVE_INFINITY);
    const folder = await fileTemporaryDirectory();
    const auth = async (slow: SlowKdc) =>
      kerberosAuth(
        { keytab: kdc.keytab, configPath: await configurationWith(folder, slow) },
        { credentialCachePath: `${folder}/user1/krb5cc` },
      );
    // What a sandbox takes to be furnished is not what is measured.
    daemon = await kerberosDaemon(await auth(late), {
      process: { isolation: "none", home: `${folder}/%u` },
    });
    patient = await kerberosDaemon(await auth(silent));
    // This takes a while: it goes on behind the other tests.
    patience = ssh(patient, { username: "user1", password: PASSWORD }, "echo never");
  });

  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    await patient[Symbol.asyncDispose]();
    await late[Symbol.asyncDispose]();
    await silent[Symbol.asyncDispose]();
    await kdc[Symbol.asyncDispose]();
  });

  /** Logs in with a ticket, which asks no KDC. */
  const byTicket = async (client: GssapiClient, initiator: GssapiInitiator): Promise<void> => {
    await client.request(KERBEROS);
    const word = await client.token(await initiator.begin());
    await initiator.step(word.kind === "token" ? word.bytes : Buffer.alloc(0));
    const last = await client.mic(await initiator.sign(client.signedData()));
    expect(last).toEqual({ kind: "success" });
  };

  /** A terminal in which a program echoes what is typed. */
  const terminal = async (client: WireClient): Promise<number> => {
    const channel = await client.openSession();
    const size = [80, 24, 0, 0].map((uint32) => ({ uint32 }));
    await client.request(channel, "pty-req", "xterm", ...size, Buffer.of(0));
    await client.request(channel, "exec", "cat");
    return channel;
  };

  /** Types a key and waits for its echo, in milliseconds, until told to stop. */
  const echoes = async (client: WireClient, channel: number, until: () => boolean): Promise<number[]> => {
    const samples: number[] = [];
    while (!until()) {
      const typed = performance.now();
      client.send(Message.CHANNEL_DATA, { uint32: channel }, "x");
      await client.next(Message.CHANNEL_DATA);
      samples.push(performance.now() - typed);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return samples.sort((one, other) => one - other);
  };

  const at = (samples: readonly number[], part: number): number =>
    samples[Math.floor((samples.length - 1) * part)] ?? Number.NaN;

  it("fifty logins wait, and a session's echo does not; nor does a login with a ticket", async () => {
    await using initiator = gssapiInitiator(await kdc.kinit("user1"));
    const [session, control] = [
      await GssapiClient.to(daemon, "user1"),
      await GssapiClient.to(patient, "user1"),
    ];
    await byTicket(session, initiator);
    await byTicket(control, initiator);
    const channels = [await terminal(session.wire), await terminal(control.wire)] as const;
    const waiting = await Promise.all(Array.from({ length: LOGINS }, () => connected(daemon)));
    const ticketHolder = await GssapiClient.to(daemon, "user1");

    const began = performance.now();
    let answered = 0;
    const logins = waiting.map(async (client) => {
      const isIn = await tryPassword(client, "user1", PASSWORD);
      answered += 1;
      return isIn;
    });
    const isOver = () => answered === LOGINS;
    const measured = Promise.all([
      echoes(session.wire, channels[0], isOver),
      // Another daemon, which nobody logs into: what the machine does to both is not Berth's doing.
      echoes(control.wire, channels[1], isOver),
    ]);

    await byTicket(ticketHolder, initiator);
    expect(answered).toBe(0);

    expect(await Promise.all(logins)).toEqual(Array(LOGINS).fill(true));
    const seconds = (performance.now() - began) / 1000;
    const [samples, quiet] = await measured;
    const told = (of: readonly number[]) =>
      [0.5, 0.9, 1].map((part) => `${at(of, part).toFixed(1)} ms`).join(", ");
    console.log(
      `${LOGINS} logins in ${seconds.toFixed(1)} s. Echo (median, 90 %, longest): ${told(samples)}; of another daemon: ${told(quiet)}`,
    );
    // They wait side by side: the KDC is asked twice for each, and takes 2 s each time.
    expect(seconds).toBeGreaterThan(4);
    expect(seconds).toBeLessThan(20);
    expect(samples.length).toBeGreaterThan(30);
    expect(at(samples, 0.5)).toBeLessThan(ECHO_MILLIS + at(quiet, 0.5));
  });

  it("that never answers is given up, and told from one that is not there", async () => {
    const result = await patience;
    expect(result).toMatchObject({ code: 255, stdout: "" });
    expect(result.stderr).toContain("Your login can't be checked at this time.");
    expect(silent.asked()).toBeGreaterThan(0);
    expect(await patient.log.next("KRB_BACKEND_TIMEOUT", { username: "user1" })).toMatchObject({
      level: "error",
    });
    // What still waits in the library keeps nobody from leaving.
    const asking = () => patient.log.next("AUTH", ({ message }) => message.includes("request to the KDC"));
    await asking();
    const another = ssh(patient, { username: "user1", password: PASSWORD }, "echo never");
    await asking();
    const stopped = performance.now();
    expect(await patient.stop()).toEqual({ code: 0, signal: null });
    expect(performance.now() - stopped).toBeLessThan(10_000);
    expect(await another).toMatchObject({ code: 255, stdout: "" });
  });
});
