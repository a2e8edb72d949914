/**
 * The SSH client that Berth is built with, for programs that do what a test's own process has no time for. They find
 * the modules beside them in dist/, which the tests' setup has built.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { Effect } from "effect";

const { ClientConnection } = await import("../../dist/src/ssh/client/connection.js");
const { packetBuffers, prepareClientTransport } = await import("../../dist/src/ssh/ssh2-extension.js");

const clientVersion = "SSH-2.0-test_client";
const transport = await Effect.runPromise(
  prepareClientTransport({
    clientVersion,
    algorithms: {
      kex: ["mlkem768x25519-sha256"],
      ciphers: ["aes128-gcm@openssh.com"],
      macs: ["hmac-sha2-256"],
    },
    hostKeyAlgorithms: ["ssh-ed25519"],
    buffers: packetBuffers(),
  }),
);

/** Connects to a port of the loopback and exchanges keys with whoever is there. */
export const connected = async (port) => {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "connect");
  const connection = new ClientConnection(socket, { transport, clientVersion });
  await connection.identified;
  await connection.acceptHostKey();
  return connection;
};
