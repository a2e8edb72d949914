/** An SSH server whose messages above the transport are the test's, and clients of ours that talk to it. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Effect } from "effect";
import { onTestFinished } from "vitest";
import { defaults } from "../../../src/config/schema.ts";
import { algorithmsOf, hostKeyAlgorithmsOf } from "../../../src/ssh/algorithms.ts";
import type { ClientChannel } from "../../../src/ssh/client/channel.ts";
import { ClientConnection } from "../../../src/ssh/client/connection.ts";
import { byAlgorithm, HostKey } from "../../../src/ssh/host-key.ts";
import {
  packetBuffers,
  prepareClientTransport,
  prepareTransport,
  Transport,
} from "../../../src/ssh/ssh2-extension.ts";
import { type Field, Message, message } from "../../../src/ssh/wire.ts";
import { ed25519Key } from "../../support/wire-client.ts";

const VERSION = "SSH-2.0-Odd";

/** A server whose messages above the transport are the test's. */
export interface OddServer {
  readonly port: number;
  readonly fingerprint: string;
  readonly send: (number: number, ...fields: readonly Field[]) => void;
  /** The next message of one of these types. */
  readonly next: (...types: readonly number[]) => Promise<Buffer>;
  readonly hangUp: () => void;
}

export const hostKey = (): HostKey => {
  const key = HostKey.read(ed25519Key().privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  if (typeof key === "string") throw new Error(key);
  return key;
};

export const oddServer = async (greeting = ""): Promise<OddServer> => {
  const key = hostKey();
  const settings = await Effect.runPromise(
    Effect.flatMap(algorithmsOf(defaults.ssh), (algorithms) =>
      prepareTransport({ serverVersion: VERSION, algorithms, hostKeys: byAlgorithm([key]) }),
    ),
  );
  const received: Buffer[] = [];
  let transport: Transport | undefined;
  let socket: Socket | undefined;
  let wake = (): void => {};
  const server = createServer((accepted) => {
    socket = accepted.on("error", () => accepted.destroy());
    onTestFinished(() => void accepted.destroy());
    accepted.write(`${greeting}${VERSION}\r\n`);
    accepted.once("data", (chunk: Buffer) => {
      const end = chunk.indexOf("\n");
      transport = new Transport(settings, ["ssh-ed25519"], chunk.toString("latin1", 0, end).trim(), {
        write: (bytes) => void accepted.write(bytes),
        handshakeCompleted: () => {},
        rekeyed: () => {},
        message: (payload) => {
          received.push(Buffer.from(payload));
          wake();
        },
        disconnected: () => {},
      });
      accepted.on("data", (more: Buffer) => transport?.receive(more));
      transport.receive(chunk.subarray(end + 1));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return {
    port: (server.address() as AddressInfo).port,
    fingerprint: key.fingerprint,
    send: (number, ...fields) => transport?.sendMessage(message(number, ...fields)),
    next: async (...types) => {
      for (;;) {
        for (let found = received.shift(); found !== undefined; found = received.shift()) {
          if (types.includes(found[0] ?? -1)) return found;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    hangUp: () => void socket?.destroy(),
  };
};

export const clientOf = async ({ port }: OddServer): Promise<ClientConnection> => {
  const { clientVersion } = defaults.sshproxy;
  const transport = await Effect.runPromise(
    Effect.gen(function* () {
      const algorithms = yield* algorithmsOf(defaults.sshproxy, "sshproxy");
      const hostKeyAlgorithms = yield* hostKeyAlgorithmsOf(defaults.sshproxy);
      const options = { clientVersion, algorithms, hostKeyAlgorithms, buffers: packetBuffers() };
      return yield* prepareClientTransport(options);
    }),
  );
  const socket = connect({ host: "127.0.0.1", port });
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  return new ClientConnection(socket, { transport, clientVersion });
};

export const nobody = { username: "jane", privateKey: undefined, password: undefined };

/** A client that is logged in. */
export const loggedIn = async (server: OddServer): Promise<ClientConnection> => {
  const client = await clientOf(server);
  await client.identified;
  await client.acceptHostKey();
  const authenticated = client.authenticate(nobody);
  await server.next(Message.SERVICE_REQUEST);
  server.send(Message.SERVICE_ACCEPT, "ssh-userauth");
  await server.next(Message.USERAUTH_REQUEST);
  server.send(Message.USERAUTH_SUCCESS);
  await authenticated;
  return client;
};

export const WINDOW = { uint32: 2 ** 20 };
export const PACKET = { uint32: 2 ** 15 };

/** A session channel: number 0 on both sides. */
export const opened = async (server: OddServer, client: ClientConnection): Promise<ClientChannel> => {
  const opening = client.open("session");
  await server.next(Message.CHANNEL_OPEN);
  server.send(Message.CHANNEL_OPEN_CONFIRMATION, { uint32: 0 }, { uint32: 0 }, WINDOW, PACKET);
  return opening;
};
