/** Tokens and signatures that are not what they should be: nobody gets in, and the log tells which of these it was. */
import { copyFile } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Message } from "../../src/ssh/wire.ts";
import type { Daemon } from "../support/daemon.ts";
import { GssapiClient, KERBEROS, SPNEGO, type Word } from "../support/gssapi-client.ts";
import { type GssapiInitiator, gssapiInitiator } from "../support/gssapi-initiator.ts";
import { type Kdc, REALM, SERVICE, startKdc, type Tickets } from "../support/kdc.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { daemonForTest, kerberosAuth, kerberosDaemon, ssh } from "./world.ts";

const METHODS = "gssapi-with-mic,password";

let kdc: Kdc;
let daemon: Daemon;
let tickets: Tickets;
let initiator: GssapiInitiator;

beforeAll(async () => {
  kdc = await startKdc({ users: { user1: "secret1", other: "secret2" } });
  await kdc.admin(REALM, `addprinc -randkey HTTP/web`, `ktadd -k ${kdc.keytab} HTTP/web`);
  tickets = await kdc.kinit("user1", "-f");
  initiator = gssapiInitiator(tickets);
  daemon = await kerberosDaemon(kerberosAuth(kdc));
});

afterAll(async () => {
  // After all of this the daemon still does what it is for.
  const result = await ssh(daemon, { username: "user1" }, "echo in", { tickets });
  expect(result, result.stderr).toMatchObject({ code: 0, stdout: "in\n" });
  expect(daemon.log.all("KRB_LIBRARY_FAILED")).toEqual([]);
  expect(daemon.log.all("UNKNOWN_ERROR")).toEqual([]);
  await initiator[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
  await kdc[Symbol.asyncDispose]();
});

let client: GssapiClient;

beforeEach(async () => {
  client = await GssapiClient.to(daemon, "user1");
});

/** Goes the right way up to the message integrity code. */
const established = async (of = client, by = initiator): Promise<void> => {
  expect(await of.request(KERBEROS)).toEqual({ kind: "response", bytes: KERBEROS });
  const word = await of.token(await by.begin());
  if (word.kind !== "token") throw new Error(`instead of a token: ${JSON.stringify(word)}`);
  expect(await by.step(word.bytes)).toHaveLength(0);
};

/** The method again, with a token that is refused; what the server says before the failure. */
const refusalOf = async (token: Buffer, of = client): Promise<readonly Word["kind"][]> => {
  await of.request(KERBEROS);
  return of.untilFailure(await of.token(token));
};

describe("the message integrity code", () => {
  it("over the session and the request lets in", async () => {
    await established();
    expect(await client.mic(await initiator.sign(client.signedData()))).toEqual({ kind: "success" });
  });

  it.each([
    ["another user name", () => client.signedData("other")],
    ["another session", () => client.signedData("user1", Buffer.alloc(32))],
    ["nothing", () => Buffer.alloc(0)],
  ])("over %s is refused", async (_, data) => {
    await established();
    const mic = await initiator.sign(data());
    expect(await client.mic(mic)).toEqual({ kind: "failure", methods: METHODS });
    await daemon.log.next("KRB_MIC_INVALID", { username: "user1", method: "gssapi-with-mic" });
  });

  it.each([
    ["empty", () => Buffer.alloc(0)],
    ["cut in half", (mic: Buffer) => mic.subarray(0, mic.length / 2)],
    ["changed in one bit", (mic: Buffer) => mic.map((byte, at) => (at === mic.length - 1 ? byte ^ 1 : byte))],
    ["of 30,000 bytes", () => Buffer.alloc(30_000, 4)],
  ])("that is %s is refused", async (_, spoil) => {
    await established();
    const mic = await initiator.sign(client.signedData());
    expect(await client.mic(Buffer.from(spoil(mic)))).toMatchObject({ kind: "failure" });
    await daemon.log.next("KRB_MIC_INVALID");
  });

  it("that is left out is refused", async () => {
    await established();
    client.wire.send(Message.USERAUTH_GSSAPI_EXCHANGE_COMPLETE);
    expect(await client.word()).toMatchObject({ kind: "failure" });
    expect(await daemon.log.next("KRB_MIC_INVALID")).toMatchObject({
      message: expect.stringContaining("did not prove"),
    });
  });

  it("that comes before the tokens is refused", async () => {
    await client.request(KERBEROS);
    expect(await client.mic(Buffer.alloc(28))).toMatchObject({ kind: "failure" });
    await daemon.log.next("KRB_VERIFY_ERROR", { received: "mic" });
  });
});

describe("a token", () => {
  it("that was used before is refused", async () => {
    const token = await initiator.begin();
    await client.request(KERBEROS);
    expect(await client.token(token)).toMatchObject({ kind: "token" });
    const thief = await GssapiClient.to(daemon, "user1");
    expect(await refusalOf(token, thief)).toEqual(["error", "errorToken", "failure"]);
    expect(await daemon.log.next("KRB_TOKEN_REPLAYED")).toMatchObject({ level: "warning" });
  });

  it.each([0.05, 0.2, 0.5, 0.8, 0.99])("of which %d is left is refused", async (part) => {
    const token = await initiator.begin();
    expect((await refusalOf(token.subarray(0, token.length * part))).at(-1)).toBe("failure");
    await daemon.log.next("KRB_TOKEN_MALFORMED");
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["34,000 bytes of nothing", Buffer.alloc(34_000)],
    [
      "34,000 bytes of noise in the frame of a token",
      Buffer.concat([framed(34_000), Buffer.alloc(34_000, 0xa5)]),
    ],
  ])("of %s is refused", async (_, token) => {
    expect((await refusalOf(token)).at(-1)).toBe("failure");
    await daemon.log.next("KRB_TOKEN_MALFORMED");
  });

  it("of 1 MB ends the connection, and no other", async () => {
    await client.request(KERBEROS);
    client.wire.send(Message.USERAUTH_GSSAPI_TOKEN, Buffer.alloc(2 ** 20));
    expect((await client.wire.disconnection()).reason).toBe(2);
    expect(await daemon.log.next("SSH_DECODE_FAILED", { method: "gssapi-with-mic" })).toMatchObject({
      message: "The client broke the SSH protocol in the middle of gssapi-with-mic",
      details: { error: expect.stringMatching(/^Bad packet length: 10\d{5}$/) },
    });
  });

  it("that says to be longer than its message ends the connection", async () => {
    await client.request(KERBEROS);
    client.wire.sendRaw(Buffer.from([Message.USERAUTH_GSSAPI_TOKEN, 0, 16, 0, 0, 1, 2, 3]));
    expect((await client.wire.disconnection()).reason).toBe(2);
    await daemon.log.next("SSH_DECODE_FAILED", { error: "message 61 ends too early" });
  });

  it("that is an error of the client ends the attempt", async () => {
    await client.request(KERBEROS);
    client.wire.send(Message.USERAUTH_GSSAPI_ERRTOK, Buffer.alloc(20));
    expect(await client.word()).toMatchObject({ kind: "failure" });
    await daemon.log.next("KRB_VERIFY_ERROR", { received: "errorToken" });
  });

  it("for a key that the keytab has in an older version is refused", async () => {
    const folder = await temporaryDirectory();
    await copyFile(kdc.keytab, `${folder}/old.keytab`);
    await kdc.admin(REALM, `ktadd -k ${kdc.keytab} ${SERVICE}`);
    const stale = await daemonForTest(kerberosAuth({ ...kdc, keytab: `${folder}/old.keytab` }));
    await using newer = gssapiInitiator(await kdc.kinit("user1"));
    const token = await newer.begin();
    expect(await refusalOf(token, await GssapiClient.to(stale, "user1"))).toContain("failure");
    expect(await stale.log.next("KRB_KEY_MISMATCH")).toMatchObject({
      level: "error",
      message: expect.stringContaining("kvno 3 not found in keytab"),
    });
    // Whoever has the new keytab accepts it, without a restart.
    await client.request(KERBEROS);
    expect(await client.token(token)).toMatchObject({ kind: "token" });
  });

  it("for another service's key than the configured acceptor's is refused", async () => {
    const web = await daemonForTest(kerberosAuth(kdc, { acceptor: `HTTP/web@${REALM}` }));
    await using fresh = gssapiInitiator(await kdc.kinit("user1"));
    expect(await refusalOf(await fresh.begin(), await GssapiClient.to(web, "user1"))).toContain("failure");
    await web.log.next("KRB_KEY_MISMATCH");
    const right = await GssapiClient.to(web, "user1");
    await right.request(KERBEROS);
    expect(await right.token(await fresh.begin({ service: "HTTP/web" }))).toMatchObject({ kind: "token" });
  });
});

describe("clocks", () => {
  const CLOCK = "-2h";

  /** A KDC and its clients two hours ago, whose keys the daemon knows. */
  const past = async (lifetime: string) => {
    const kdc = await startKdc({ users: { user1: "secret1" }, clock: CLOCK });
    const late = await daemonForTest(kerberosAuth(kdc));
    const initiator = gssapiInitiator(await kdc.kinit("user1", "-l", lifetime), CLOCK);
    return {
      late,
      initiator,
      [Symbol.asyncDispose]: async () => {
        await initiator[Symbol.asyncDispose]();
        await kdc[Symbol.asyncDispose]();
      },
    };
  };

  it("that differ by more than clockSkew are told", async () => {
    await using world = await past("10h");
    await refusalOf(await world.initiator.begin(), await GssapiClient.to(world.late, "user1"));
    expect(await world.late.log.next("KRB_CLOCK_SKEW")).toMatchObject({ level: "warning" });
  });

  it("may differ by what clockSkew allows", async () => {
    await using kdc = await startKdc({ users: { user1: "secret1" }, clock: CLOCK });
    const tolerant = await daemonForTest(kerberosAuth(kdc, { clockSkew: "3h" }));
    await using initiator = gssapiInitiator(await kdc.kinit("user1"), CLOCK);
    const client = await GssapiClient.to(tolerant, "user1");
    await established(client, initiator);
    expect(await client.mic(await initiator.sign(client.signedData()))).toEqual({ kind: "success" });
  });

  it("that have passed a ticket's end are told", async () => {
    await using world = await past("1h");
    await refusalOf(await world.initiator.begin(), await GssapiClient.to(world.late, "user1"));
    await world.late.log.next("KRB_TICKET_EXPIRED");
  });
});

describe("the method", () => {
  it.each([
    ["SPNEGO alone", [SPNEGO]],
    ["nothing", []],
    ["a hundred times nothing", Array.from({ length: 100 }, () => Buffer.alloc(4))],
  ])("with %s as its mechanisms is a failure that names the methods", async (_, mechanisms) => {
    expect(await client.request(...mechanisms)).toEqual({ kind: "failure", methods: METHODS });
  });

  it("with Kerberos among its mechanisms chooses Kerberos", async () => {
    expect(await client.request(SPNEGO, KERBEROS)).toEqual({ kind: "response", bytes: KERBEROS });
  });

  it("may be left for another one in the middle", async () => {
    await client.request(KERBEROS);
    client.wire.send(Message.USERAUTH_REQUEST, "user1", "ssh-connection", "password", false, "secret1");
    expect(await client.word()).toEqual({ kind: "success" });
  });

  it("may be left in the middle for a ticket that is right", async () => {
    await client.request(KERBEROS);
    await established();
    expect(await client.mic(await initiator.sign(client.signedData()))).toEqual({ kind: "success" });
  });

  it("ends with the connection after six failures", async () => {
    for (let count = 0; count < 5; count++) await refusalOf(Buffer.from("nothing"));
    await client.request(KERBEROS);
    client.wire.send(Message.USERAUTH_GSSAPI_TOKEN, Buffer.from("nothing"));
    expect((await client.wire.disconnection()).reason).toBe(14);
  });
});

/** The head of an initial token (RFC 2743 section 3.1) with `length` bytes of a Kerberos message. */
function framed(length: number): Buffer {
  const inner = length + KERBEROS.length + 2;
  return Buffer.concat([Buffer.from([0x60, 0x82, inner >> 8, inner & 0xff]), KERBEROS, Buffer.from([1, 0])]);
}
