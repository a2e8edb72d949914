/** TCP and UDP ports of 127.0.0.1 that nothing listens on. */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Linux gives ports from 32768 on to whoever does not ask for one (ip_local_port_range of ip(7)), Kubernetes those from
 * 30000 on to services: of these, nobody takes one before the test does.
 */
const [FIRST, LAST] = [20_000, 30_000];

const given = new Set<number>();

/** A free port; the same one is never given twice by this process. */
export const freePort = async (): Promise<number> => {
  for (;;) {
    const port = randomInt(FIRST, LAST);
    if (given.has(port)) continue;
    given.add(port);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
};
