/** A way to a server that a test opens and cuts, as cables, firewalls and switches do. It is closed at first. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Gate extends AsyncDisposable {
  readonly port: number;
  /** Somebody came to the gate. */
  readonly reached: Promise<void>;
  /** Lets through who waits and who comes. */
  readonly open: () => void;
  /** Ends what went through and what waits; who comes finds nobody. */
  readonly cut: () => void;
}

export const openGate = async (to: { readonly host: string; readonly port: number }): Promise<Gate> => {
  const sockets = new Set<Socket>();
  const waiting = new Set<Socket>();
  let come = (): void => {};
  const reached = new Promise<void>((resolve) => {
    come = resolve;
  });
  let isOpen = false;
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on("error", () => socket.destroy()).once("close", () => sockets.delete(socket));
  };
  const letThrough = (socket: Socket): void => {
    const server = keep(connect(to));
    socket.pipe(server).pipe(socket);
    socket.once("close", () => server.destroy());
    server.once("close", () => socket.destroy());
  };
  const listener = createServer((socket) => {
    keep(socket);
    come();
    if (isOpen) letThrough(socket);
    else waiting.add(socket);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const cut = (): void => {
    listener.close();
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (listener.address() as AddressInfo).port,
    reached,
    open: () => {
      isOpen = true;
      for (const socket of waiting) letThrough(socket);
      waiting.clear();
    },
    cut,
    [Symbol.asyncDispose]: async () => {
      if (!listener.listening) return;
      const gone = once(listener, "close");
      cut();
      await gone;
    },
  };
};
