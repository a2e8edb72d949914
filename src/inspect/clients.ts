/**
 * Who looks at the inspector right now. A browser that does not read what it is sent is disconnected: nothing is kept
 * for it without bound. What is sent in one turn is made once for all.
 */
import type { WebSocket } from "ws";
import type { Logger } from "../log/logger.ts";
import type { ClientMessage, ServerMessage } from "./format.ts";
import type { Recorder } from "./recorder.ts";
import { introduction, type ParentOf, statelyEvent } from "./stately.ts";
import { traceJson } from "./traces.ts";
import type { Owner } from "./watched.ts";

/** How much may wait for one client. */
const MOST_WAITING_BYTES = 4 * 1024 * 1024;
/** Of the picture that a new client gets, no more is made while this much waits. */
const PACE_BYTES = 512 * 1024;
/** How many rows are told in one message, and of those that have changed in one turn. */
const ROWS_AT_ONCE = 1000;
/** How often the page is told what is new. */
const TURN_MILLIS = 150;
/** Every how many turns counts are sent. */
const STATISTICS_TURNS = 7;

export interface ClientsOptions {
  readonly recorder: Recorder;
  readonly logger: Logger;
  readonly version: string;
  readonly allowControl: boolean;
}

interface Page {
  readonly socket: WebSocket;
  readonly send: (text: string) => void;
  followed: { readonly owner: Owner; next: number } | undefined;
}

export class Clients {
  readonly #options: ClientsOptions;
  readonly #pages = new Set<Page>();
  readonly #sockets = new Set<WebSocket>();
  #turns: NodeJS.Timeout | undefined;
  #turn = 0;
  /** How many lines of the daemon's trace pages have. */
  #daemonLines = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#sockets.size;
  }

  /** Says goodbye to everybody, after the last step of the daemon, in the midst of which this is called. */
  close(): void {
    setImmediate(() => {
      for (const socket of this.#sockets) socket.close(1001, "the inspector stops");
    });
  }

  /** A client that speaks the page's protocol. */
  addPage(socket: WebSocket, remoteAddress: string): void {
    const page: Page = { socket, send: this.#senderTo(socket, remoteAddress), followed: undefined };
    socket.on("message", (data) => this.#said(page, String(data)));
    socket.once("close", () => this.#left(page));
    if (this.#pages.size === 0) this.#begin();
    // Everybody has what the newcomer gets at once: what is told later is told to all.
    this.#takeTurn();
    this.#pages.add(page);
    page.send(this.#hello());
    const waiting = this.#options.recorder.traces.rows().map(({ id }) => id);
    sendPaced(page, () => this.#rowsOf(waiting.splice(-ROWS_AT_ONCE)));
  }

  /** A client that reads Stately's format: every actor there is, then all that happens. */
  addStately(socket: WebSocket, remoteAddress: string): void {
    const send = this.#senderTo(socket, remoteAddress);
    const { recorder } = this.#options;
    const parentOf: ParentOf = (ref) => recorder.parentOf(ref);
    const known = new WeakSet<object>();
    const waiting = [...recorder.liveActors()].reverse();
    const unlisten = recorder.listen((event) => {
      if (event.type === "@xstate.actor") return;
      // A new actor is introduced by its first event, when its machine has its initial state.
      if (!known.has(event.actorRef)) {
        if (event.type !== "@xstate.event" || event.event.type !== "xstate.init") return;
        known.add(event.actorRef);
        send(JSON.stringify(introduction(event.actorRef as Parameters<ParentOf>[0], parentOf)));
      }
      const told = statelyEvent(event, parentOf);
      if (told !== undefined) send(JSON.stringify(told));
    });
    socket.once("close", unlisten);
    const introduceNext = (): string | undefined => {
      for (let ref = waiting.pop(); ref !== undefined; ref = waiting.pop()) {
        if (known.has(ref) || ref.getSnapshot().status !== "active") continue;
        known.add(ref);
        return JSON.stringify(introduction(ref, parentOf));
      }
      return undefined;
    };
    sendPaced({ socket, send }, introduceNext);
  }

  #senderTo(socket: WebSocket, remoteAddress: string): (text: string) => void {
    const { logger } = this.#options;
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", ({ message: error }) =>
      logger.debug("INSPECT_REFUSED", "A client of the inspector broke the protocol", {
        remoteAddress,
        error,
      }),
    );
    return (text) => {
      if (socket.readyState !== socket.OPEN) return;
      socket.send(text);
      if (socket.bufferedAmount <= MOST_WAITING_BYTES) return;
      logger.notice("INSPECT_TOO_SLOW", "A client of the inspector does not read and is disconnected", {
        remoteAddress,
        waitingBytes: socket.bufferedAmount,
      });
      socket.terminate();
    };
  }

  #begin(): void {
    this.#options.recorder.traces.watch(true);
    this.#daemonLines = this.#options.recorder.traces.daemon.lines.count;
    this.#turns = setInterval(() => this.#takeTurn(), TURN_MILLIS);
  }

  #left(page: Page): void {
    this.#pages.delete(page);
    if (this.#pages.size > 0) return;
    clearInterval(this.#turns);
    this.#options.recorder.traces.watch(false);
  }

  #hello(): string {
    const { recorder, version, allowControl } = this.#options;
    const hello = {
      type: "hello",
      version,
      now: Date.now(),
      allowControl,
      statistics: recorder.statistics(),
    } satisfies Omit<Extract<ServerMessage, { type: "hello" }>, "daemon">;
    return `${JSON.stringify(hello).slice(0, -1)},"daemon":${traceJson(recorder.traces.daemon)}}`;
  }

  /** As they are now: what is told of them later is newer. Of connections that are kept no longer nothing is told. */
  #rowsOf(connectionIds: readonly string[]): string | undefined {
    if (connectionIds.length === 0) return undefined;
    const { traces } = this.#options.recorder;
    const rows = connectionIds.flatMap((id) => traces.ofConnection(id)?.connection?.row ?? []);
    const told = {
      type: "changes",
      now: Date.now(),
      rows,
      forgotten: [],
      daemon: [],
    } satisfies ServerMessage;
    return JSON.stringify(told);
  }

  /** Tells all pages what is new since the last turn. */
  #takeTurn(): void {
    const { recorder } = this.#options;
    const changes = recorder.traces.takeChanges(ROWS_AT_ONCE);
    const daemon = recorder.traces.daemon.lines.from(this.#daemonLines);
    this.#daemonLines = recorder.traces.daemon.lines.count;
    const withStatistics = this.#turn++ % STATISTICS_TURNS === 0;
    const isNews = changes.rows.length > 0 || changes.forgotten.length > 0 || daemon !== "" || withStatistics;
    if (this.#pages.size === 0) return;
    if (isNews) {
      const told = {
        type: "changes",
        now: Date.now(),
        ...changes,
        ...(withStatistics && { statistics: recorder.statistics() }),
      } satisfies Omit<Extract<ServerMessage, { type: "changes" }>, "daemon">;
      const text = `${JSON.stringify(told).slice(0, -1)},"daemon":[${daemon}]}`;
      for (const page of this.#pages) page.send(text);
    }
    for (const page of this.#pages) this.#tellFollowed(page);
  }

  #tellFollowed({ followed, send }: Page): void {
    if (followed === undefined) return;
    const { owner } = followed;
    const lines = owner.lines.from(followed.next);
    followed.next = owner.lines.count;
    if (lines === "" || owner.connection === undefined) return;
    const connectionId = JSON.stringify(owner.connection.row.id);
    send(`{"type":"lines","connectionId":${connectionId},"lines":[${lines}]}`);
  }

  #said(page: Page, text: string): void {
    const message = clientMessage(text);
    if (message === undefined) return page.socket.close(1003, "not understood");
    const { connectionId } = message;
    const owner = connectionId === undefined ? undefined : this.#options.recorder.traces.find(connectionId);
    page.followed = owner && { owner, next: owner.lines.count };
    if (owner !== undefined) page.send(`{"type":"trace","trace":${traceJson(owner)}}`);
  }
}

/** Sends the texts that are made, until there are no more, and none before the client has read most of the others. */
const sendPaced = (client: Pick<Page, "socket" | "send">, make: () => string | undefined): void => {
  const { socket, send } = client;
  while (socket.readyState === socket.OPEN) {
    const text = make();
    if (text === undefined) return;
    if (socket.bufferedAmount > PACE_BYTES) return socket.send(text, () => sendPaced(client, make));
    send(text);
  }
};

const clientMessage = (text: string): ClientMessage | undefined => {
  try {
    const message: unknown = JSON.parse(text);
    if (typeof message !== "object" || message === null || !("type" in message)) return undefined;
    if (message.type !== "follow") return undefined;
    if (!("connectionId" in message)) return { type: "follow" };
    const { connectionId } = message;
    return typeof connectionId === "string" ? { type: "follow", connectionId } : undefined;
  } catch {
    // What is no JSON is not understood either.
    return undefined;
  }
};
