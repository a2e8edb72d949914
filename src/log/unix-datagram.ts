/**
 * Sending to a Unix datagram socket, which is what /dev/log usually is. Node.js has none: the optional package
 * `unix-dgram` does, with non-blocking calls.
 */
import { once } from "node:events";
import { getSystemErrorName } from "node:util";
import { reasonOf } from "./failures.ts";

export interface UnixDatagrams {
  readonly send: (data: Buffer) => Promise<void>;
  readonly close: () => void;
}

/** What the package reports when the receiver's queue is full; any other code is a negative errno. */
const congestion = 1;

export const connectUnixDatagrams = async (path: string): Promise<UnixDatagrams> => {
  const { default: unix } = await import("unix-dgram").catch((cause: unknown) => {
    throw new Error(
      `${path} is a datagram socket: install the optional package unix-dgram to use it (${reasonOf(cause)})`,
    );
  });
  const socket = unix.createSocket("unix_dgram");
  const close = () => socket.close();
  const connected = once(socket, "connect");
  socket.connect(path);
  await connected.catch((cause: unknown) => {
    close();
    throw named(cause);
  });
  const attempt = (data: Buffer) =>
    new Promise<(Error & { readonly code: number }) | undefined>((resolve) => socket.send(data, resolve));
  const send = async (data: Buffer): Promise<void> => {
    for (;;) {
      const error = await attempt(data);
      if (error === undefined) return;
      if (error.code !== congestion) throw named(error);
      await once(socket, "writable");
    }
  };
  return { send, close };
};

/** The package names errors by number only. */
const named = (error: unknown): unknown =>
  error instanceof Error && "code" in error && typeof error.code === "number" && error.code < 0
    ? new Error(`${error.message.split(" ")[0]} ${getSystemErrorName(error.code)}`, { cause: error })
    : error;
