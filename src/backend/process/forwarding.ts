/** TCP connections from inside the environment: to the loopback network that it shares with the daemon, or none. */
import { isIP, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Effect, type Scope } from "effect";
import { ForwardingFailed, ForwardingRefused } from "./failures.ts";

const LAST_PORT = 65_535;

/** Other machines are the network's to reach, not the daemon's: it may be allowed what its users are not. */
const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));

export const openLoopback = (
  host: string,
  port: number,
  sharesNetwork: boolean,
): Effect.Effect<Duplex, ForwardingRefused | ForwardingFailed, Scope.Scope> => {
  const details = { host, port };
  if (!sharesNetwork) {
    const message = "process.network is off: nothing inside the environment can be reached by TCP";
    return Effect.fail(new ForwardingRefused({ message, details }));
  }
  if (!isLoopback(host) || port < 1 || port > LAST_PORT) {
    const message = "The process backend opens TCP connections to ports of loopback addresses only";
    return Effect.fail(new ForwardingRefused({ message, details }));
  }
  return Effect.acquireRelease(dial(host, port), (socket) => Effect.sync(() => socket.destroy()), {
    interruptible: true,
  });
};

const dial = (host: string, port: number): Effect.Effect<Socket, ForwardingFailed> =>
  Effect.callback((resume) => {
    const socket = new Socket({ allowHalfOpen: true });
    // Whoever pipes it listens, too; a connection that breaks in between must not take the daemon along.
    socket.on("error", (cause) =>
      resume(
        Effect.fail(
          new ForwardingFailed({
            message: "The TCP connection could not be opened",
            details: { host, port, error: cause.message },
            cause,
          }),
        ),
      ),
    );
    socket.connect({ host, port, noDelay: true }, () => resume(Effect.succeed(socket)));
    return Effect.sync(() => socket.destroy());
  });
