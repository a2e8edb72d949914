/** Between a KDC and those who ask it, on the loopback by UDP and TCP: answers come late, or never. */
import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type Kdc, REALM } from "./kdc.ts";
import { freePort } from "./ports.ts";
import { directory } from "./resources.ts";

export interface SlowKdc extends AsyncDisposable {
  /** The KDC's own file, for who is to find it here. */
  readonly configPath: string;
  /** How many questions came. */
  readonly asked: () => number;
}

/** @param delayMillis how long each answer is held back; Infinity keeps them all */
export const slowKdc = async (kdc: Kdc, delayMillis: number): Promise<SlowKdc> => {
  const kdcPort = kdc.ports[REALM];
  const port = await freePort();
  const timers = new Set<NodeJS.Timeout>();
  const sockets = new Set<Socket>();
  let asked = 0;
  const late = (act: () => void): void => {
    asked += 1;
    if (!Number.isFinite(delayMillis)) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      act();
    }, delayMillis);
    timers.add(timer);
  };

  const udp = createSocket("udp4");
  udp.on("message", (question, { port: from, address }: RemoteInfo) =>
    late(() => {
      const upstream = createSocket("udp4");
      upstream.on("message", (answer) => {
        udp.send(answer, from, address);
        upstream.close();
      });
      upstream.on("error", () => upstream.close());
      upstream.send(question, kdcPort, "127.0.0.1");
    }),
  );
  udp.bind(port, "127.0.0.1");
  await once(udp, "listening");

  const tcp = createServer((client) => {
    sockets.add(client);
    client.on("error", () => {}).once("close", () => sockets.delete(client));
    late(() => {
      const upstream = connect(kdcPort, "127.0.0.1");
      upstream.on("error", () => client.destroy());
      client.pipe(upstream).pipe(client);
    });
  });
  tcp.listen(port, "127.0.0.1");
  await once(tcp, "listening");

  const home = await directory();
  const configPath = join(home.path, "krb5.conf");
  const text = await readFile(kdc.configPath, "utf8");
  await writeFile(configPath, text.replace(`127.0.0.1:${kdcPort}`, `127.0.0.1:${port}`));

  return {
    configPath,
    asked: () => asked,
    [Symbol.asyncDispose]: async () => {
      for (const timer of timers) clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      udp.close();
      tcp.close();
      await once(tcp, "close");
      await home[Symbol.asyncDispose]();
    },
  };
};
