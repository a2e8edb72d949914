/**
 * An API server of our own, for what a real one can't be made to show: it speaks Kubernetes' HTTP and its exec over
 * WebSocket (`v5.channel.k8s.io` or `v4`), runs real processes of this machine, and misbehaves when it is told to.
 * One container is as good as another: all programs run on this machine.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { json } from "node:stream/consumers";
import type { V1ContainerState, V1Pod } from "@kubernetes/client-node";
import { Effect } from "effect";
import { onTestFinished } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { libcOnce } from "../../../src/backend/process/libc.ts";
import { ApiError, Pods } from "./pods.ts";
import { serveProcess } from "./processes.ts";

export type Protocol = "v5.channel.k8s.io" | "v4.channel.k8s.io";

export interface ApiRequest {
  /** As a Role names it. */
  readonly verb: string;
  /** `pods`, `pods/exec`, `pods/attach`. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly query: URLSearchParams;
  readonly authorization: string | undefined;
  /** Over a connection that carried another request before. */
  readonly isReused: boolean;
  /** What was sent; missing for requests that send nothing. */
  readonly body?: unknown;
}

export interface ApiOptions {
  /** The best exec protocol it speaks. Default v5. */
  readonly protocol?: Protocol;
  /** How created pods begin. Default: they run. */
  readonly state?: V1ContainerState;
  /** Its clock. Default: this machine's. */
  readonly now?: () => Date;
  /** Over TLS. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca?: string };
  /**
   * Asked before every request: an error is the answer, `drop` closes the connection instead, `dropAnswer` does what
   * was asked and closes the connection then, `hang` never answers.
   */
  readonly meddle?: (request: ApiRequest) => ApiError | "drop" | "dropAnswer" | "hang" | undefined;
}

export interface TestApi {
  readonly url: string;
  readonly pods: Pods;
  /** What was asked for, in order: `create pods`. */
  readonly requests: ApiRequest[];
  /** Open exec and attach connections. */
  readonly streams: ReadonlySet<WebSocket>;
  readonly close: () => Promise<void>;
}

/** For use inside a test: it is gone when the test is over. */
export const testApi = async (options: ApiOptions = {}): Promise<TestApi> => {
  const api = await openApi(options);
  onTestFinished(api.close);
  return api;
};

/** For use by several tests. */
export const openApi = async (options: ApiOptions = {}): Promise<TestApi> => {
  const libc = await Effect.runPromise(libcOnce());
  const pods = new Pods(options.now);
  const requests: ApiRequest[] = [];
  const streams = new Set<WebSocket>();
  const sockets = new Set<Socket>();
  const { tls, meddle = () => undefined } = options;
  const listener = (request: IncomingMessage, response: ServerResponse): void =>
    void answer({ pods, requests, meddle, state: options.state ?? { running: {} } }, request, response);
  const server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer(
          { ...tls, requestCert: tls.ca !== undefined, rejectUnauthorized: tls.ca !== undefined },
          listener,
        );
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const upgrader = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => protocolOf(offered, options.protocol ?? "v5.channel.k8s.io"),
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const asked = parse(request);
    requests.push(asked);
    const answer = meddle(asked);
    if (answer === "drop") return void socket.destroy();
    if (answer === "hang") return;
    if (answer instanceof ApiError) return refuseUpgrade(socket, answer);
    upgrader.handleUpgrade(request, socket, head, (stream) => {
      streams.add(stream);
      stream.once("close", () => streams.delete(stream));
      serveProcess(libc, stream, {
        words: asked.resource === "pods/attach" ? commandOf(pods, asked) : asked.query.getAll("command"),
        terminal: asked.query.get("tty") === "true",
        ended: (exitCode) => {
          // A container ends with its own program.
          if (asked.resource === "pods/attach")
            pods.setState(asked.namespace, asked.name, { terminated: { exitCode } });
        },
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = async (): Promise<void> => {
    for (const stream of streams) stream.terminate();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    pods,
    requests,
    streams,
    close,
  };
};

/** A container's own program begins when somebody is attached. Of `$$` one is left, as in Kubernetes. */
const commandOf = (pods: Pods, { namespace, name, query }: ApiRequest): readonly string[] =>
  (
    pods.get(namespace, name).spec?.containers.find((container) => container.name === query.get("container"))
      ?.command ?? []
  ).map((word) => word.replaceAll("$$", () => "$"));

const protocolOf = (offered: Set<string>, best: Protocol): string | false =>
  offered.has(best) ? best : offered.has("v4.channel.k8s.io") ? "v4.channel.k8s.io" : false;

interface Serving {
  readonly pods: Pods;
  readonly requests: ApiRequest[];
  readonly meddle: NonNullable<ApiOptions["meddle"]>;
  readonly state: V1ContainerState;
}

const PATH = /^\/api\/v1\/namespaces\/([^/]+)\/pods(?:\/([^/]+)(?:\/(exec|attach))?)?$/;

/** Connections that have carried a request. */
const used = new WeakSet<Socket>();

const parse = (request: IncomingMessage): ApiRequest => {
  const url = new URL(request.url ?? "", "http://api");
  const [, namespace = "", name = "", subresource] = PATH.exec(url.pathname) ?? [];
  const isWatch = url.searchParams.get("watch") === "true";
  const read = isWatch ? "watch" : name === "" ? "list" : "get";
  const verb = { GET: read, POST: "create", DELETE: "delete", PATCH: "patch" }[request.method ?? ""] ?? "";
  const resource = subresource === undefined ? "pods" : `pods/${subresource}`;
  const isReused = used.has(request.socket);
  used.add(request.socket);
  return {
    isReused,
    verb,
    resource,
    namespace,
    name,
    query: url.searchParams,
    authorization: request.headers.authorization,
  };
};

const answer = async (
  serving: Serving,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const body = ["POST", "PATCH", "DELETE"].includes(request.method ?? "") ? await json(request) : undefined;
  const asked = { ...parse(request), body };
  serving.requests.push(asked);
  const trouble = serving.meddle(asked);
  if (trouble === "hang") return;
  if (trouble === "drop") return void request.socket.destroy();
  try {
    if (trouble instanceof ApiError) throw trouble;
    if (asked.verb === "watch") return watch(serving, asked, response);
    const found = act(serving, asked, body);
    if (trouble === "dropAnswer") return void request.socket.destroy();
    reply(response.setHeader("date", serving.pods.now().toUTCString()), 200, found);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.retryAfterSeconds !== undefined)
      response.setHeader("retry-after", String(error.retryAfterSeconds));
    reply(response, error.httpStatus, statusOf(error));
  }
};

const act = (
  { pods, state }: Serving,
  { verb, namespace, name, query }: ApiRequest,
  body: unknown,
): object => {
  switch (verb) {
    case "list": {
      const [key = ""] = (query.get("labelSelector") ?? "").split("=");
      const items = pods.list(namespace).filter(({ metadata }) => metadata?.labels?.[key] !== undefined);
      return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
    }
    case "get":
      return pods.get(namespace, name);
    case "create":
      return pods.create(namespace, body as V1Pod, state);
    case "patch":
      return pods.annotate(namespace, name, body as V1Pod);
    case "delete":
      return pods.delete(namespace, name, (body as { preconditions?: object }).preconditions ?? {});
    default:
      throw new ApiError(404, "NotFound", "the server could not find the requested resource");
  }
};

const watch = ({ pods }: Serving, { query }: ApiRequest, response: ServerResponse): void => {
  const wanted = query.get("fieldSelector")?.replace("metadata.name=", "");
  response.writeHead(200, { "content-type": "application/json" });
  response.flushHeaders();
  const end = pods.watch(Number(query.get("resourceVersion")), (event) => {
    if (event.object.metadata?.name === wanted) response.write(`${JSON.stringify(event)}\n`);
  });
  response.once("close", end);
};

const statusOf = ({ httpStatus, reason, message }: ApiError) => ({
  kind: "Status",
  apiVersion: "v1",
  status: "Failure",
  reason,
  message,
  code: httpStatus,
});

const reply = (response: ServerResponse, httpStatus: number, body: object): void => {
  response.writeHead(httpStatus, { "content-type": "application/json" }).end(JSON.stringify(body));
};

const refuseUpgrade = (socket: Duplex, error: ApiError): void => {
  const body = JSON.stringify(statusOf(error));
  socket.end(
    `HTTP/1.1 ${error.httpStatus} ${error.reason}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
};
