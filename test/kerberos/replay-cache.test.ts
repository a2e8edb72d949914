/** The file that remembers accepted tickets: all daemons of a machine share it, and nobody gets in without it. */
import { chown, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { type Configuration, type Daemon, type DaemonOptions, startDaemon } from "../support/daemon.ts";
import { GssapiClient, KERBEROS } from "../support/gssapi-client.ts";
import { type GssapiInitiator, gssapiInitiator } from "../support/gssapi-initiator.ts";
import { type Kdc, startKdc, type Tickets } from "../support/kdc.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { kerberosAuth, ssh } from "./world.ts";

const FILE = `krb5_${process.geteuid?.()}.rcache2`;
/** As a container whose root can only be read has it: memory, here a directory, and nothing else. */
const readOnly = (memory: string) => `mount -t tmpfs -o ro tmpfs /var/tmp && mount --bind ${memory} /dev/shm`;

let kdc: Kdc;
let auth: Configuration;
let tickets: Tickets;
let initiator: GssapiInitiator;

beforeAll(async () => {
  kdc = await startKdc({ users: { user1: "secret1" } });
  auth = kerberosAuth(kdc);
  tickets = await kdc.kinit("user1");
  initiator = gssapiInitiator(tickets);
});

afterAll(async () => {
  await initiator[Symbol.asyncDispose]();
  await kdc[Symbol.asyncDispose]();
});

const daemonIn = async (surroundings: Omit<DaemonOptions, "config">): Promise<Daemon> => {
  const daemon = await startDaemon({ config: { auth, backend: "process" }, ...surroundings });
  onTestFinished(() => daemon[Symbol.asyncDispose]());
  return daemon;
};

it.each([
  ["of a whole machine", () => ({}), `/var/tmp/${FILE}`],
  [
    "of containers with a read-only root",
    (memory: string) => ({ beforehand: readOnly(memory) }),
    `/dev/shm/${FILE}`,
  ],
])("daemons %s accept a token once", async (_, surroundingsWith, path) => {
  const surroundings = surroundingsWith(await temporaryDirectory());
  const [one, other] = [await daemonIn(surroundings), await daemonIn(surroundings)];
  expect(await one.log.next("KRB_AVAILABLE", { section: "auth.gssapi.kerberos" })).toMatchObject({
    details: { replayCache: path },
  });
  const result = await ssh(one, { username: "user1" }, "echo in", { tickets });
  expect(result, result.stderr).toMatchObject({ code: 0, stdout: "in\n" });
  const token = await initiator.begin();
  const client = await GssapiClient.to(one, "user1");
  await client.request(KERBEROS);
  expect(await client.token(token)).toMatchObject({ kind: "token" });
  const thief = await GssapiClient.to(other, "user1");
  await thief.request(KERBEROS);
  expect(await thief.untilFailure(await thief.token(token))).toContain("failure");
  await other.log.next("KRB_TOKEN_REPLAYED");
});

it("one that can't be written any more refuses tickets by this server's fault, until it is mended", async () => {
  const directory = await temporaryDirectory();
  const path = join(directory, FILE);
  const daemon = await daemonIn({ env: { KRB5RCACHEDIR: directory } });
  const login = () => ssh(daemon, { username: "user1" }, "echo in", { tickets });
  const refused = async (): Promise<void> => {
    const result = await login();
    expect(result).toMatchObject({ code: 255, stdout: "" });
    expect(result.stderr).toContain("Your login can't be checked at this time. Please try again later.");
    expect(await daemon.log.next("KRB_ACCEPTOR_FAILED", { username: "user1" })).toMatchObject({
      level: "error",
      message: expect.stringContaining(path),
    });
  };
  await rm(path);
  await mkdir(path);
  await refused();
  await rm(path, { recursive: true });
  expect(await login()).toMatchObject({ code: 0, stdout: "in\n" });
  // Whoever owns the file could take out of it what is noted there.
  await chown(path, 65_534, 65_534);
  await refused();
});
