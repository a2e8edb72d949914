/** What the page knows of the daemon: it signs in, keeps one WebSocket open, and holds what it was told as signals. */
import { computed, signal } from "@preact/signals";
import {
  BEARER_PREFIX,
  type ClientMessage,
  type Line,
  type Row,
  type ServerMessage,
  type Statistics,
  SUBPROTOCOL,
  type Trace,
} from "../format.ts";
import { tokenOfLink } from "./route.ts";

export type Link =
  /** Nobody has given a token yet. */
  | "signedOut"
  /** The token is not the daemon's. */
  | "refused"
  | "connecting"
  | "open"
  /** It is tried again. */
  | "lost";

const TOKEN_KEY = "berth.token";
const FIRST_RETRY_MILLIS = 500;
const LONGEST_RETRY_MILLIS = 10_000;
/** More lines of the daemon's own trace are not kept here. */
const MOST_DAEMON_LINES = 3000;

export const link = signal<Link>("signedOut");
export const allowControl = signal(false);
export const version = signal("");
export const statistics = signal<Statistics | undefined>(undefined);
/** The server's clock. */
export const now = signal(Date.now());
/** All connections by their ID; the map itself stays, its number of changes is what is watched. */
const rowsById = new Map<string, Row>();
const rowsChanged = signal(0);
export const daemon = signal<Trace | undefined>(undefined);
/** The connection that is followed; `undefined` until its trace has arrived. */
export const followed = signal<Trace | undefined>(undefined);

/** Those that live come first, then those that ended; of each the latest first. */
export const rows = computed<readonly Row[]>(() => {
  rowsChanged.value;
  return [...rowsById.values()].sort(
    (one, other) =>
      (other.endedAt ?? Number.MAX_SAFE_INTEGER) - (one.endedAt ?? Number.MAX_SAFE_INTEGER) ||
      other.startedAt - one.startedAt,
  );
});

export const liveRows = computed(() => rows.value.filter(({ endedAt }) => endedAt === undefined));

/** The connection with this ID, or the latest whose ID begins so. */
export const findRow = (reference: string): Row | undefined =>
  rowsById.get(reference) ?? rows.value.find(({ id }) => id.startsWith(reference));

export const rowOf = (id: string): Row | undefined => {
  rowsChanged.value;
  return rowsById.get(id);
};

let token = tokenOfLink ?? sessionStorage.getItem(TOKEN_KEY) ?? "";
let socket: WebSocket | undefined;
let wanted: string | undefined;
let retryMillis = FIRST_RETRY_MILLIS;
/** How far the server's clock is ahead of ours. */
let clockAheadMillis = 0;

setInterval(() => {
  now.value = Date.now() + clockAheadMillis;
}, 1000);

export const request = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(path, { ...init, headers: { authorization: `Bearer ${token}` } });

export const signIn = (given: string): void => {
  token = given.trim();
  if (token === "") return;
  sessionStorage.setItem(TOKEN_KEY, token);
  void connect();
};

export const signOut = (): void => {
  sessionStorage.removeItem(TOKEN_KEY);
  token = "";
  link.value = "signedOut";
  socket?.close();
};

/** From now on the page is told every step of this connection, or of none. */
export const follow = (connectionId: string | undefined): void => {
  wanted = connectionId;
  followed.value = undefined;
  say({ type: "follow", ...(connectionId !== undefined && { connectionId }) });
};

/** What went wrong, as a sentence; undefined when the connection is being ended. */
export const disconnect = async (connectionId: string): Promise<string | undefined> => {
  const path = `./api/connections/${encodeURIComponent(connectionId)}/disconnect`;
  const response = await request(path, { method: "POST" });
  if (response.ok) return undefined;
  return response.status === 404 ? "It has ended already." : "The daemon refused to end it.";
};

const say = (message: ClientMessage): void => {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
};

const base64url = (text: string): string =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");

/** A WebSocket does not say why it was refused, so the token is tried first. */
const connect = async (): Promise<void> => {
  if (link.value !== "lost") link.value = "connecting";
  const mine = token;
  const status = await request("./api/statistics").then(
    (response) => response.status,
    () => 0,
  );
  if (mine !== token) return;
  if (status === 401) {
    sessionStorage.removeItem(TOKEN_KEY);
    link.value = "refused";
    return;
  }
  if (status !== 200) return retry();
  const url = new URL("./inspect", location.href.split("#")[0]);
  url.protocol = url.protocol.replace("http", "ws");
  const opened = new WebSocket(url, [SUBPROTOCOL, `${BEARER_PREFIX}${base64url(token)}`]);
  socket = opened;
  opened.onmessage = ({ data }) => told(JSON.parse(data) as ServerMessage);
  opened.onclose = () => {
    if (socket === opened && link.value !== "signedOut") retry();
  };
};

const retry = (): void => {
  link.value = "lost";
  setTimeout(() => {
    if (link.value === "lost") void connect();
  }, retryMillis);
  retryMillis = Math.min(retryMillis * 2, LONGEST_RETRY_MILLIS);
};

const told = (message: ServerMessage): void => {
  switch (message.type) {
    case "hello":
      link.value = "open";
      retryMillis = FIRST_RETRY_MILLIS;
      version.value = message.version;
      allowControl.value = message.allowControl;
      rowsById.clear();
      daemon.value = message.daemon;
      statistics.value = message.statistics;
      keep([], message.now, true);
      if (wanted !== undefined) follow(wanted);
      break;
    case "changes": {
      for (const id of message.forgotten) rowsById.delete(id);
      if (message.statistics !== undefined) statistics.value = message.statistics;
      if (message.daemon.length > 0) daemon.value = extended(daemon.value, message.daemon, MOST_DAEMON_LINES);
      keep(message.rows, message.now, message.forgotten.length > 0);
      break;
    }
    case "trace":
      if (isWanted(message.trace.connection?.id)) followed.value = message.trace;
      break;
    case "lines":
      if (isWanted(message.connectionId)) followed.value = extended(followed.value, message.lines);
      break;
  }
};

/** A connection may be followed by the beginning of its ID. */
const isWanted = (id: string | undefined): boolean => wanted !== undefined && id?.startsWith(wanted) === true;

const extended = (
  trace: Trace | undefined,
  lines: readonly Line[],
  most = Number.POSITIVE_INFINITY,
): Trace | undefined => trace && { ...trace, lines: [...trace.lines, ...lines].slice(-most) };

const keep = (changed: readonly Row[], at: number, isChanged = false): void => {
  for (const row of changed) rowsById.set(row.id, row);
  clockAheadMillis = at - Date.now();
  if (changed.length > 0 || isChanged) rowsChanged.value += 1;
};

if (token !== "") signIn(token);
