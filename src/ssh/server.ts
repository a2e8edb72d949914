/** The TCP listener: it offers each socket before anything of SSH is allocated for it. */
import { randomBytes } from "node:crypto";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Duration, Effect, type Scope } from "effect";
import type { ConnectionEvent } from "../../machines/connection.ts";
import { formatListenAddress, type ListenAddress } from "../config/codecs.ts";
import type { Ssh } from "../config/sections/ssh.ts";
import { failure } from "../failure.ts";
import type { Logger } from "../log/logger.ts";
import { type AlgorithmUnavailable, algorithmsOf } from "./algorithms.ts";
import { type ConnectionSettings, SshConnection } from "./connection.ts";
import { byAlgorithm, type HostKey } from "./host-keys.ts";
import type { Link } from "./link.ts";
import { prepareTransport, type UnknownTransport } from "./ssh2-extension.ts";

export class ListenFailed extends failure(
  "ListenFailed",
  "SSH_START_FAILED",
  "The server can't accept connections. Please ask your administrator.",
) {}

/** A client that has connected, and of whom nothing has been read. */
export interface SocketOffer {
  /** 32 hexadecimal digits, as the reference's. */
  readonly connectionId: string;
  /** `address:port`, an IPv6 address in brackets. */
  readonly remoteAddress: string;
  /** Begins to speak SSH with the client. */
  readonly admit: (send: (event: ConnectionEvent) => void) => Link;
  readonly turnAway: () => void;
}

export interface SshServerOptions {
  readonly config: Ssh;
  readonly hostKeys: readonly HostKey[];
  readonly logger: Logger;
  /** Takes the next free port when the configured one is in use. */
  readonly nextFreePort: boolean;
  readonly onSocket: (offer: SocketOffer) => void;
}

/** How many ports are tried for a free one. */
const MOST_PORTS = 100;
/** Silent networks and vanished clients are noticed by the kernel after a while, whatever `clientAliveInterval` says. */
const TCP_KEEP_ALIVE_MILLIS = 60_000;

/** Listens until the scope closes; connections that were offered live on. */
export const sshServer = (
  options: SshServerOptions,
): Effect.Effect<
  { readonly address: string },
  ListenFailed | AlgorithmUnavailable | UnknownTransport,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const { config, hostKeys, logger, nextFreePort, onSocket } = options;
    const settings: ConnectionSettings = {
      transport: yield* prepareTransport({
        serverVersion: config.serverVersion,
        algorithms: yield* algorithmsOf(config),
        hostKeys: byAlgorithm(hostKeys),
      }),
      serverVersion: config.serverVersion,
      banner: config.banner,
      clientAliveIntervalMillis: Duration.toMillis(config.clientAliveInterval),
      clientAliveCountMax: config.clientAliveCountMax,
      logger,
    };
    const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
      const offer = offerOf(socket, settings);
      if (offer !== undefined) onSocket(offer);
    });
    server.on("error", (error) =>
      logger.error("SSH_START_FAILED", `The listener failed: ${error.message}`, { error: error.message }),
    );
    yield* Effect.acquireRelease(listening(server, config.listen, nextFreePort ? MOST_PORTS : 1), () =>
      Effect.sync(() => server.close()),
    );
    return { address: addressOf(server.address()) };
  });

/** Undefined when the client is gone again already. */
const offerOf = (socket: Socket, settings: ConnectionSettings): SocketOffer | undefined => {
  const { remoteAddress: host, remotePort: port, localAddress, localPort } = socket;
  if (host === undefined || port === undefined) {
    socket.destroy();
    return undefined;
  }
  const connectionId = randomBytes(16).toString("hex");
  const remoteAddress = formatListenAddress({ host, port });
  return {
    connectionId,
    remoteAddress,
    admit: (send) => {
      socket.setKeepAlive(true, TCP_KEEP_ALIVE_MILLIS);
      const addresses = {
        connectionId,
        remoteAddress,
        localAddress: formatListenAddress({ host: localAddress ?? "", port: localPort ?? 0 }),
      };
      return new SshConnection(socket, addresses, settings, send);
    },
    turnAway: () => {
      socket.on("error", () => socket.destroy());
      socket.destroy();
    },
  };
};

const listening = (
  server: Server,
  { host, port }: ListenAddress,
  tries: number,
): Effect.Effect<void, ListenFailed> =>
  Effect.callback((resume) => {
    let attempt = 0;
    const listen = (): void => {
      server.once("error", failed).listen({ host, port: port === 0 ? 0 : port + attempt }, listens);
    };
    const failed = (error: NodeJS.ErrnoException): void => {
      server.off("listening", listens);
      attempt++;
      if (error.code === "EADDRINUSE" && attempt < tries && port !== 0) return listen();
      resume(Effect.fail(new ListenFailed(reasonOf(error, { host, port }))));
    };
    const listens = (): void => {
      server.off("error", failed);
      resume(Effect.void);
    };
    listen();
  });

const reasonOf = (error: NodeJS.ErrnoException, listen: ListenAddress) => {
  const address = formatListenAddress(listen);
  const hints: Readonly<Record<string, string>> = {
    EADDRINUSE: "another program listens there already: stop it, or set ssh.listen to another port",
    EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE: set ssh.listen to a higher port",
    EADDRNOTAVAIL: "this machine has no such address: correct ssh.listen",
  };
  return {
    message: `The SSH server can't listen on ${address}: ${hints[error.code ?? ""] ?? error.message}`,
    details: { address, error: error.code ?? error.message },
    cause: error,
  };
};

const addressOf = (address: AddressInfo | string | null): string =>
  address === null || typeof address === "string"
    ? String(address)
    : formatListenAddress({ host: address.address, port: address.port });
