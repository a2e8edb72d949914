/** Clients that fall silent before they are logged in: one by one, and ten thousand at once. */
import { once } from "node:events";
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
import { expectWell, linesAbout, MEGABYTE, startHostileDaemon } from "./hostile-daemon.ts";

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

describe("ten thousand connections that say nothing", () => {
  /** All at once would overflow the queue of the kernel. */
  const AT_ONCE = 250;

  /** The server's first words, or nothing. */
  const greeted = (socket: Socket): Promise<unknown> =>
    new Promise((resolve) => socket.once("data", resolve).once("close", resolve));

  /** Connects so many clients and lets them all go when `meanwhile` is over. */
  const crowd = async (daemon: Daemon, count: number, meanwhile: () => Promise<unknown>): Promise<void> => {
    const { log } = daemon;
    const turnedAwayBefore = log.all("SSH_STARTUPS_EXCEEDED").length;
    const endedBefore = log.all("SSH_DISCONNECTED").length;
    const sockets: Socket[] = [];
    while (sockets.length < count) {
      const more = await Promise.all(Array.from({ length: AT_ONCE }, () => rawSocket(daemon)));
      await Promise.all(more.map(greeted));
      sockets.push(...more);
    }
    await meanwhile();
    for (const socket of sockets) socket.destroy();
    const accountedFor = (): number =>
      log.all("SSH_STARTUPS_EXCEEDED").length -
      turnedAwayBefore +
      log.all("SSH_DISCONNECTED").length -
      endedBefore;
    await eventually(async () => accountedFor() === count, "every connection has ended", 60);
  };

  it("are turned away beyond the limit, disturb nobody who is in, and leave no memory in use", {
    timeout: 180_000,
  }, async () => {
    await using daemon = await startHostileDaemon();
    await using client = await nodeClient(daemon.target({ username: "well", password: PASSWORD }));
    const { channel, stderr } = await client.exec("cat");
    stderr.resume();
    // `100:30:1000`: never more than a thousand are in, whatever chance decides about each.
    const mostAreTurnedAway = () =>
      eventually(
        async () => daemon.log.all("SSH_STARTUPS_EXCEEDED").length >= 9_000,
        "most were turned away",
      );
    await crowd(daemon, 10_000, mostAreTurnedAway);
    channel.write("still");
    await once(channel, "data");
    // What the collector has not given back by now is used again.
    const before = daemon.rssBytes();
    await crowd(daemon, 1_000, async () => expect(daemon.rssBytes() - before).toBeLessThan(32 * MEGABYTE));
    channel.end(" here");
    expect(await text(channel)).toBe(" here");
    await expectWell(daemon);
  });
});
