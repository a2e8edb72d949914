/** What kube-proxy does, which the test cluster has not: the API server at its service's address, for pods. */

import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { pipeline } from "node:stream";
import { must } from "./command.ts";

/** Of the service `kubernetes` in the namespace `default`. */
const ADDRESS = "10.96.0.1";

/** Passes connections on to the API server until it is disposed of; needs root. */
export const kubernetesService = async (apiServer: URL): Promise<AsyncDisposable> => {
  await must("ip", ["address", "replace", `${ADDRESS}/32`, "dev", "lo"]);
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.once("close", () => sockets.delete(socket));
  };
  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ host: apiServer.hostname, port: Number(apiServer.port), allowHalfOpen: true });
    // One side's end, or its failure, is the other's.
    pipeline(keep(client), keep(upstream), keep(client), () => undefined);
  });
  server.listen(443, ADDRESS);
  await once(server, "listening");
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
      await must("ip", ["address", "delete", `${ADDRESS}/32`, "dev", "lo"]);
    },
  };
};
