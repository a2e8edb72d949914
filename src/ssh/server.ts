/** Listens for SSH clients and offers each socket to whoever decides about connections. */
import { randomBytes } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { Duration, Effect, type Scope } from "effect";
import type { ConnectionEvent } from "../../machines/connection-facts.ts";
import { formatListenAddress } from "../config/codecs.ts";
import type { Ssh } from "../config/sections/ssh.ts";
import { type Failure, failure } from "../failure.ts";
import { type ListenerLost, lossOf } from "../listener.ts";
import type { Logger } from "../log/logger.ts";
import { algorithmsOf } from "./algorithms.ts";
import { type ConnectionSettings, SshConnection } from "./connection.ts";
import { byAlgorithm, type HostKey } from "./host-key.ts";
import type { Link } from "./link.ts";
import { isTooMany, type OpenFiles, openFiles } from "./open-files.ts";
import { prepareTransport } from "./ssh2-extension.ts";

/** How long a silent connection lives until the system asks whether the other end still exists. */
const TCP_KEEP_ALIVE_MILLIS = 60_000;
/** How many connections the system keeps until they are accepted. */
const BACKLOG = 1024;
/** How many ports are tried when the first is taken and the next free one will do. */
const MOST_PORTS = 100;

export class ListenFailed extends failure(
  "ListenFailed",
  "SSH_START_FAILED",
  "The server could not be started. Please ask your administrator.",
) {}

/** A client's socket, before anything was read, written or allocated for it. */
export interface SocketOffer {
  /** 32 hexadecimal digits. */
  readonly connectionId: string;
  /** `address:port`, an IPv6 address in brackets. */
  readonly remoteAddress: string;
  readonly localAddress: string;
  /** Begins to speak SSH. Events come later than this returns, until `peer.disconnected` or `peer.failed`. */
  readonly admit: (send: (event: ConnectionEvent) => void) => Link;
  /** Closes the socket with a line of text. */
  readonly turnAway: (text: string) => void;
}

export interface SshServerOptions {
  readonly config: Ssh;
  readonly hostKeys: readonly HostKey[];
  readonly logger: Logger;
  /** Whether the next free port is taken when the configured one is in use. */
  readonly nextFreePort?: boolean;
  /** Answers by `admit` or `turnAway`, before it returns. */
  readonly onSocket: (offer: SocketOffer) => void;
  /** After how many bytes of a connection keys are exchanged again. */
  readonly bytesPerKey?: number;
}

export interface SshServer {
  /** Where it listens: `address:port`. */
  readonly address: string;
  /** Fails when nobody can connect any more. */
  readonly lost: Effect.Effect<never, ListenerLost>;
  /** Stops listening; connections live on. Closing the scope does the same. */
  readonly close: () => Effect.Effect<void>;
}

export const sshServer = (options: SshServerOptions): Effect.Effect<SshServer, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { config, nextFreePort = false } = options;
    const settings = yield* settingsOf(options);
    const files = openFiles();
    if (files.full < config.maxStartups.full) warnOfFiles(options, files);
    const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
      if (isTooMany(files, socket)) refuseForWantOfFiles(socket, options.logger, files);
      else offer(socket, settings, options.onSocket);
    });
    yield* Effect.acquireRelease(listen(server, config.listen, nextFreePort ? MOST_PORTS : 1), () =>
      close(server),
    );
    // Accepting may fail for want of file descriptors: that is no reason to end the connections there are.
    server.on("error", ({ message: error }) =>
      options.logger.error("SSH_ACCEPT_FAILED", "A connection could not be accepted", { error }),
    );
    return { address: addressOf(server), lost: lossOf(server), close: () => close(server) };
  });

const settingsOf = ({
  config,
  hostKeys,
  logger,
  bytesPerKey,
}: SshServerOptions): Effect.Effect<ConnectionSettings, Failure> =>
  Effect.gen(function* () {
    const algorithms = yield* algorithmsOf(config);
    const transport = yield* prepareTransport({
      serverVersion: config.serverVersion,
      algorithms,
      hostKeys: byAlgorithm(hostKeys),
      ...(bytesPerKey === undefined ? {} : { bytesPerKey }),
    });
    return {
      transport,
      serverVersion: config.serverVersion,
      banner: config.banner,
      clientAliveIntervalMillis: Duration.toMillis(config.clientAliveInterval),
      clientAliveCountMax: config.clientAliveCountMax,
      logger,
    };
  });

const warnOfFiles = ({ config, logger }: SshServerOptions, { limit, full }: OpenFiles): void =>
  logger.warning(
    "SSH_OPEN_FILES_LOW",
    "The process may open fewer files than there may be connections by ssh.maxStartups. Raise its limit (ulimit -n, LimitNOFILE=).",
    { maxStartups: config.maxStartups.full, openFilesLimit: limit, connections: full },
  );

const refuseForWantOfFiles = (socket: Socket, logger: Logger, { limit }: OpenFiles): void => {
  logger.error("SSH_ACCEPT_FAILED", "A client was turned away: the process has too many files open", {
    remoteAddress: format(socket.remoteAddress ?? "", socket.remotePort ?? 0),
    openFilesLimit: limit,
  });
  sendAway(socket, "The server has too many connections. Please connect again in a moment.");
};

const sendAway = (socket: Socket, text: string): void => {
  socket.on("error", () => socket.destroy());
  socket.end(`${text}\r\n`, () => socket.destroy());
};

const offer = (
  socket: Socket,
  settings: ConnectionSettings,
  onSocket: SshServerOptions["onSocket"],
): void => {
  const { remoteAddress = "", remotePort = 0, localAddress = "", localPort = 0 } = socket;
  // A client that has hung up already has no address any more.
  if (remoteAddress === "") return void socket.destroy();
  const addresses = {
    connectionId: randomBytes(16).toString("hex"),
    remoteAddress: format(remoteAddress, remotePort),
    localAddress: format(localAddress, localPort),
  };
  let isAnswered = false;
  onSocket({
    ...addresses,
    admit: (send) => {
      isAnswered = true;
      socket.setKeepAlive(true, TCP_KEEP_ALIVE_MILLIS);
      return new SshConnection(socket, addresses, settings, send);
    },
    turnAway: (text) => {
      isAnswered = true;
      sendAway(socket, text);
    },
  });
  if (!isAnswered) socket.destroy();
};

/** IPv4 clients of a socket that listens on `::` have mapped addresses (RFC 4291 section 2.5.5.2). */
const format = (host: string, port: number): string =>
  formatListenAddress({ host: host.replace(/^::ffff:(?=\d+\.)/, ""), port });

const addressOf = (server: Server): string => {
  const address = server.address();
  return address === null || typeof address === "string" ? "" : format(address.address, address.port);
};

/** Listens on a port, or on one of the `tries - 1` ports that follow it when that is in use. */
const listen = (
  server: Server,
  address: { readonly host: string; readonly port: number },
  tries: number,
): Effect.Effect<void, ListenFailed> =>
  Effect.catch(listenOnce(server, address), (error) =>
    error.code === "EADDRINUSE" && tries > 1 && address.port !== 0 && address.port < 65_535
      ? listen(server, { ...address, port: address.port + 1 }, tries - 1)
      : Effect.fail(
          new ListenFailed({
            message: `Cannot listen on ${formatListenAddress(address)}: ${explain(error)}`,
            details: { address: formatListenAddress(address), error: error.code ?? error.message },
            cause: error,
          }),
        ),
  );

const listenOnce = (
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Effect.Effect<void, NodeJS.ErrnoException> =>
  Effect.callback<void, NodeJS.ErrnoException>((resume) => {
    const failed = (error: Error): void => resume(Effect.fail(error));
    server.once("error", failed);
    server.listen({ port, backlog: BACKLOG, ...(host === "" ? {} : { host }) }, () => {
      server.off("error", failed);
      resume(Effect.void);
    });
  });

const explain = (error: NodeJS.ErrnoException): string => {
  switch (error.code) {
    case "EADDRINUSE":
      return "another program uses this port. Stop it, or set ssh.listen to another one.";
    case "EACCES":
      return "ports below 1024 need more rights. Set ssh.listen to a higher one, or give the process CAP_NET_BIND_SERVICE.";
    case "EADDRNOTAVAIL":
      return "this machine does not have that address. Set ssh.listen to one it has.";
    default:
      return error.message;
  }
};

/** Resolves at once: Node.js would wait for the connections, too. */
const close = (server: Server): Effect.Effect<void> => Effect.sync(() => void server.close());
