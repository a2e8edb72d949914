/**
 * Who is in which persistent container, over connections and daemons, and the end of those that nobody was in for as
 * long as `idleTimeout` says. Whoever enters says so before looking whether it is being removed; whoever removes says
 * so before looking whether somebody is in it: one of the two sees the other, and leaves it alone.
 */
import { Duration, Effect, FiberMap, type Scope, Semaphore } from "effect";
import type { Logger } from "../../log/logger.ts";
import { type ContainerInspection, findContainer, removeContainer } from "./containers.ts";
import type { Engine } from "./engine.ts";
import type { EngineError } from "./failures.ts";
import { type Instance, isGone } from "./instance.ts";
import { INSTANCE, MODE } from "./labels.ts";
import { findMarkers, type Marker, removeMarker, setMarker } from "./markers.ts";

/** Of what happens in the background, where no connection's own timeouts count. */
const TIMEOUT = Duration.seconds(30);

export class Tenancy {
  readonly #engine: Engine;
  readonly #instance: Instance;
  readonly #logger: Logger;
  /** How many connections of this daemon are in a container. */
  readonly #tenants = new Map<string, number>();
  readonly #turns = new Map<string, { readonly turn: Semaphore.Semaphore; interested: number }>();
  readonly #checks: FiberMap.FiberMap<string>;
  /** Whether there were any when they were looked for last, or there is one since then. */
  #hasMarkers = false;

  private constructor(engine: Engine, instance: Instance, logger: Logger, checks: FiberMap.FiberMap<string>) {
    this.#engine = engine;
    this.#instance = instance;
    this.#logger = logger;
    this.#checks = checks;
  }

  static open(
    engine: Engine,
    instance: Instance,
    logger: Logger,
  ): Effect.Effect<Tenancy, never, Scope.Scope> {
    return Effect.map(FiberMap.make<string>(), (checks) => new Tenancy(engine, instance, logger, checks));
  }

  /**
   * Enters a container until the scope closes; undefined when it is gone or about to be. One that Berth did not
   * create is nobody's to remove, so nothing is noted about it.
   */
  enter(
    container: string,
    idleMillis: number,
    timeout: Duration.Duration,
  ): Effect.Effect<ContainerInspection | undefined, EngineError, Scope.Scope> {
    const look = findContainer(this.#engine, container, timeout);
    return Effect.flatMap(look, (found) => {
      if (found === undefined) return Effect.succeed(undefined);
      if (!isOurs(found)) return Effect.succeed(found);
      return Effect.acquireRelease(this.#arrive(found, idleMillis, timeout), (entered) =>
        entered === undefined ? Effect.void : this.#leave(container, idleMillis),
      );
    });
  }

  /** Whether there is a persistent container that time may make something of. */
  get isNeeded(): boolean {
    const [scheduled] = this.#checks;
    return this.#hasMarkers || scheduled !== undefined;
  }

  /** Puts right what daemons left that are gone, and sees to the removal of what is idle. */
  readonly scan: Effect.Effect<void, EngineError> = Effect.suspend(() => this.#scan());

  #arrive(
    found: ContainerInspection,
    idleMillis: number,
    timeout: Duration.Duration,
  ): Effect.Effect<ContainerInspection | undefined, EngineError> {
    const container = found.Id;
    return this.#exclusively(
      container,
      Effect.gen({ self: this }, function* () {
        const first = !this.#tenants.has(container);
        if (first) yield* this.#mark("inUse", container, idleMillis);
        const markers = yield* findMarkers(this.#engine, container, timeout);
        const removing = yield* this.#alive(markers.filter(({ kind }) => kind === "removing"));
        const still =
          removing.length === 0 ? yield* findContainer(this.#engine, container, timeout) : undefined;
        if (still === undefined) {
          if (first)
            yield* this.#unmark(
              markers,
              ({ kind, instance }) => kind === "inUse" && instance === this.#instance.id,
            );
          return undefined;
        }
        yield* this.#unmark(markers, ({ kind }) => kind === "idle");
        this.#tenants.set(container, (this.#tenants.get(container) ?? 0) + 1);
        return still;
      }),
    );
  }

  #leave(container: string, idleMillis: number): Effect.Effect<void> {
    const leaving = Effect.gen({ self: this }, function* () {
      const left = (this.#tenants.get(container) ?? 1) - 1;
      if (left > 0) {
        this.#tenants.set(container, left);
        return;
      }
      this.#tenants.delete(container);
      if (idleMillis > 0) yield* this.#mark("idle", container, idleMillis);
      const markers = yield* findMarkers(this.#engine, container, TIMEOUT);
      yield* this.#unmark(
        markers,
        ({ kind, instance }) => kind === "inUse" && instance === this.#instance.id,
      );
      if (idleMillis > 0) yield* this.#schedule(container, idleMillis);
    });
    return Effect.catch(this.#exclusively(container, leaving), (error) =>
      this.#later("left", container, error),
    );
  }

  #scan(): Effect.Effect<void, EngineError> {
    return Effect.gen({ self: this }, function* () {
      const markers = yield* findMarkers(this.#engine, undefined, TIMEOUT);
      this.#hasMarkers = markers.length > 0;
      for (const container of new Set(markers.map((marker) => marker.container))) {
        yield* this.#exclusively(container, this.#review(container));
      }
    });
  }

  /** Brings one container's markers to what they would be if no daemon had died. */
  #review(container: string): Effect.Effect<void, EngineError> {
    return Effect.gen({ self: this }, function* () {
      const markers = yield* findMarkers(this.#engine, container, TIMEOUT);
      if ((yield* findContainer(this.#engine, container, TIMEOUT)) === undefined) {
        yield* FiberMap.remove(this.#checks, container);
        return yield* this.#unmark(markers, () => true);
      }
      const alive = new Set(yield* this.#alive(markers));
      const isLeft = (marker: Marker) => marker.kind !== "idle" && !alive.has(marker);
      const inUse = markers.some((marker) => marker.kind === "inUse" && !isLeft(marker));
      const isIdle = markers.some(({ kind }) => kind === "idle");
      const died = markers.find((marker) => marker.kind === "inUse" && isLeft(marker));
      // Its daemon died with people in it: they are out from now on, as far as anybody can tell.
      if (!inUse && !isIdle && died !== undefined && died.idleMillis > 0) {
        yield* this.#mark("idle", container, died.idleMillis);
      }
      yield* this.#unmark(markers, isLeft);
      if (!inUse && (isIdle || died !== undefined)) yield* this.#schedule(container, 0);
    });
  }

  #schedule(container: string, millis: number): Effect.Effect<void> {
    const check = Effect.catch(
      Effect.delay(this.#exclusively(container, this.#check(container)), Duration.millis(millis)),
      (error) => this.#later("removed", container, error),
    );
    return Effect.asVoid(FiberMap.run(this.#checks, container, check));
  }

  /** Removes a container whose time is up; schedules the next look where it is not. */
  #check(container: string): Effect.Effect<void, EngineError> {
    return Effect.gen({ self: this }, function* () {
      if (this.#tenants.has(container)) return;
      yield* this.#mark("removing", container, 0);
      const markers = yield* findMarkers(this.#engine, container, TIMEOUT);
      const inUse = yield* this.#alive(markers.filter(({ kind }) => kind === "inUse"));
      const idle = markers
        .filter(({ kind }) => kind === "idle")
        .toSorted((one, other) => other.since - one.since)[0];
      const rest = idle === undefined ? undefined : idle.since + idle.idleMillis - Date.now();
      if (inUse.length > 0 || rest === undefined || rest > 0) {
        yield* this.#unmark(
          markers,
          ({ kind, instance }) => kind === "removing" && instance === this.#instance.id,
        );
        // This fiber is the one that is scheduled: it must not replace itself before it has ended.
        if (inUse.length === 0 && rest !== undefined)
          yield* Effect.forkDetach(this.#schedule(container, rest));
        return;
      }
      yield* removeContainer(this.#engine, container, TIMEOUT);
      yield* this.#unmark(markers, () => true);
      this.#logger.info("DOCKER_CONTAINER_IDLE", "A persistent container was removed: nobody was in it", {
        container,
        idleSeconds: (idle?.idleMillis ?? 0) / 1000,
      });
    });
  }

  /** Markers of daemons that live, as far as anybody can tell. */
  #alive(markers: readonly Marker[]): Effect.Effect<readonly Marker[]> {
    const { id, whereabouts: here } = this.#instance;
    return Effect.filter(markers, ({ instance, whereabouts }) =>
      instance === id || whereabouts === undefined || here === undefined
        ? Effect.succeed(true)
        : Effect.map(isGone(whereabouts, here), (gone) => !gone),
    );
  }

  #mark(kind: Marker["kind"], container: string, idleMillis: number): Effect.Effect<void, EngineError> {
    return Effect.suspend(() => {
      this.#hasMarkers = true;
      const marker = { kind, container, idleMillis, since: Date.now() };
      return setMarker(this.#engine, this.#instance, marker, TIMEOUT);
    });
  }

  #unmark(markers: readonly Marker[], which: (marker: Marker) => boolean): Effect.Effect<void, EngineError> {
    return Effect.forEach(markers.filter(which), (marker) => removeMarker(this.#engine, marker, TIMEOUT), {
      discard: true,
    });
  }

  #exclusively<A>(container: string, effect: Effect.Effect<A, EngineError>): Effect.Effect<A, EngineError> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        const queue = this.#turns.get(container) ?? { turn: Semaphore.makeUnsafe(1), interested: 0 };
        queue.interested += 1;
        this.#turns.set(container, queue);
        return queue;
      }),
      ({ turn }) => turn.withPermit(effect),
      (queue) =>
        Effect.sync(() => {
          queue.interested -= 1;
          if (queue.interested === 0) this.#turns.delete(container);
        }),
    );
  }

  /** What fails here is done by the next scan. */
  #later(what: string, container: string, error: EngineError): Effect.Effect<void> {
    return Effect.sync(() =>
      this.#logger.warning(
        "DOCKER_CONTAINER_IDLE_FAILED",
        `It could not be noted that a persistent container was ${what}; the next look will: ${error.message}`,
        { container },
      ),
    );
  }
}

const isOurs = ({ Config: { Labels } }: ContainerInspection): boolean =>
  Labels?.[INSTANCE] !== undefined && Labels[MODE] === "persistent";
