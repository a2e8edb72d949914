/**
 * Syslog as a destination of the log: a Unix socket (stream or datagram) by its path, or UDP by `host:port`. TCP is
 * not spoken, as in the reference.
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { connect, isIPv6, type Socket } from "node:net";
import { Effect } from "effect";
import { type ListenAddress, parseListenAddress } from "../config/codecs.ts";
import type { Destination, Written } from "./destination.ts";
import { LogSyslogOpenFailed, reasonOf } from "./failures.ts";
import { writeLines } from "./stream.ts";
import { connectUnixDatagrams } from "./unix-datagram.ts";

/** Opens `/path/of/a/socket` or `host:port`. A socket that nobody listens on is a failure now and an outage later. */
export const openSyslog = (destination: string): Effect.Effect<Destination, LogSyslogOpenFailed> =>
  Effect.tryPromise({
    try: async () => {
      const description = `syslog at ${destination}`;
      const dial = destination.startsWith("/") ? () => dialUnix(destination) : () => dialUdp(destination);
      return new Syslog(description, dial, await dial());
    },
    catch: (cause) =>
      new LogSyslogOpenFailed({
        message: `failed to open syslog at ${destination} (${reasonOf(cause)})`,
        details: { destination },
        cause,
      }),
  });

/** One open socket. */
interface Line {
  readonly send: (lines: ReadonlyArray<string>) => Promise<Written>;
  readonly close: () => void;
}

/** Dials again when sending failed, for syslog servers are restarted. */
class Syslog implements Destination {
  readonly description: string;
  readonly #dial: () => Promise<Line>;
  #line: Line | undefined;

  constructor(description: string, dial: () => Promise<Line>, line: Line) {
    this.description = description;
    this.#dial = dial;
    this.#line = line;
  }

  async write(lines: ReadonlyArray<string>): Promise<Written> {
    try {
      this.#line ??= await this.#dial();
    } catch (cause) {
      return { lines: 0, reason: asError(cause) };
    }
    const written = await this.#line.send(lines);
    if (written.reason !== undefined) await this.close();
    return written;
  }

  async reopen(): Promise<void> {
    const line = await this.#dial();
    await this.close();
    this.#line = line;
  }

  async close(): Promise<void> {
    this.#line?.close();
    this.#line = undefined;
  }
}

const asError = (cause: unknown): Error => (cause instanceof Error ? cause : new Error(String(cause)));

/** As the reference: a stream socket, and if the path is not one a datagram socket. */
const dialUnix = async (path: string): Promise<Line> => {
  try {
    return streamLine(await connected(path));
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "EPROTOTYPE")) throw cause;
    return await datagramLine(path);
  }
};

const connected = async (path: string): Promise<Socket> => {
  const socket = connect(path);
  await once(socket, "connect");
  return socket;
};

const streamLine = (socket: Socket): Line => {
  let broken: Error | undefined;
  socket.on("error", (error) => {
    broken = error;
  });
  // A server never says anything; reading is how its going away is noticed.
  socket.resume().on("end", () => {
    broken ??= new Error("the syslog server closed the connection");
  });
  return {
    send: async (lines) => (broken ? { lines: 0, reason: broken } : writeLines(socket, lines)),
    close: () => socket.destroy(),
  };
};

const dialUdp = async (destination: string): Promise<Line> => {
  const { host, port } = udpAddress(destination);
  const { address } = await lookup(host);
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  try {
    const connected = once(socket, "connect");
    socket.connect(port, address);
    await connected;
  } catch (cause) {
    socket.close();
    throw cause;
  }
  let refused: Error | undefined;
  // Nobody listened when an earlier datagram arrived: the system tells it now.
  socket.on("error", (error) => {
    refused = error;
  });
  return {
    send: (lines) =>
      oneByOne(lines, async (line) => {
        const reason = refused;
        refused = undefined;
        if (reason !== undefined) throw reason;
        await sendUdp(socket, line);
      }),
    close: () => socket.close(),
  };
};

const sendUdp = (socket: UdpSocket, line: string): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.send(line, (error) => (error ? reject(error) : resolve()));
  });

const udpAddress = (destination: string): ListenAddress => {
  const address = parseListenAddress(destination);
  if (address === undefined) throw new Error("expected the path of a Unix socket, or host:port for UDP");
  return address;
};

const datagramLine = async (path: string): Promise<Line> => {
  const datagrams = await connectUnixDatagrams(path);
  return {
    send: (lines) => oneByOne(lines, (line) => datagrams.send(Buffer.from(line))),
    close: datagrams.close,
  };
};

const oneByOne = async (
  lines: ReadonlyArray<string>,
  send: (line: string) => Promise<void>,
): Promise<Written> => {
  let sent = 0;
  for (const line of lines) {
    try {
      await send(line);
    } catch (cause) {
      return { lines: sent, reason: asError(cause) };
    }
    sent += 1;
  }
  return { lines: sent };
};
