/** What Berth and its tests use of the package `unix-dgram`, which comes without types. */
declare module "unix-dgram" {
  import type { EventEmitter } from "node:events";

  export interface UnixDatagramSocket extends EventEmitter {
    bind(path: string): void;
    /** Emits `connect` or `error` before it returns. */
    connect(path: string): void;
    /** On a connected socket. The callback is called before it returns. */
    send(data: Buffer, callback: (error?: Error & { readonly code: number }) => void): void;
    close(): void;
  }

  const unix: {
    createSocket(type: "unix_dgram", onMessage?: (message: Buffer) => void): UnixDatagramSocket;
  };
  export default unix;
}
