/** Short programs of ours in a container: a signal, a file. Their output is for the log. */
import { type Duration, Effect } from "effect";
import type { Failure } from "../../failure.ts";
import type { Channels, ChannelsEnd } from "./channels.ts";
import type { Cluster, ContainerAddress } from "./cluster.ts";
import { ExitLost } from "./failures.ts";

/** How much of what a helper says is kept. */
const OUTPUT_LENGTH = 2000;

export interface HelperResult {
  readonly status: number;
  readonly output: string;
}

export const runHelper = (
  cluster: Cluster,
  container: ContainerAddress,
  command: readonly string[],
  timeout: Duration.Duration,
): Effect.Effect<HelperResult, Failure> =>
  Effect.scoped(
    Effect.flatMap(
      cluster.stream({ container, command, stdin: false, terminal: false, timeout }),
      (channels) => helperResult({ channels, ended: channels.ended }),
    ),
  ).pipe(
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.fail(new ExitLost({ message: `${command[0]} did not end in time` })),
    }),
  );

/** Waits for the end of a program whose output nobody else reads. */
export const helperResult = ({
  channels,
  ended,
}: {
  readonly channels: Channels;
  readonly ended: Promise<ChannelsEnd>;
}): Effect.Effect<HelperResult, ExitLost> => {
  let output = "";
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(0, OUTPUT_LENGTH);
  };
  channels.stdout.on("data", keep);
  channels.stderr.on("data", keep);
  return Effect.flatMap(
    Effect.promise(() => ended),
    (end) =>
      end.kind === "exited"
        ? Effect.succeed({ status: end.status, output: output.trim() })
        : Effect.fail(new ExitLost({ message: `${end.message} ${output}`.trim() })),
  );
};
