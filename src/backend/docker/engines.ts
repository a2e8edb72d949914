/** The Engines that a daemon works with, and what it keeps of each over the ends of connections. */
import { createHash } from "node:crypto";
import { Duration, Effect, Exit, Redacted, Schedule, Scope, Semaphore } from "effect";
import type { Tooling } from "../../../machines/docker-facts.ts";
import type { Docker, DockerConnection } from "../../config/sections/docker.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import type { ConnectionResources } from "../backend.ts";
import { type Engine, openEngine } from "./engine.ts";
import { type EngineError, type EngineTooOld, EngineUnreachable, explained } from "./failures.ts";
import { type Instance, thisInstance } from "./instance.ts";
import { SharedPulls } from "./shared-pulls.ts";
import { sweep } from "./sweep.ts";
import { Tenancy } from "./tenancy.ts";

/** How often a daemon looks after its Engines. */
const TENDING_INTERVAL = Duration.minutes(1);
const TENDING_TIMEOUT = Duration.seconds(30);

export interface KnownEngine {
  readonly engine: Engine;
  readonly pulls: SharedPulls<Failure>;
  readonly tenancy: Tenancy;
  /** What images were found to hold. */
  readonly tooling: Map<string, Tooling>;
  /** The IDs of its connections. */
  readonly users: Set<string>;
}

/** Who needs an Engine, for as long as the scope is open. */
export type EngineUser = Pick<ConnectionResources, "connectionId" | "scope">;

export class DockerEngines {
  readonly instance: Instance;
  readonly logger: Logger;
  /** The daemon's: for what outlives connections. */
  readonly background: Scope.Scope;
  readonly #known = new Map<string, KnownEngine>();
  readonly #said = new Set<string>();
  readonly #opening = Semaphore.makeUnsafe(1);
  readonly #tendingInterval: Duration.Duration;

  constructor(
    instance: Instance,
    logger: Logger,
    background: Scope.Scope,
    tendingInterval: Duration.Duration,
  ) {
    this.instance = instance;
    this.logger = logger;
    this.background = background;
    this.#tendingInterval = tendingInterval;
  }

  /**
   * The Engine of this configuration: the same one for the same. It is looked after for as long as it has users, and
   * persistent containers that will be idle for too long.
   */
  get(
    connection: DockerConnection,
    { connectionId, scope }: EngineUser,
  ): Effect.Effect<KnownEngine, Failure> {
    const key = keyOf(connection);
    return this.#opening.withPermit(
      Effect.gen({ self: this }, function* () {
        const known = this.#known.get(key) ?? (yield* this.#open(key, connection));
        if (known.users.has(connectionId)) return known;
        known.users.add(connectionId);
        const leave = Effect.sync(() => void known.users.delete(connectionId));
        yield* Scope.addFinalizer(scope, leave);
        return known;
      }),
    );
  }

  /** How many Engines are known. */
  get kept(): number {
    return this.#known.size;
  }

  /** Says something about the configuration that is true of every connection, but needs to be said once. */
  warnOnce(logger: Logger, { code, message }: { readonly code: string; readonly message: string }): void {
    if (this.#said.has(code)) return;
    this.#said.add(code);
    logger.warning(code, message);
  }

  /** Finds out whether the Engine is there, and settles on an API version with it. */
  contact({ engine }: KnownEngine, timeout: Duration.Duration): Effect.Effect<void, Failure> {
    return Effect.mapError(engine.negotiate(timeout), (error) => refusedContact(engine, error));
  }

  /**
   * For the start of the daemon: removes what gone daemons left on the configured Engine, before anybody logs in. An
   * Engine that does not answer is a warning: it may come later, and is looked after as soon as it does.
   */
  prepare({ connection, timeouts }: Docker): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const known = yield* this.get(connection, { connectionId: "", scope: this.background });
      yield* this.contact(known, timeouts.http);
      yield* Effect.mapError(this.#tend(known), (error) => refusedContact(known.engine, error));
    }).pipe(
      Effect.catch(({ code, message, details }) =>
        Effect.sync(() => this.logger.warning(code, message, details)),
      ),
    );
  }

  #open(key: string, connection: DockerConnection): Effect.Effect<KnownEngine, Failure> {
    const { background, instance, logger } = this;
    return Effect.gen({ self: this }, function* () {
      const engine = yield* openEngine(connection);
      const scope = yield* Scope.fork(background);
      const tenancy = yield* Scope.provide(Tenancy.open(engine, instance, logger), scope);
      const pulls = new SharedPulls<Failure>(background);
      const known = { engine, tenancy, pulls, tooling: new Map(), users: new Set<string>() };
      this.#known.set(key, known);
      const tending = Effect.andThen(this.#tendWhileNeeded(key, known), Scope.close(scope, Exit.void));
      yield* Effect.forkIn(tending, background);
      return known;
    });
  }

  /** An Engine that does not answer at the moment is tended the next time. Forgets it in the end. */
  #tendWhileNeeded(key: string, known: KnownEngine): Effect.Effect<void> {
    const details = { engine: known.engine.address };
    const once = Effect.andThen(known.engine.negotiate(TENDING_TIMEOUT), this.#tend(known)).pipe(
      Effect.catch(({ message }) =>
        Effect.sync(() =>
          this.logger.debug(
            "DOCKER_ENGINE_UNREACHABLE",
            `The Engine could not be looked after: ${message}`,
            details,
          ),
        ),
      ),
      Effect.catchDefect((defect) =>
        Effect.sync(() =>
          this.logger.error("UNKNOWN_ERROR", `Looking after the Engine failed: ${String(defect)}`, details),
        ),
      ),
    );
    const isOver = (): boolean => {
      const isNeeded = known.users.size > 0 || known.tenancy.isNeeded;
      if (!isNeeded) this.#known.delete(key);
      return !isNeeded;
    };
    return Effect.asVoid(
      Effect.repeat(once, { schedule: Schedule.spaced(this.#tendingInterval), until: isOver }),
    );
  }

  #tend({ engine, tenancy }: KnownEngine): Effect.Effect<void, EngineError> {
    return Effect.andThen(sweep(engine, this.instance, this.logger, TENDING_TIMEOUT), tenancy.scan);
  }
}

const refusedContact = (engine: Engine, error: EngineError | EngineTooOld): Failure =>
  error._tag === "EngineError"
    ? explained(EngineUnreachable, `The Engine at ${engine.address} can't be used`)(error)
    : error;

/**
 * Opens what all connections share. Closing the scope ends what runs in the background.
 *
 * @param tendingInterval how often Engines are looked after
 */
export const openDocker = (
  logger: Logger,
  tendingInterval = TENDING_INTERVAL,
): Effect.Effect<DockerEngines, never, Scope.Scope> =>
  Effect.gen(function* () {
    const instance = yield* thisInstance;
    return new DockerEngines(instance, logger, yield* Effect.scope, tendingInterval);
  });

const keyOf = ({ host, cacert, cert, key }: DockerConnection): string =>
  createHash("sha256")
    .update(JSON.stringify([host, cacert, cert, Redacted.value(key)]))
    .digest("hex");
