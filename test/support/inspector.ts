/** The inspector of a daemon that runs, asked as its API and its WebSocket are asked from outside. */
import { once } from "node:events";
import { Agent } from "undici";
import { WebSocket } from "ws";
import type { Row, Statistics, Trace, Visits } from "../../src/inspect/format.ts";
import type { Configuration, Daemon } from "./daemon.ts";

const TOKEN = "a-token-for-the-tests";

/** The section `inspect` of a configuration: on, at a free port, with a token that tests know. */
export const inspectSection = (more: Configuration = {}): Configuration => ({
  enable: true,
  listen: "127.0.0.1:0",
  token: TOKEN,
  ...more,
});

export interface InspectorClient {
  readonly url: string;
  readonly token: string;
  /** The page's address with the token, as it is printed. */
  readonly link: string;
  readonly request: (path: string, init?: RequestInit) => Promise<Response>;
  readonly connections: () => Promise<readonly Row[]>;
  /** By a connection's ID or the reference that its user was shown. */
  readonly trace: (reference: string) => Promise<Trace>;
  readonly daemonTrace: () => Promise<Trace>;
  readonly statistics: () => Promise<Statistics & { readonly machines: Readonly<Record<string, Visits>> }>;
  /** A WebSocket that is open. */
  readonly connect: (subprotocols?: readonly string[]) => Promise<WebSocket>;
}

/** Waits until the daemon's inspector listens. With a certificate, nobody asks whose it is. */
export const openInspector = async (
  daemon: Daemon,
  scheme: "http" | "https" = "http",
): Promise<InspectorClient> => {
  const { details } = await daemon.log.next("INSPECT_AVAILABLE");
  const url = `${scheme}://${details.address}`;
  const authorization = `Bearer ${TOKEN}`;
  const tls = scheme === "https" && { dispatcher: new Agent({ connect: { rejectUnauthorized: false } }) };
  const request = (path: string, init: RequestInit = {}) =>
    fetch(`${url}${path}`, { ...init, ...tls, headers: { authorization, ...init.headers } } as RequestInit);
  const get = async <A>(path: string): Promise<A> => {
    const response = await request(path);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as A;
  };
  return {
    url,
    token: TOKEN,
    link: `${url}/#token=${TOKEN}`,
    request,
    connections: async () =>
      (await get<{ readonly connections: readonly Row[] }>("/api/connections")).connections,
    trace: (reference) => get(`/api/connections/${reference}`),
    daemonTrace: () => get("/api/daemon"),
    statistics: () => get("/api/statistics"),
    connect: async (subprotocols = []) => {
      const socket = new WebSocket(`${url.replace("http", "ws")}/inspect`, [...subprotocols], {
        headers: { authorization },
      });
      await once(socket, "open");
      return socket;
    },
  };
};
