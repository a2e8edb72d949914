/**
 * What daemons tell each other about persistent containers, kept on the Engine itself so that it outlives them: empty
 * volumes with labels, for the labels of a container can't change (Docker Engine API, Volume).
 */
import { type Duration, Effect } from "effect";
import { labelFilter, orUndefined } from "./containers.ts";
import { type Engine, enginePath } from "./engine.ts";
import type { EngineError } from "./failures.ts";
import { decodeWhereabouts, type Instance, type Whereabouts } from "./instance.ts";
import { INSTANCE, instanceLabels, WHEREABOUTS } from "./labels.ts";

/**
 * - `inUse`: a daemon has connections in the container.
 * - `idle`: nobody was in it any more from `since` on.
 * - `removing`: a daemon is about to remove it unless somebody is in it.
 */
export type MarkerKind = "inUse" | "idle" | "removing";

export interface Marker {
  readonly volume: string;
  readonly kind: MarkerKind;
  /** The container's whole id. */
  readonly container: string;
  readonly instance: string;
  readonly whereabouts: Whereabouts | undefined;
  /** In milliseconds since 1970. */
  readonly since: number;
  /** How long the container may be idle, as the last connection's configuration had it; 0 for ever. */
  readonly idleMillis: number;
}

const KIND = "berth_marker";
const CONTAINER = "berth_container";
const SINCE = "berth_since_ms";
const IDLE = "berth_idle_timeout_ms";

interface VolumeList {
  readonly Volumes: ReadonlyArray<{
    readonly Name: string;
    readonly Labels: Readonly<Record<string, string>> | null;
  }> | null;
}

/** Setting the same marker again does nothing. */
export const setMarker = (
  engine: Engine,
  instance: Instance,
  marker: Pick<Marker, "kind" | "container" | "since" | "idleMillis">,
  timeout: Duration.Duration,
): Effect.Effect<void, EngineError> => {
  const { kind, container, since, idleMillis } = marker;
  const suffix = kind === "idle" ? `-${since}` : "";
  return Effect.asVoid(
    engine.json(
      {
        method: "POST",
        path: enginePath("volumes", "create"),
        body: {
          Name: `berth-${kind}-${container.slice(0, 12)}-${instance.id}${suffix}`,
          Labels: {
            ...instanceLabels(instance),
            [KIND]: kind,
            [CONTAINER]: container,
            [SINCE]: String(since),
            [IDLE]: String(idleMillis),
          },
        },
      },
      timeout,
    ),
  );
};

/** The markers of one container, or of all. */
export const findMarkers = (
  engine: Engine,
  container: string | undefined,
  timeout: Duration.Duration,
): Effect.Effect<readonly Marker[], EngineError> =>
  Effect.map(
    engine.json<VolumeList>(
      {
        method: "GET",
        path: enginePath("volumes"),
        query: {
          filters: labelFilter({ [KIND]: "", ...(container !== undefined && { [CONTAINER]: container }) }),
        },
      },
      timeout,
    ),
    ({ Volumes }) =>
      (Volumes ?? []).map(({ Name, Labels }) => ({
        volume: Name,
        kind: kindOf(Labels?.[KIND]),
        container: Labels?.[CONTAINER] ?? "",
        instance: Labels?.[INSTANCE] ?? "",
        whereabouts: decodeWhereabouts(Labels?.[WHEREABOUTS] ?? ""),
        since: Number(Labels?.[SINCE] ?? 0),
        idleMillis: Number(Labels?.[IDLE] ?? 0),
      })),
  );

const kindOf = (text: string | undefined): MarkerKind =>
  text === "idle" || text === "removing" ? text : "inUse";

/** Also succeeds when it is gone. */
export const removeMarker = (
  engine: Engine,
  { volume }: Pick<Marker, "volume">,
  timeout: Duration.Duration,
): Effect.Effect<void, EngineError> =>
  Effect.asVoid(orUndefined(engine.json({ method: "DELETE", path: enginePath("volumes", volume) }, timeout)));
