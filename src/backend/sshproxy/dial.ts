/** Reaching one server: a socket or a channel of a jump host, then the key exchange up to the host key. */
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Effect, Scope } from "effect";
import type { Dialing, Peer, TrustedPeer } from "../../../machines/sshproxy.ts";
import type { Failure } from "../../failure.ts";
import { AuthenticationRefused } from "../../ssh/client/authentication.ts";
import { ChannelRefused } from "../../ssh/client/channels.ts";
import { ClientConnection, ConnectionEnded } from "../../ssh/client/connection.ts";
import type { ConnectionResources } from "../backend.ts";
import { HandshakeFailed, LoginRefused, ServerUnreachable } from "./failures.ts";

/** How long a silent connection lives until the system asks whether the other end still exists. */
const TCP_KEEP_ALIVE_MILLIS = 60_000;

/** Gives the server as soon as it has shown its host key. The connection ends with its client's. */
export const dial = (
  { hop, route, through }: Dialing,
  { logger, scope }: ConnectionResources,
): Effect.Effect<Peer, Failure> =>
  Effect.gen(function* () {
    const details = { server: hop.address };
    logger.debug("SSHPROXY_CONNECTING", "A server is being connected to", details);
    const socket = yield* through === undefined
      ? openSocket(hop.host, hop.port, hop.address)
      : openThrough(through, hop.host, hop.port, hop.address);
    const connection = new ClientConnection(socket, route.client);
    const peer = Effect.tryPromise({
      try: () => connection.identified,
      catch: (error) => failureOf(error, hop.address),
    });
    const identified = yield* Effect.onExit(peer, (exit) =>
      exit._tag === "Success" ? Effect.void : Effect.sync(() => connection.disconnect()),
    );
    yield* Scope.addFinalizer(
      scope,
      Effect.sync(() => {
        logger.debug("SSHPROXY_BACKEND_DISCONNECTING", "The connection to a server is being closed", details);
        connection.disconnect();
      }),
    );
    return { fingerprint: identified.fingerprint, connection };
  });

/** Ends the key exchange and logs in. */
export const logIn = (
  { hop, peer }: TrustedPeer,
  { logger }: ConnectionResources,
): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { connection } = peer;
    yield* Effect.tryPromise({
      try: async () => {
        await connection.acceptHostKey();
        await connection.authenticate(hop.credentials);
      },
      catch: (error) => failureOf(error, hop.address),
    });
    const details = { server: hop.address, ...connection.description };
    logger.debug("SSHPROXY_CONNECTED", "Logged in to a server", details);
  });

const openSocket = (host: string, port: number, address: string): Effect.Effect<Socket, ServerUnreachable> =>
  Effect.callback<Socket, ServerUnreachable>((resume) => {
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MILLIS,
    });
    const failed = (error: NodeJS.ErrnoException): void =>
      resume(
        Effect.fail(
          new ServerUnreachable({
            message: "The server cannot be connected to",
            details: { server: address, error: error.code ?? error.message },
            cause: error,
          }),
        ),
      );
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      resume(Effect.succeed(socket));
    });
    return Effect.sync(() => void socket.destroy());
  });

/** A channel of type direct-tcpip (RFC 4254 section 7.2). */
const openThrough = (
  { connection }: Peer,
  host: string,
  port: number,
  address: string,
): Effect.Effect<Duplex, Failure> =>
  Effect.map(
    Effect.tryPromise({
      try: () => connection.openTcp(host, port),
      catch: (error) => failureOf(error, address),
    }),
    (channel) => {
      channel.data.once("close", () => channel.close());
      return channel.data;
    },
  );

/** One that was never heard to speak SSH may be there later; one that broke off will hardly do better. */
const failureOf = (error: unknown, server: string): Failure => {
  const { message } = error instanceof Error ? error : new Error(String(error));
  const details = { server, error: message };
  if (error instanceof AuthenticationRefused) {
    const tried = error.tried.join(" ");
    const offered = error.offered.join(" ");
    return new LoginRefused({
      message: "The server does not accept the configured credentials",
      details: { server, tried, offered },
    });
  }
  if (error instanceof ChannelRefused) {
    return new ServerUnreachable({ message: "The jump host cannot connect to the server", details });
  }
  return error instanceof ConnectionEnded && !error.wasIdentified
    ? new ServerUnreachable({ message: "The server hung up before it identified itself", details })
    : new HandshakeFailed({
        message: "The server broke off before the login was complete",
        details,
        cause: error,
      });
};
