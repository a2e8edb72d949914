/**
 * Notices that a server no longer listens, because somebody closed its socket (`ss --kill` does): Node.js drops the
 * error that accepting ends with, says nothing, and tries again at full speed for ever.
 */
import { type AddressInfo, createServer, type Server } from "node:net";
import { Duration, Effect } from "effect";
import { formatListenAddress } from "./config/codecs.ts";
import { failure } from "./failure.ts";

const CHECK_INTERVAL = Duration.seconds(5);

export class ListenerLost extends failure(
  "ListenerLost",
  "SERVICE_LISTENER_LOST",
  "The server is starting again. Please connect again in a moment.",
) {}

/** Fails once a server that listens on a port no longer does. */
export const lossOf = (server: Server): Effect.Effect<never, ListenerLost> =>
  Effect.sleep(CHECK_INTERVAL).pipe(
    Effect.andThen(Effect.suspend(() => check(server.address()))),
    Effect.forever,
  );

const check = (address: ReturnType<Server["address"]>): Effect.Effect<void, ListenerLost> =>
  address === null || typeof address === "string"
    ? Effect.void
    : Effect.flatMap(isFree(address), (free) => {
        if (!free) return Effect.void;
        const listen = formatListenAddress({ host: address.address, port: address.port });
        const message = `Nobody listens on ${listen} any more: the socket was closed from outside`;
        return Effect.fail(new ListenerLost({ message, details: { address: listen } }));
      });

/** The system lets nobody else listen on an address while a socket does: ours, or another program's that was faster. */
const isFree = ({ address: host, port }: AddressInfo): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const other = createServer((socket) => socket.destroy());
    other.once("error", () => resume(Effect.succeed(false)));
    other.listen({ host, port }, () => other.close(() => resume(Effect.succeed(true))));
    return Effect.sync(() => void other.close());
  });
