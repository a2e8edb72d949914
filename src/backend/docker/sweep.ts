/**
 * Removes what daemons left on an Engine that did not live to remove it themselves. Only containers with Berth's
 * labels, and of those only the ones whose daemon is provably gone: anything else may be somebody's.
 */
import { type Duration, Effect } from "effect";
import type { Logger } from "../../log/logger.ts";
import { type ContainerSummary, listContainers, removeContainer } from "./containers.ts";
import type { Engine } from "./engine.ts";
import type { EngineError } from "./failures.ts";
import { decodeWhereabouts, type Instance, isGone } from "./instance.ts";
import { INSTANCE, MODE, WHEREABOUTS } from "./labels.ts";

export const sweep = (
  engine: Engine,
  instance: Instance,
  logger: Logger,
  timeout: Duration.Duration,
): Effect.Effect<void, EngineError> =>
  Effect.gen(function* () {
    const all = yield* listContainers(engine, { [INSTANCE]: "" }, timeout);
    const others = all.filter(
      ({ Labels }) => Labels[INSTANCE] !== instance.id && Labels[MODE] !== "persistent",
    );
    const left = yield* Effect.filter(others, (container) => isLeft(container, instance));
    yield* Effect.forEach(left, ({ Id }) => removeContainer(engine, Id, timeout), { concurrency: 8 });
    if (left.length > 0) {
      logger.notice(
        "DOCKER_CONTAINERS_SWEPT",
        "Removed the containers that a daemon left behind which is gone",
        { containers: left.length, engine: engine.address },
      );
    }
    if (others.length > left.length) {
      logger.debug(
        "DOCKER_CONTAINERS_KEPT",
        "Left the containers alone that another daemon may still serve",
        {
          containers: others.length - left.length,
          engine: engine.address,
        },
      );
    }
  });

const isLeft = ({ Labels }: ContainerSummary, { whereabouts: here }: Instance): Effect.Effect<boolean> => {
  const there = decodeWhereabouts(Labels[WHEREABOUTS] ?? "");
  return there === undefined || here === undefined ? Effect.succeed(false) : isGone(there, here);
};
