/** Containers of an Engine: find, create, start, look into, remove (Docker Engine API, Container). */
import type { Duration } from "effect";
import { Effect } from "effect";
import type { ContainerFacts, Tooling } from "../../../machines/docker-facts.ts";
import { type Engine, enginePath } from "./engine.ts";
import { EngineError } from "./failures.ts";

/** What Berth reads of a container's description. */
export interface ContainerInspection {
  readonly Id: string;
  readonly Name: string;
  readonly Image: string;
  readonly State: {
    readonly Status: string;
    readonly Running: boolean;
    readonly OOMKilled: boolean;
    readonly ExitCode: number;
  };
  readonly Config: {
    readonly User: string;
    readonly Labels: Readonly<Record<string, string>> | null;
  };
  readonly HostConfig: {
    readonly Tmpfs?: Readonly<Record<string, string>> | null;
    readonly Mounts?: ReadonlyArray<{ readonly Type: string; readonly Target: string }> | null;
  };
}

export const inspectContainer = (
  engine: Engine,
  container: string,
  timeout: Duration.Duration,
): Effect.Effect<ContainerInspection, EngineError> =>
  engine.json({ method: "GET", path: enginePath("containers", container, "json") }, timeout);

/** One of a list of containers. */
export interface ContainerSummary {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
  /** `running`, `exited`, … */
  readonly State: string;
}

/** All that have these labels, whatever their state; an empty value stands for any. */
export const listContainers = (
  engine: Engine,
  labels: Readonly<Record<string, string>>,
  timeout: Duration.Duration,
): Effect.Effect<readonly ContainerSummary[], EngineError> =>
  engine.json(
    {
      method: "GET",
      path: enginePath("containers", "json"),
      query: { all: true, filters: labelFilter(labels) },
    },
    timeout,
  );

/** Docker Engine API, `filters`. */
export const labelFilter = (labels: Readonly<Record<string, string>>): string =>
  JSON.stringify({
    label: Object.entries(labels).map(([name, value]) => (value === "" ? name : `${name}=${value}`)),
  });

/** Undefined when there is none of this id or name. */
export const findContainer = (
  engine: Engine,
  container: string,
  timeout: Duration.Duration,
): Effect.Effect<ContainerInspection | undefined, EngineError> =>
  orUndefined(inspectContainer(engine, container, timeout));

/** `undefined` for "404 not found". */
export const orUndefined = <A>(
  effect: Effect.Effect<A, EngineError>,
): Effect.Effect<A | undefined, EngineError> =>
  Effect.catchIf(
    effect,
    ({ status }) => status === 404,
    () => Effect.succeed(undefined),
  );

export const factsOf = ({ Id, State }: ContainerInspection): ContainerFacts => ({
  id: Id,
  state: stateOf(State.Status),
});

const stateOf = (status: string): ContainerFacts["state"] => {
  switch (status) {
    case "running":
    case "paused":
      return status;
    case "restarting":
    case "removing":
      return "changing";
    default:
      return "stopped";
  }
};

export interface Creation {
  /** Empty: the Engine chooses. */
  readonly name: string;
  /** `os/architecture/variant`; empty: the Engine's own. */
  readonly platform: string;
  /** Docker Engine API, ContainerCreate. */
  readonly body: object;
}

export const createContainer = (
  engine: Engine,
  { name, platform, body }: Creation,
  timeout: Duration.Duration,
): Effect.Effect<string, EngineError> =>
  Effect.map(
    engine.json<{ Id: string }>(
      {
        method: "POST",
        path: enginePath("containers", "create"),
        query: { ...(name && { name }), ...(platform && { platform }) },
        body,
      },
      timeout,
    ),
    ({ Id }) => Id,
  );

/** Also succeeds when it runs already. */
export const startContainer = (
  engine: Engine,
  container: string,
  timeout: Duration.Duration,
): Effect.Effect<void, EngineError> =>
  Effect.asVoid(engine.json({ method: "POST", path: enginePath("containers", container, "start") }, timeout));

export const unpauseContainer = (
  engine: Engine,
  container: string,
  timeout: Duration.Duration,
): Effect.Effect<void, EngineError> =>
  Effect.asVoid(
    engine.json({ method: "POST", path: enginePath("containers", container, "unpause") }, timeout),
  );

/**
 * Kills and removes it with its anonymous volumes. Also succeeds when it is gone, or somebody else is removing it at
 * this moment.
 */
export const removeContainer = (
  engine: Engine,
  container: string,
  timeout: Duration.Duration,
): Effect.Effect<void, EngineError> =>
  Effect.asVoid(
    Effect.catchIf(
      engine.json(
        {
          method: "DELETE",
          path: enginePath("containers", container),
          query: { force: true, v: true },
        },
        timeout,
      ),
      ({ status }) => status === 404 || status === 409,
      () => Effect.void,
    ),
  );

/** What a container's file system holds to start programs with, whether it runs or not. */
export const lookForTooling = (
  engine: Engine,
  container: string,
  agentPath: string,
  timeout: Duration.Duration,
): Effect.Effect<Tooling, EngineError> =>
  Effect.all(
    {
      agent: hasPath(engine, container, agentPath, timeout),
      shell: hasPath(engine, container, "/bin/sh", timeout),
    },
    { concurrency: 2 },
  );

/** Whether a container's file system holds something of this path. */
export const hasPath = (
  engine: Engine,
  container: string,
  path: string,
  timeout: Duration.Duration,
): Effect.Effect<boolean, EngineError> =>
  Effect.scoped(
    Effect.as(
      engine.open(
        { method: "HEAD", path: enginePath("containers", container, "archive"), query: { path } },
        timeout,
      ),
      true,
    ),
  ).pipe(
    Effect.catchIf(
      ({ status }) => status === 404,
      () =>
        // The same answer means "no such container".
        Effect.flatMap(findContainer(engine, container, timeout), (found) =>
          found === undefined
            ? Effect.fail(
                new EngineError({
                  kind: "answered",
                  status: 404,
                  message: `no such container: ${container}`,
                }),
              )
            : Effect.succeed(false),
        ),
    ),
  );
