/** The Engines that a daemon works with, and what it knows of each: kept for all connections, over their ends. */
import { createHash } from "node:crypto";
import { Effect, Redacted, type Scope } from "effect";
import type { Tooling } from "../../../machines/docker.ts";
import type { DockerConnection } from "../../config/sections/docker.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import { type Engine, openEngine } from "./engine.ts";
import { type Instance, thisInstance } from "./instance.ts";
import { SharedPulls } from "./shared-pulls.ts";

export interface KnownEngine {
  readonly engine: Engine;
  readonly pulls: SharedPulls<Failure>;
  /** What images were found to hold. */
  readonly tooling: Map<string, Tooling>;
}

export class DockerEngines {
  readonly instance: Instance;
  readonly logger: Logger;
  /** The daemon's: for what outlives connections. */
  readonly background: Scope.Scope;
  readonly #known = new Map<string, KnownEngine>();

  constructor(instance: Instance, logger: Logger, background: Scope.Scope) {
    this.instance = instance;
    this.logger = logger;
    this.background = background;
  }

  /** The Engine of this configuration: the same one for the same. */
  get(connection: DockerConnection): Effect.Effect<KnownEngine, Failure> {
    return Effect.suspend(() => {
      const key = keyOf(connection);
      const known = this.#known.get(key);
      if (known !== undefined) return Effect.succeed(known);
      return Effect.map(openEngine(connection), (engine) => {
        const opened = { engine, pulls: new SharedPulls<Failure>(this.background), tooling: new Map() };
        this.#known.set(key, opened);
        return opened;
      });
    });
  }
}

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
