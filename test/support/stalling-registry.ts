/** A registry with an image whose contents stop coming in the middle, so that a pull of it never ends by itself. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestEngine } from "./docker.ts";
import { startRegistry } from "./docker-registry.ts";

export interface StallingRegistry extends AsyncDisposable {
  /** The image's name, which the Engine does not have. */
  readonly image: string;
  /** When the image's contents were asked for; half of them arrive. */
  readonly reached: Promise<void>;
}

export const stallingRegistry = async (engine: TestEngine): Promise<StallingRegistry> => {
  const registry = await startRegistry();
  const name = `${registry.address}/slow:1`;
  // Contents that the Engine does not have yet: it would not ask for others.
  await engine.image(name, { files: { "/noise": randomBytes(300_000).toString("base64") } });
  await registry.push(engine, name);
  await engine.docker.getImage(name).remove({ force: true });
  let reach: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const server = createServer(async (request, response) => {
    const answer = await fetch(`http://${registry.address}${request.url}`, {
      method: request.method ?? "GET",
      headers: { accept: request.headers.accept ?? "*/*" },
    });
    const body = Buffer.from(await answer.arrayBuffer());
    const headers = [...answer.headers].filter(([header]) => header !== "transfer-encoding");
    response.writeHead(answer.status, Object.fromEntries(headers));
    if (body.length < 100_000) {
      response.end(body);
      return;
    }
    response.write(body.subarray(0, body.length / 2));
    reach();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    image: `127.0.0.1:${(server.address() as AddressInfo).port}/slow:1`,
    reached,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await registry[Symbol.asyncDispose]();
    },
  };
};
