/**
 * Runs a session's program in its connection's environment and joins its streams with the channel's. Bytes are piped
 * with back-pressure and meet no actor.
 */
import { finished, type Writable } from "node:stream";
import { Effect, Fiber } from "effect";
import { fromCallback } from "xstate";
import { refusalOf } from "../machines/facts.ts";
import type { ProgramCommand, ProgramInput } from "../machines/session.ts";
import type { ProgramOutput, RunningProgram } from "./backend/backend.ts";
import { type Failure, failure } from "./failure.ts";
import type { Logger } from "./log/logger.ts";
import { ProgramCommands } from "./program-commands.ts";
import type { ChannelStreams, Link } from "./ssh/link.ts";
import { ownTurn } from "./turns.ts";

/** What a session needs of its connection. */
export interface SessionResources {
  readonly link: Pick<Link, "streams">;
  readonly logger: Logger;
}

class OutputLost extends failure(
  "OutputLost",
  "SSH_STREAM_FAILED",
  "The connection to your program was lost. Please connect again.",
) {}

export const sessionProgram = (resources: (connectionId: string) => SessionResources) =>
  fromCallback<ProgramCommand, ProgramInput>(({ input, sendBack, receive }) => {
    const { connectionId, channel, environment, program, terminal, variables } = input;
    const { link, logger } = resources(connectionId);
    const commands = new ProgramCommands();
    receive((command) => {
      if (commands.add(command)) return;
      const details = { channel, request: "signal", reason: "too many signals wait for the program" };
      logger.notice("SSH_CHANNEL_REQUEST_FAILED", "A signal was dropped", details);
    });

    const run = Effect.scoped(
      Effect.gen(function* () {
        const running = yield* environment.start({ program, terminal, environment: variables, channel });
        const streams = link.streams(channel);
        if (streams === undefined) return;
        const flushed = join(running, streams, (error) =>
          logger.debug("SSH_STREAM_FAILED", "A program stopped reading its input", {
            channel,
            error: error.message,
          }),
        );
        const obey = Effect.flatMap(commands.next, (command) => carryOut(running, command, channel, logger));
        yield* Effect.forkScoped(Effect.forever(obey));
        sendBack({ type: "program.started" });
        const exit = yield* running.exit;
        yield* flushed;
        yield* ownTurn;
        sendBack({ type: "program.exited", exit });
      }),
    );
    const fail = (error: unknown) => Effect.sync(() => sendBack({ type: "program.failed", error }));
    const fiber = Effect.runFork(run.pipe(Effect.catch(fail), Effect.catchDefect(fail)));
    return () => void Effect.runFork(Fiber.interrupt(fiber));
  });

/** Pipes input, output and errors; the effect it returns succeeds when all output was handed to the channel. */
const join = (
  { stdin, stdout, stderr }: RunningProgram,
  streams: ChannelStreams,
  onInputError: (error: Error) => void,
): Effect.Effect<void, Failure> => {
  // A program may close its input early (`head`): what the client still sends is read and dropped, not kept.
  stdin.on("error", (error) => {
    onInputError(error);
    streams.channel.unpipe(stdin).resume();
  });
  streams.channel.pipe(stdin);
  const outputs = [passOn(stdout, streams.channel)];
  if (stderr !== undefined) outputs.push(passOn(stderr, streams.stderr));
  return Effect.all(outputs, { concurrency: "unbounded", discard: true });
};

/**
 * Pipes one output without ending the channel: its end is the session's to announce, after the exit status. What a
 * channel has sent it has put into packets, and does not need any more.
 */
const passOn = (from: ProgramOutput, to: Writable): Effect.Effect<void, Failure> => {
  if (from.pour === undefined) from.pipe(to, { end: false });
  else from.pour(to);
  const ended = new Promise<Error | undefined>((resolve) =>
    finished(from, { writable: false }, (error) => resolve(error ?? undefined)),
  );
  return Effect.flatMap(
    Effect.promise(() => ended),
    (error) =>
      error === undefined
        ? Effect.void
        : Effect.fail(
            new OutputLost({ message: `The program's output broke off: ${error.message}`, cause: error }),
          ),
  );
};

const carryOut = (
  running: RunningProgram,
  command: ProgramCommand,
  channel: number,
  logger: Logger,
): Effect.Effect<void> => {
  const carried =
    command.type === "window.changed" ? running.resize(command.size) : running.signal(command.signal);
  return carried.pipe(
    Effect.catch((error) =>
      Effect.sync(() => logger.notice(error.code, error.message, { ...error.details, channel })),
    ),
    Effect.catchDefect((defect) =>
      Effect.sync(() => {
        const { code, message } = refusalOf(defect);
        logger.error(code, message, { channel });
      }),
    ),
  );
};
