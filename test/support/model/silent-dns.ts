/** A name server that keeps its clients waiting until a test lets it say that it knows no such name. */
import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { directory } from "../resources.ts";

/** Of the loopback, and nobody else's. */
const ADDRESS = "127.77.0.1";

export interface SilentDns extends AsyncDisposable {
  /** The shell command by which a daemon in a mount namespace of its own asks this server, for `beforehand`. */
  readonly beforehand: string;
  /** Answers what was asked and what will be. */
  readonly speak: () => void;
}

export const startSilentDns = async (): Promise<SilentDns> => {
  const home = await directory();
  const file = join(home.path, "resolv.conf");
  await writeFile(file, `nameserver ${ADDRESS}\noptions timeout:30 attempts:1\n`);
  const socket = createSocket("udp4");
  const waiting: (readonly [query: Buffer, from: RemoteInfo])[] = [];
  let speaks = false;
  const answer = (query: Buffer, { address, port }: RemoteInfo): void => {
    // RFC 1035 section 4.1.1: the question with QR set, and RCODE 3.
    const reply = Buffer.from(query);
    reply[2] = (reply[2] ?? 0) | 0x80;
    reply[3] = 3;
    socket.send(reply, port, address);
  };
  socket.on("message", (query, from) => {
    if (speaks) answer(query, from);
    else waiting.push([query, from]);
  });
  socket.bind(53, ADDRESS);
  await once(socket, "listening");
  return {
    beforehand: `mount --bind ${file} /etc/resolv.conf`,
    speak: () => {
      speaks = true;
      for (const [query, from] of waiting.splice(0)) answer(query, from);
    },
    [Symbol.asyncDispose]: async () => {
      socket.close();
      await home[Symbol.asyncDispose]();
    },
  };
};
