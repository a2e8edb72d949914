/** Clients that disappear, in every state that a connection can be in, and clients that never read. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Message } from "../../../src/ssh/wire.ts";
import { idling, marker } from "../../support/conformance/subject.ts";
import { freePort } from "../../support/ports.ts";
import { eventually, processesWith, writtenUntilStuck } from "../../support/resources.ts";
import { rawSocket } from "../../support/sockets.ts";
import { answer } from "../../support/webhook-server.ts";
import { WireClient } from "../../support/wire-client.ts";
import {
  echo,
  expectMemoryBack,
  expectNoPrograms,
  expectWell,
  type HostileDaemon,
  linesAbout,
  startHostileDaemon,
  usernameOf,
} from "./hostile-daemon.ts";

/** A Docker Engine that takes connections and never answers. */
const silentEngine = createServer(() => arrived());
let arrived = (): void => {};

let daemon: HostileDaemon;

beforeAll(async () => {
  silentEngine.listen(0, "127.0.0.1");
  await once(silentEngine, "listening");
  const { port } = silentEngine.address() as AddressInfo;
  const dockerAt = (at: number) =>
    answer({ config: { backend: "docker", docker: { connection: { host: `tcp://127.0.0.1:${at}` } } } });
  daemon = await startHostileDaemon([
    ["/password", "authenticating", () => {}],
    ["/authz", "authorizing", () => {}],
    ["/config", "configuring", () => {}],
    ["/config", "provisioning", dockerAt(port)],
    ["/config", "refusing", dockerAt(await freePort())],
  ]);
});
afterEach(() => expectWell(daemon));
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  silentEngine.close();
});

/** Offers a password and waits until the webhook at this path was asked about the user. */
const waitsFor = async (path: string, username: string): Promise<WireClient> => {
  const client = await WireClient.connect(daemon);
  await client.beginAuthentication();
  client.offerPassword(username);
  await eventually(
    async () => daemon.webhook.asked.some((asked) => asked.path === path && usernameOf(asked) === username),
    `${path} was asked`,
  );
  return client;
};

const running = async (command: string, terminal = false): Promise<WireClient> => {
  const client = await WireClient.login(daemon);
  const channel = await client.openSession();
  if (terminal) {
    const sizes = [{ uint32: 80 }, { uint32: 24 }, { uint32: 0 }, { uint32: 0 }];
    expect(await client.request(channel, "pty-req", "xterm", ...sizes, "\0")).toBe(true);
  }
  expect(await client.request(channel, "exec", command)).toBe(true);
  await client.next(Message.CHANNEL_DATA);
  return client;
};

type State = readonly [name: string, reach: () => Promise<Socket>];
const socketOf = ({ socket }: WireClient): Socket => socket;

/** A client that the server has greeted. */
const greeted = async (): Promise<Socket> => {
  const socket = await rawSocket(daemon);
  await once(socket, "data");
  return socket;
};

const states: readonly State[] = [
  ["before it said anything", greeted],
  [
    "in the middle of its banner",
    async () => {
      const socket = await greeted();
      await new Promise((resolve) => socket.write("SSH-2.0-half", resolve));
      return socket;
    },
  ],
  [
    "in the middle of the key exchange",
    async () => {
      const socket = await greeted();
      socket.write("SSH-2.0-half\r\n");
      // The server's SSH_MSG_KEXINIT.
      await once(socket, "data");
      return socket;
    },
  ],
  ["when keys are exchanged", async () => socketOf(await WireClient.connect(daemon))],
  ["while its password is checked", async () => socketOf(await waitsFor("/password", "authenticating"))],
  ["while it is authorized", async () => socketOf(await waitsFor("/authz", "authorizing"))],
  ["while it is configured", async () => socketOf(await waitsFor("/config", "configuring"))],
  [
    "while its environment is made",
    async () => {
      const asked = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      const client = await WireClient.login(daemon, "provisioning");
      await client.openSession();
      await asked;
      return client.socket;
    },
  ],
  [
    "when its environment was refused",
    async () => {
      const client = await WireClient.login(daemon, "refusing");
      const channel = await client.openSession();
      client.send(Message.CHANNEL_REQUEST, { uint32: channel }, "shell", true);
      await client.next(Message.CHANNEL_EXTENDED_DATA);
      return client.socket;
    },
  ],
  ["when it is logged in", async () => socketOf(await WireClient.login(daemon))],
  [
    "with a session that runs nothing",
    async () => {
      const client = await WireClient.login(daemon);
      await client.openSession();
      return client.socket;
    },
  ],
  ["with a program that waits", async () => socketOf(await running(idling("waiting")))],
  ["with a program at a terminal", async () => socketOf(await running(idling("waiting"), true))],
  ["with a program that reads", async () => socketOf(await running("echo started; cat"))],
  ["with a program in full flow", async () => socketOf(await running("cat /dev/zero"))],
];

describe.each([
  ["hangs up", (socket: Socket) => socket.end()],
  ["is cut off", (socket: Socket) => socket.resetAndDestroy()],
])("a client that %s", (_, vanish) => {
  it.each(states)("%s", async (__, reach) => {
    const socket = await reach();
    const about = linesAbout(daemon, socket);
    vanish(socket);
    socket.resume();
    await about("SSH_DISCONNECTED");
    await expectNoPrograms(daemon);
  });
});

it("a client that disappears takes a program along that ignores being hung up on", async () => {
  const { socket } = await running("trap '' HUP TERM PIPE; echo started; while :; do sleep 1; done");
  socket.destroy();
  await expectNoPrograms(daemon);
});

it("a client that never reads stops its program, and nobody else's, until it is gone", async () => {
  const mark = marker();
  await expectMemoryBack(daemon, async () => {
    const client = await WireClient.login(daemon);
    const about = linesAbout(daemon, client.socket);
    const channel = await client.openSession(0, 2 ** 32 - 1);
    client.socket.pause();
    client.send(Message.CHANNEL_REQUEST, { uint32: channel }, "exec", true, `yes ${mark}`);
    await writtenUntilStuck(mark);
    expect(await echo(daemon)).toBe("well\n");
    expect(await processesWith(mark)).not.toEqual([]);
    client.socket.destroy();
    await about("SSH_DISCONNECTED");
  });
});
