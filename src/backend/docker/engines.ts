/** The Engines that a daemon works with, and what it keeps of each over the ends of connections. */
import { createHash } from "node:crypto";
import { Duration, Effect, Redacted, Schedule, Scope, Semaphore } from "effect";
import type { Tooling } from "../../../machines/docker-facts.ts";
import type { Docker, DockerConnection } from "../../config/sections/docker.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import { type Engine, openEngine } from "./engine.ts";
import { type EngineError, type EngineTooOld, EngineUnreachable, explained } from "./failures.ts";
import { type Instance, thisInstance } from "./instance.ts";
import { SharedPulls } from "./shared-pulls.ts";
import { sweep } from "./sweep.ts";
import { Tenancy } from "./tenancy.ts";

/** How often a daemon looks after its Engines. */
const TENDING = Schedule.spaced("1 minute");
const TENDING_TIMEOUT = Duration.seconds(30);

export interface KnownEngine {
  readonly engine: Engine;
  readonly pulls: SharedPulls<Failure>;
  readonly tenancy: Tenancy;
  /** What images were found to hold. */
  readonly tooling: Map<string, Tooling>;
}

export class DockerEngines {
  readonly instance: Instance;
  readonly logger: Logger;
  /** The daemon's: for what outlives connections. */
  readonly background: Scope.Scope;
  readonly #known = new Map<string, KnownEngine>();
  readonly #said = new Set<string>();
  readonly #opening = Semaphore.makeUnsafe(1);

  constructor(instance: Instance, logger: Logger, background: Scope.Scope) {
    this.instance = instance;
    this.logger = logger;
    this.background = background;
  }

  /** The Engine of this configuration: the same one for the same. From its first use on it is looked after. */
  get(connection: DockerConnection): Effect.Effect<KnownEngine, Failure> {
    const key = keyOf(connection);
    return this.#opening.withPermit(
      Effect.suspend(() => {
        const known = this.#known.get(key);
        return known === undefined
          ? Effect.tap(this.#open(connection), (opened) => Effect.sync(() => this.#known.set(key, opened)))
          : Effect.succeed(known);
      }),
    );
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
      const known = yield* this.get(connection);
      yield* this.contact(known, timeouts.http);
      yield* Effect.mapError(this.#tend(known), (error) => refusedContact(known.engine, error));
    }).pipe(
      Effect.catch(({ code, message, details }) =>
        Effect.sync(() => this.logger.warning(code, message, details)),
      ),
    );
  }

  #open(connection: DockerConnection): Effect.Effect<KnownEngine, Failure> {
    const { background, instance, logger } = this;
    return Effect.gen({ self: this }, function* () {
      const engine = yield* openEngine(connection);
      const tenancy = yield* Scope.provide(Tenancy.open(engine, instance, logger), background);
      const known = { engine, tenancy, pulls: new SharedPulls<Failure>(background), tooling: new Map() };
      yield* Effect.forkIn(this.#tendForEver(known), background);
      return known;
    });
  }

  /** An Engine that does not answer at the moment is tended the next time. */
  #tendForEver(known: KnownEngine): Effect.Effect<void> {
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
    return Effect.asVoid(Effect.repeat(once, TENDING));
  }

  #tend({ engine, tenancy }: KnownEngine): Effect.Effect<void, EngineError> {
    return Effect.andThen(sweep(engine, this.instance, this.logger, TENDING_TIMEOUT), tenancy.scan);
  }
}

const refusedContact = (engine: Engine, error: EngineError | EngineTooOld): Failure =>
  error._tag === "EngineError"
    ? explained(EngineUnreachable, `The Engine at ${engine.address} can't be used`)(error)
    : error;

/** Opens what all connections share. Closing the scope ends what runs in the background. */
export const openDocker = (logger: Logger): Effect.Effect<DockerEngines, never, Scope.Scope> =>
  Effect.gen(function* () {
    const instance = yield* thisInstance;
    return new DockerEngines(instance, logger, yield* Effect.scope);
  });

const keyOf = ({ host, cacert, cert, key }: DockerConnection): string =>
  createHash("sha256")
    .update(JSON.stringify([host, cacert, cert, Redacted.value(key)]))
    .digest("hex");
