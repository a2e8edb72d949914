/** Clients that fall silent before they are logged in: one by one, and ten thousand at once. */
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { Message, message, uint32 } from "../../../src/ssh/wire.ts";
import type { Daemon } from "../../support/daemon.ts";
import { nodeClient } from "../../support/node-client.ts";
import { eventually } from "../../support/resources.ts";
import { rawSocket } from "../../support/sockets.ts";
import { answer } from "../../support/webhook-server.ts";
import { PASSWORD, WireClient } from "../../support/wire-client.ts";
import { echo, expectWell, linesAbout, MEGABYTE, startHostileDaemon } from "./hostile-daemon.ts";

const identification = Buffer.from("SSH-2.0-silent\r\n");

/** A client's SSH_MSG_KEXINIT as a packet (RFC 4253 sections 6 and 7.1). */
const keyExchangeInit = (): Buffer => {
  const lists = [
    ...["curve25519-sha256", "ssh-ed25519", "aes128-ctr", "aes128-ctr"],
    ...["hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""],
  ];
  const fields = message(Message.KEXINIT, ...lists, false, { uint32: 0 }).subarray(1);
  const payload = Buffer.concat([Buffer.of(Message.KEXINIT), Buffer.alloc(16), fields]);
  const padding = 8 + (-(5 + payload.length) & 7);
  const length = uint32(1 + payload.length + padding);
  return Buffer.concat([length, Buffer.of(padding), payload, Buffer.alloc(padding)]);
};

describe("silence before the login", () => {
  it("ends each connection when its grace time is over, whatever was said before", async () => {
    await using daemon = await startHostileDaemon([["/password", "mallory", answer({ success: false })]], {
      ssh: { loginGraceTime: "8s" },
    });
    const says = async (...bytes: Uint8Array[]) => {
      const socket = await rawSocket(daemon);
      socket.resume().write(Buffer.concat(bytes));
      return linesAbout(daemon, socket);
    };
    const exchangesKeys = async (then: (client: WireClient) => Promise<unknown>) => {
      const client = await WireClient.connect(daemon);
      const about = linesAbout(daemon, client.socket);
      await then(client);
      return about;
    };
    const half = keyExchangeInit();
    const all = await Promise.all([
      says(),
      says(identification.subarray(0, 9)),
      says(identification),
      says(identification, half.subarray(0, half.length / 2)),
      says(identification, keyExchangeInit()),
      exchangesKeys(async () => {}),
      exchangesKeys((client) => client.beginAuthentication()),
      exchangesKeys(async (client) => {
        await client.beginAuthentication();
        client.offerPassword("mallory");
        await client.next(Message.USERAUTH_FAILURE);
      }),
    ]);
    for (const about of all) {
      expect(await about("SSH_LOGIN_GRACE_EXPIRED")).toMatchObject({
        level: "notice",
        details: { loginGraceSeconds: 8 },
      });
      await about("SSH_DISCONNECTED");
    }
    await expectWell(daemon);
  });
});

/** All at once would overflow the queue of the kernel. */
const AT_ONCE = 250;

/** Connects so many clients that say nothing, one after another; each has heard the server's first words. */
const crowd = async (daemon: Daemon, count: number): Promise<readonly Crowded[]> => {
  const clients: Crowded[] = [];
  while (clients.length < count) {
    const more = await Promise.all(Array.from({ length: AT_ONCE }, () => crowded(daemon)));
    clients.push(...more);
  }
  return clients;
};

interface Crowded {
  readonly socket: Socket;
  /** What the server said first; empty where it said nothing and closed. */
  readonly greeting: string;
}

const crowded = async (daemon: Daemon): Promise<Crowded> => {
  const socket = await rawSocket(daemon);
  const greeting = await new Promise<string>((resolve) =>
    socket.once("data", (said) => resolve(String(said))).once("close", () => resolve("")),
  );
  return { socket, greeting };
};

const isIn = ({ greeting }: Crowded): boolean => greeting.startsWith("SSH-2.0-");

/** How many different connections a code was logged of. */
const connectionsWith = ({ log }: Daemon, code: string): number =>
  new Set(log.all(code).map(({ details }) => details.connectionId)).size;

describe("ten thousand connections that say nothing", () => {
  const COUNT = 10_000;
  /** As much as two moments of rest differ by. */
  const NOISE_BYTES = 25 * MEGABYTE;

  it("are held at once while others log in, end when their time is over, and leave no memory in use", {
    timeout: 300_000,
  }, async () => {
    await using daemon = await startHostileDaemon([], {
      ssh: { maxStartups: `${2 * COUNT}`, loginGraceTime: "30s" },
    });
    await expectWell(daemon);
    const before = daemon.rssBytes();
    const clients = await crowd(daemon, COUNT);
    expect(daemon.log.all("SSH_LOGIN_GRACE_EXPIRED")).toEqual([]);
    expect(clients.filter(isIn)).toHaveLength(COUNT);
    const since = performance.now();
    expect(await echo(daemon)).toBe("well\n");
    // On a machine that does nothing else it takes 0.1 s; held up by the crowd it would take as long as they do.
    expect(performance.now() - since).toBeLessThan(5_000);
    const isOver = async () =>
      connectionsWith(daemon, "SSH_LOGIN_GRACE_EXPIRED") === COUNT &&
      // With the two that logged in.
      connectionsWith(daemon, "SSH_DISCONNECTED") === COUNT + 2;
    await eventually(isOver, "each has ended, with its lines in the log", 90);
    await eventually(
      async () => daemon.rssBytes() - before < NOISE_BYTES,
      `memory is where it was, at ${Math.round(before / MEGABYTE)} MB`,
    );
    await expectWell(daemon);
  });
});

describe("a crowd beyond the limits", () => {
  it("of ssh.maxStartups is turned away with a line each, and disturbs nobody who is in", async () => {
    await using daemon = await startHostileDaemon();
    await using client = await nodeClient(daemon.target({ username: "well", password: PASSWORD }));
    const { channel, stderr } = await client.exec("cat");
    stderr.resume();
    const clients = await crowd(daemon, 2_000);
    // `100:30:1000`: never more than a thousand are in, whatever chance decides about each.
    const turnedAway = clients.filter(({ greeting }) => greeting === "Exceeded MaxStartups\r\n");
    expect(turnedAway.length).toBeGreaterThanOrEqual(1_000);
    expect(turnedAway.length + clients.filter(isIn).length).toBe(2_000);
    await eventually(
      async () => daemon.log.all("SSH_STARTUPS_EXCEEDED").length === turnedAway.length,
      "each has its line",
    );
    channel.end("still here");
    expect(await text(channel)).toBe("still here");
    for (const { socket } of clients) socket.destroy();
    await eventually(
      async () => connectionsWith(daemon, "SSH_DISCONNECTED") === clients.filter(isIn).length,
      "all that were in are gone",
    );
    await expectWell(daemon);
  });

  it("of open files is turned away with a sentence and a line each, and leaves files for those who are in", async () => {
    await using daemon = await startHostileDaemon([], { ssh: { maxStartups: "2000" } }, {}, "ulimit -n 1000");
    await daemon.log.any("SSH_OPEN_FILES_LOW", { openFilesLimit: 1000, connections: 875 });
    await using client = await nodeClient(daemon.target({ username: "well", password: PASSWORD }));
    const clients = await crowd(daemon, 1_000);
    const turnedAway = clients.filter(({ greeting }) => greeting.includes("too many connections"));
    expect(turnedAway.length + clients.filter(isIn).length).toBe(1_000);
    expect(turnedAway.length).toBeGreaterThan(100);
    await eventually(
      async () => daemon.log.all("SSH_ACCEPT_FAILED").length === turnedAway.length,
      "each has its line",
    );
    const { channel, stderr } = await client.exec("echo still here");
    stderr.resume();
    expect(await text(channel)).toBe("still here\n");
    for (const { socket } of clients) socket.destroy();
    await eventually(
      async () => connectionsWith(daemon, "SSH_DISCONNECTED") === clients.filter(isIn).length,
      "all that were in are gone",
    );
    await expectWell(daemon);
  });
});
