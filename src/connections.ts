/** What is open for each live connection, found by its id: machines carry the id, sources look up the rest. */
import { Duration, Effect, Exit, Scope } from "effect";
import type { ConnectionEvent } from "../machines/connection-facts.ts";
import { refusalOf } from "../machines/facts.ts";
import type { ConnectionResources } from "./backend/backend.ts";
import { CrowdMemory } from "./crowd-memory.ts";
import type { Failure } from "./failure.ts";
import type { Logger } from "./log/logger.ts";
import type { Link } from "./ssh/link.ts";

export interface LiveConnection extends ConnectionResources {
  readonly link: Link;
  /** Tells the connection's machine what happened. */
  readonly tell: (event: ConnectionEvent) => void;
  /** Tells the connection's machine that its environment is gone. */
  readonly lost: (failure: Failure) => void;
  /** The client's identification string; empty until it was received. */
  readonly clientVersion: string;
  readonly scope: Scope.Closeable;
}

export class Connections {
  readonly #live = new Map<string, LiveConnection>();
  /** What is being given back, by the connection that held it. */
  readonly #releases = new Map<string, Promise<void>>();
  readonly #logger: Logger;
  readonly #releaseTimeout: Duration.Duration;
  readonly #memory = new CrowdMemory();

  /** `releaseTimeout`: how long `settle` waits. */
  constructor(logger: Logger, releaseTimeout: Duration.Duration) {
    this.#logger = logger;
    this.#releaseTimeout = releaseTimeout;
  }

  /** `tell` reaches the connection's machine. */
  open(link: Link, tell: (event: ConnectionEvent) => void): void {
    const { connectionId } = link;
    this.#memory.began();
    this.#live.set(connectionId, {
      connectionId,
      link,
      tell,
      clientVersion: "",
      scope: Scope.makeUnsafe(),
      logger: link.logger,
      notify: (line) => link.notifyTerminals(line),
      lost: (failure) => tell({ type: "environment.lost", refusal: refusalOf(failure) }),
    });
  }

  /** @throws when the connection is gone: its actors are stopped before that, so it is a bug of ours. */
  get(connectionId: string): LiveConnection {
    const live = this.#live.get(connectionId);
    if (live === undefined) throw new Error(`connection ${connectionId} is not open`);
    return live;
  }

  /** Tells a connection's machine what happened; false when there is no such connection. */
  tell(connectionId: string, event: ConnectionEvent): boolean {
    const live = this.#live.get(connectionId);
    if (live === undefined) return false;
    if (event.type === "handshake.completed") {
      this.update(connectionId, { clientVersion: event.clientVersion });
    }
    live.tell(event);
    return true;
  }

  update(connectionId: string, change: Partial<Pick<LiveConnection, "clientVersion" | "logger">>): void {
    this.#live.set(connectionId, { ...this.get(connectionId), ...change });
  }

  /** The log of a connection, also when it is gone already. */
  loggerOf(connectionId: string): Logger {
    return this.#live.get(connectionId)?.logger ?? this.#logger.with({ connectionId });
  }

  /** Gives back everything the connection acquired. A second call waits for the first; to stop waiting stops nothing. */
  release(connectionId: string): Effect.Effect<void> {
    return Effect.promise(() => this.#release(connectionId));
  }

  /** Ends what is left of a connection whose actor is gone. */
  abandon(connectionId: string): void {
    const live = this.#live.get(connectionId);
    if (live === undefined) return;
    live.link.disconnect("byApplication", "");
    void this.#release(connectionId).catch((error: unknown) => {
      const { code, message } = refusalOf(error);
      live.logger.error(code, message);
    });
    this.#live.delete(connectionId);
    this.#memory.ended();
  }

  /** Abandons every connection and waits until all have given back what they held, or until that takes too long. */
  async settle(): Promise<void> {
    for (const connectionId of [...this.#live.keys()]) this.abandon(connectionId);
    const timeout = Duration.toMillis(this.#releaseTimeout);
    let timer: NodeJS.Timeout | undefined;
    const isLate = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeout);
    });
    await Promise.race([Promise.allSettled(this.#releases.values()), isLate]);
    clearTimeout(timer);
    for (const connectionId of this.#releases.keys()) {
      this.loggerOf(connectionId).error(
        "SSH_RELEASE_FAILED",
        "Giving back what the connection used took too long",
        { releaseTimeoutSeconds: timeout / 1000 },
      );
    }
  }

  #release(connectionId: string): Promise<void> {
    const release = this.#releases.get(connectionId);
    const live = this.#live.get(connectionId);
    if (release !== undefined || live === undefined) return release ?? Promise.resolve();
    const begun = Effect.runPromise(Scope.close(live.scope, Exit.void)).finally(() =>
      this.#releases.delete(connectionId),
    );
    this.#releases.set(connectionId, begun);
    return begun;
  }
}
