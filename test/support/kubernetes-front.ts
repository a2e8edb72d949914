/**
 * Stands before a real API server: sees every request as the user `berth` makes it, and may do something before it goes
 * on, or have it made by somebody who may do nothing. For what has to happen in a cluster at the right moment.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { buffer, json } from "node:stream/consumers";
import { parse } from "yaml";

export interface ClusterRequest {
  /** As a Role names it. */
  readonly verb: string;
  /** `pods`, `pods/exec`, `pods/attach`. */
  readonly resource: string;
  readonly name: string;
  readonly query: URLSearchParams;
  /** What was sent; undefined for requests that send nothing. */
  readonly body: unknown;
}

/** `denied`: the API server is asked by a user without permissions, and answers that. */
export type Verdict = "denied" | undefined;

export interface ClusterFront extends AsyncDisposable {
  readonly url: string;
  /** All so far. */
  readonly requests: readonly ClusterRequest[];
  /** Closes the connections of the watches that are answered now; how many they were. */
  readonly breakWatches: () => number;
}

export interface ApiServer extends Disposable {
  readonly server: URL;
  readonly agent: Agent;
  /** Asks as the administrator; undefined when there is no such object. */
  readonly ask: <A>(
    method: string,
    path: string,
    body?: object,
    contentType?: string,
  ) => Promise<A | undefined>;
}

/** The API server of a kubeconfig file that names certificates. */
export const apiServer = async (kubeconfig: string): Promise<ApiServer> => {
  const { clusters, users } = parse(await readFile(kubeconfig, "utf8"));
  const { server: url, "certificate-authority": ca } = clusters[0].cluster;
  const { "client-certificate": cert, "client-key": key } = users[0].user;
  const server = new URL(url);
  const agent = new Agent({
    keepAlive: true,
    ca: await readFile(ca),
    cert: await readFile(cert),
    key: await readFile(key),
  });
  return {
    server,
    agent,
    ask: async (method, path, body, contentType = "application/json") => {
      const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
      const request = httpsRequest(new URL(path, server), {
        method,
        agent,
        headers:
          content === undefined ? {} : { "Content-Type": contentType, "Content-Length": content.length },
      });
      request.end(content);
      const [response] = (await once(request, "response")) as [IncomingMessage];
      const answer = await json(response);
      if (response.statusCode === 404) return undefined;
      if ((response.statusCode ?? 0) >= 400) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
      return answer as never;
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
};

/** `decide`: what is to happen before a request goes on. */
export const clusterFront = async (
  { server, agent }: ApiServer,
  decide: (request: ClusterRequest) => Promise<Verdict>,
): Promise<ClusterFront> => {
  const requests: ClusterRequest[] = [];
  const sockets = new Set<Duplex>();
  const watches = new Set<ServerResponse>();
  const keep = (socket: Duplex): void => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
  };

  const forwarded = async (incoming: IncomingMessage, body: Buffer) => {
    const asked = read(incoming, body);
    requests.push(asked);
    const verdict = await decide(asked);
    const { host: _, ...headers } = incoming.headers;
    const user = verdict === "denied" ? "nobody" : "berth";
    const request = httpsRequest(new URL(incoming.url ?? "", server), {
      method: incoming.method ?? "GET",
      agent,
      headers: { ...headers, "Impersonate-User": user },
    });
    request.on("error", () => incoming.socket.destroy());
    return { asked, request };
  };

  const answer = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(incoming);
    const { asked, request } = await forwarded(incoming, body);
    response.once("close", () => request.destroy());
    request.once("response", (real) => {
      response.writeHead(real.statusCode ?? 502, real.headers);
      response.flushHeaders();
      real.pipe(response);
      if (asked.verb !== "watch") return;
      watches.add(response);
      response.once("close", () => watches.delete(response));
    });
    request.end(body);
  };

  const upgrade = async (incoming: IncomingMessage, client: Socket): Promise<void> => {
    const { request } = await forwarded(incoming, Buffer.alloc(0));
    const say = (real: IncomingMessage): void => {
      const headers = real.rawHeaders.flatMap((name, index, all) =>
        index % 2 === 0 ? [`${name}: ${all[index + 1]}`] : [],
      );
      client.write([`HTTP/1.1 ${real.statusCode} ${real.statusMessage}`, ...headers, "", ""].join("\r\n"));
    };
    request.once("upgrade", (real, upstream, head) => {
      keep(upstream);
      say(real);
      client.write(head);
      upstream.pipe(client).pipe(upstream);
      client.once("close", () => upstream.destroy());
    });
    request.once("response", (real) => {
      say(real);
      real.pipe(client);
    });
    request.end();
  };

  const front = createServer((incoming, response) => void answer(incoming, response));
  front.on("connection", keep);
  front.on("upgrade", (incoming, client) => void upgrade(incoming, client as Socket));
  front.listen(0, "127.0.0.1");
  await once(front, "listening");
  return {
    url: `http://127.0.0.1:${(front.address() as AddressInfo).port}`,
    requests,
    breakWatches: () => {
      const count = watches.size;
      for (const watch of watches) watch.destroy();
      return count;
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(front, "close");
      front.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
};

const PATH = /^\/api\/v1\/namespaces\/[^/]+\/pods(?:\/([^/]+)(?:\/(exec|attach))?)?$/;

const read = ({ url = "", method = "" }: IncomingMessage, body: Buffer): ClusterRequest => {
  const { pathname, searchParams: query } = new URL(url, "http://api");
  const [, name = "", subresource] = PATH.exec(pathname) ?? [];
  const reading = query.get("watch") === "true" ? "watch" : name === "" ? "list" : "get";
  return {
    verb: { GET: reading, POST: "create", DELETE: "delete", PATCH: "patch" }[method] ?? "",
    resource: subresource === undefined ? "pods" : `pods/${subresource}`,
    name,
    query,
    body: body.length === 0 ? undefined : JSON.parse(body.toString()),
  };
};
