/** Programs on a server behind this one: one session channel each (RFC 4254 section 6). */
import { Effect, type Scope } from "effect";
import type { Exit, Program, Terminal, TerminalSize } from "../../../machines/facts.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import type { ClientChannel } from "../../ssh/client/channel.ts";
import type { ClientConnection } from "../../ssh/client/connection.ts";
import { writeTerminalModes } from "../../ssh/terminal-modes.ts";
import type { Field } from "../../ssh/wire.ts";
import type { ProgramRequest, RunningProgram } from "../backend.ts";
import { ConnectionLost, ExitUnknown, ProgramRefused, SessionRefused, SignalFailed } from "./failures.ts";

/** What all programs of a connection share. */
export interface ProgramHost {
  readonly connection: ClientConnection;
  /** What the login gives every program; it wins over what the client sent. */
  readonly environment: Readonly<Record<string, string>>;
  readonly logger: Logger;
  /** Shows a line to every session that has a terminal. */
  readonly notify: (line: string) => void;
}

/** Requests go out in the order in which the client made them, and together: none waits for the answer to another. */
export const startProgram = (
  host: ProgramHost,
  request: ProgramRequest,
): Effect.Effect<RunningProgram, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { connection, logger } = host;
    const { channel: number, program, terminal } = request;
    logger.debug("SSHPROXY_SESSION", "A session is being opened on the server", { channel: number });
    const opening = connection.open("session");
    // Whoever does not wait any more leaves nothing open either.
    yield* Effect.addFinalizer(() => Effect.sync(() => void opening.then(hangUp, () => {})));
    const channel = yield* Effect.tryPromise({
      try: () => opening,
      catch: (cause) =>
        new SessionRefused({ message: messageOf(cause), details: { channel: number }, cause }),
    });
    const complain = (message: string, details: Readonly<Record<string, string>>): void =>
      logger.notice("SSHPROXY_BACKEND_REQUEST_FAILED", message, { channel: number, ...details });
    for (const [name, value] of Object.entries({ ...request.environment, ...host.environment })) {
      void channel.request("env", name, value).then((isGranted) => {
        if (!isGranted && channel.isOpen) complain("The server refused an environment variable", { name });
      });
    }
    if (terminal !== undefined) {
      void channel.request("pty-req", ...terminalFields(terminal)).then((isGranted) => {
        if (isGranted || !channel.isOpen) return;
        complain("The server refused a terminal: the program runs without one", {});
        host.notify("The server behind this one gives no terminal.");
      });
    }
    const isStarted = yield* Effect.promise(() => channel.request(...programFields(program)));
    if (!isStarted) {
      return yield* new ProgramRefused({
        message: `The server refused to start a program (${program.kind})`,
        details: { channel: number, ...(program.kind === "subsystem" ? { subsystem: program.name } : {}) },
      });
    }
    logger.debug("SSHPROXY_SESSION_OPEN", "A program runs on the server", { channel: number });
    return runningOn(channel, host, number);
  });

/** A program that has not ended is told, as one on this machine would be. */
const hangUp = (channel: ClientChannel): void => {
  channel.tell("signal", "HUP");
  channel.close();
};

const runningOn = (channel: ClientChannel, { connection }: ProgramHost, number: number): RunningProgram => ({
  stdin: channel.data,
  stdout: channel.data,
  stderr: channel.stderr,
  exit: exitOf(channel, connection, number),
  resize: (size) => Effect.sync(() => channel.tell("window-change", ...sizeFields(size))),
  signal: (name) =>
    Effect.flatMap(
      Effect.promise(() => channel.request("signal", name)),
      (isDelivered) =>
        isDelivered || !channel.isOpen
          ? Effect.void
          : Effect.fail(
              new SignalFailed({ message: "The server refused a signal", details: { signal: name } }),
            ),
    ),
});

const exitOf = (
  channel: ClientChannel,
  connection: ClientConnection,
  number: number,
): Effect.Effect<Exit, Failure> =>
  Effect.gen(function* () {
    const exit = yield* Effect.promise(() => channel.exit);
    if (exit !== undefined) return exit;
    const details = { channel: number };
    const end = connection.end;
    return yield* end === undefined
      ? new ExitUnknown({ message: "The server closed a session and did not say how it ended", details })
      : new ConnectionLost({ message: `The connection to the server is lost: ${end.message}`, details });
  });

const terminalFields = (terminal: Terminal): readonly Field[] => [
  terminal.term,
  ...sizeFields(terminal),
  writeTerminalModes(terminal.modes),
];

const sizeFields = ({ columns, rows, widthPixels, heightPixels }: TerminalSize): readonly Field[] =>
  [columns, rows, widthPixels, heightPixels].map((size) => ({ uint32: size }));

const programFields = (program: Program): readonly [type: string, ...Field[]] => {
  switch (program.kind) {
    case "shell":
      return ["shell"];
    case "exec":
      return ["exec", program.command];
    case "subsystem":
      return ["subsystem", program.name];
  }
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
