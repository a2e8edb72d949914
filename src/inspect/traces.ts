/**
 * The traces there are: the daemon's own, one of every live connection, and those of the last that are finished,
 * bounded in number and in bytes. And the connections' rows, with what changed in them since somebody last asked.
 */
import { type Line, type Row, TRACE_FORMAT, TRACE_VERSION } from "./format.ts";
import type { Place } from "./lines.ts";
import { connectionOwner, daemonOwner, type Owner, type WatchedConnection } from "./watched.ts";

export interface HistoryLimits {
  /** How many finished connections are kept. */
  readonly connections: number;
  /** For the traces of all connections, live and finished. */
  readonly bytes: number;
}

/** What changed since somebody last asked. */
export interface Changes {
  readonly rows: readonly Row[];
  /** IDs of connections that are no longer kept. */
  readonly forgotten: readonly string[];
}

const SMALLEST_TRACE_BYTES = 16 * 1024;
const LARGEST_TRACE_BYTES = 512 * 1024;
const DAEMON_TRACE_BYTES = 256 * 1024;
/** Fewer digits of a connection's ID find nothing. */
const SHORTEST_REFERENCE = 4;

export class Traces {
  readonly daemon = daemonOwner();
  readonly #limits: HistoryLimits;
  readonly #live = new Map<string, Owner>();
  /** In the order in which they ended. */
  readonly #finished = new Map<string, Owner>();
  #bytes = 0;
  #isWatched = false;
  readonly #changed = new Set<WatchedConnection>();
  #forgotten: string[] = [];

  constructor(limits: HistoryLimits) {
    this.#limits = limits;
  }

  /** A connection's, from its first line on. */
  begin(connectionId: string, remoteAddress: string): Owner {
    const owner = connectionOwner(connectionId, remoteAddress);
    this.#live.set(connectionId, owner);
    return owner;
  }

  finish(owner: Owner): void {
    const { connection } = owner;
    if (connection === undefined) return;
    const { id } = connection.row;
    this.#live.delete(id);
    this.#finished.set(id, owner);
    this.update(connection, { endedAt: Date.now(), detail: "" });
    if (this.#finished.size > this.#limits.connections) this.#forgetOldest();
  }

  push(owner: Owner, line: Line): void {
    owner.lines.push(line);
    this.#account(owner);
  }

  fill(owner: Owner, place: Place, line: Line): void {
    owner.lines.fill(place, line);
    this.#account(owner);
  }

  /** Brings a connection's row up to date. */
  update(connection: WatchedConnection, change: Partial<Row>): void {
    const { row } = connection;
    const isNews = Object.entries(change).some(([key, value]) => row[key as keyof Row] !== value);
    if (!isNews) return;
    connection.row = { ...row, ...change };
    if (this.#isWatched) this.#changed.add(connection);
  }

  /** The daemon's first. */
  live(): readonly Owner[] {
    return [this.daemon, ...this.#live.values()];
  }

  ofConnection(connectionId: string): Owner | undefined {
    return this.#live.get(connectionId) ?? this.#finished.get(connectionId);
  }

  /** The connection with this ID, or the latest whose ID begins so. */
  find(reference: string): Owner | undefined {
    const wanted = reference.trim().toLowerCase();
    if (wanted.length < SHORTEST_REFERENCE) return undefined;
    return (
      this.ofConnection(wanted) ??
      [...this.#finished.values(), ...this.#live.values()]
        .filter(({ connection }) => connection?.row.id.startsWith(wanted))
        .at(-1)
    );
  }

  rows(): readonly Row[] {
    return [...this.#finished.values(), ...this.#live.values()].flatMap(({ connection }) =>
      connection === undefined ? [] : [connection.row],
    );
  }

  /** From now on it is noted which rows change, or no longer. */
  watch(isWatched: boolean): void {
    this.#isWatched = isWatched;
    this.takeChanges();
  }

  /** @param most how many rows are taken; the others stay for the next time */
  takeChanges(most = Number.POSITIVE_INFINITY): Changes {
    const rows: Row[] = [];
    for (const connection of this.#changed) {
      if (rows.length >= most) break;
      rows.push(connection.row);
      this.#changed.delete(connection);
    }
    const changes = { rows, forgotten: this.#forgotten };
    this.#forgotten = [];
    return changes;
  }

  #forgetOldest(): boolean {
    const [oldest] = this.#finished;
    if (oldest === undefined) return false;
    const [id, owner] = oldest;
    this.#finished.delete(id);
    this.#bytes -= owner.accountedBytes;
    if (owner.connection !== undefined) this.#changed.delete(owner.connection);
    if (this.#isWatched) this.#forgotten.push(id);
    return true;
  }

  #account(owner: Owner): void {
    const { lines } = owner;
    lines.shrink(owner === this.daemon ? DAEMON_TRACE_BYTES : this.#largestTrace());
    if (!this.#isKept(owner)) return;
    this.#bytes += lines.bytes - owner.accountedBytes;
    owner.accountedBytes = lines.bytes;
    while (this.#bytes > this.#limits.bytes && this.#forgetOldest()) {}
  }

  /** Every live connection gets a fair share. */
  #largestTrace(): number {
    const share = this.#limits.bytes / (this.#live.size + 1);
    return Math.max(SMALLEST_TRACE_BYTES, Math.min(LARGEST_TRACE_BYTES, share));
  }

  #isKept({ connection }: Owner): boolean {
    return connection !== undefined && this.ofConnection(connection.row.id) !== undefined;
  }
}

/** A trace as JSON, without parsing its lines again. */
export const traceJson = ({ connection, startedAt, lines }: Owner): string => {
  const head = {
    format: TRACE_FORMAT,
    version: TRACE_VERSION,
    ...(connection !== undefined && { connection: connection.row }),
    startedAt,
    dropped: lines.dropped,
  };
  return `${JSON.stringify(head).slice(0, -1)},"lines":[${lines.from(0)}]}`;
};
