/** Images of an Engine: what is there, and pulls with their progress (Docker Engine API, Image). */
import type { IncomingMessage } from "node:http";
import { Data, type Duration, Effect } from "effect";
import { orUndefined } from "./containers.ts";
import { type Engine, enginePath } from "./engine.ts";
import { EngineError } from "./failures.ts";
import type { ImageReference } from "./image-reference.ts";
import { PullProgress, type PullStatus } from "./pull-progress.ts";

/** What Berth reads of an image's description. */
export interface ImageInspection {
  readonly Id: string;
  readonly Os: string;
  readonly Architecture: string;
  readonly Variant?: string;
  readonly Config?: {
    readonly Entrypoint?: readonly string[] | null;
    readonly Cmd?: readonly string[] | null;
  } | null;
}

/** Undefined when the Engine does not have it. */
export const findImage = (
  engine: Engine,
  image: string,
  timeout: Duration.Duration,
): Effect.Effect<ImageInspection | undefined, EngineError> =>
  orUndefined(engine.json({ method: "GET", path: enginePath("images", image, "json") }, timeout));

export interface Pull {
  readonly image: ImageReference;
  /** `os/architecture/variant`; empty: the Engine's own. */
  readonly platform: string;
  readonly registryAuth: object | undefined;
  /** The longest time in which nothing happens. */
  readonly patience: Duration.Duration;
}

/** The Engine began a pull and could not go on with it. */
export class PullBrokeOff extends Data.TaggedError("PullBrokeOff")<{ readonly message: string }> {}

/** Pulls an image; a line for users whenever there is something new to tell. Interrupting it ends the pull. */
export const pullImage = (
  engine: Engine,
  { image, platform, registryAuth, patience }: Pull,
  onProgress: (line: string) => void,
): Effect.Effect<void, EngineError | PullBrokeOff> =>
  Effect.scoped(
    Effect.gen(function* () {
      const response = yield* engine.open(
        {
          method: "POST",
          path: enginePath("images", "create"),
          query: { fromImage: image.name, tag: image.tag, ...(platform && { platform }) },
          ...(registryAuth && { registryAuth }),
        },
        patience,
      );
      const lines = linesOf(response);
      const progress = new PullProgress(onProgress);
      for (;;) {
        const next = yield* nextLine(lines, patience);
        if (next.done === true) break;
        const status = yield* parseStatus(next.value);
        if (status?.error !== undefined)
          return yield* Effect.fail(new PullBrokeOff({ message: status.error }));
        if (status !== undefined) progress.add(status);
      }
    }),
  );

const nextLine = (
  lines: AsyncIterator<string>,
  patience: Duration.Duration,
): Effect.Effect<IteratorResult<string>, EngineError> =>
  Effect.timeoutOrElse(
    Effect.tryPromise({
      try: () => lines.next(),
      catch: (cause) => lost(cause instanceof Error ? cause.message : String(cause)),
    }),
    {
      duration: patience,
      orElse: () =>
        Effect.fail(
          new EngineError({ kind: "silent", status: undefined, message: "the pull came to a standstill" }),
        ),
    },
  );

const lost = (message: string): EngineError =>
  new EngineError({ kind: "unreachable", status: undefined, message });

/** Throws when the answer breaks off in the middle. */
async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let rest = "";
  response.setEncoding("utf8");
  for await (const chunk of response) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  yield rest;
}

const parseStatus = (line: string): Effect.Effect<PullStatus | undefined, EngineError> =>
  line.trim() === ""
    ? Effect.succeed(undefined)
    : Effect.try({
        try: (): PullStatus => Object(JSON.parse(line)),
        catch: () => lost("the Engine said something unreadable about the pull"),
      });
