/** A session's program between its environment and its channel: what it is told, and what becomes of its failures. */
import { PassThrough } from "node:stream";
import { Deferred, Effect } from "effect";
import { describe, expect, onTestFinished, test } from "vitest";
import { type AnyEventObject, createActor, setup } from "xstate";
import type { Environment, TerminalSize } from "../../machines/facts.ts";
import type { ProgramCommand, ProgramInput } from "../../machines/session.ts";
import type { RunningProgram } from "../../src/backend/backend.ts";
import { sessionProgram } from "../../src/session-program.ts";
import type { Link } from "../../src/ssh/link.ts";
import { memoryLogger } from "../support/memory-logger.ts";

/** Runs a program of an environment; the test is the session that hears of it. */
const session = (start: Environment["start"]) => {
  const log = memoryLogger();
  const events: AnyEventObject[] = [];
  let wake = (): void => {};
  const streams = { channel: new PassThrough(), stderr: new PassThrough() };
  const link: Pick<Link, "streams"> = { streams: () => streams };
  const input: ProgramInput = {
    connectionId: "c1",
    channel: 0,
    environment: { description: "a test", start, openTcp: () => Effect.never },
    program: { kind: "shell" },
    terminal: undefined,
    variables: {},
  };
  const program = sessionProgram(() => ({ link, logger: log.logger }));
  const parent = setup({ actors: { program } }).createMachine({
    invoke: { id: "program", src: "program", input },
    on: {
      "*": {
        actions: ({ event }) => {
          events.push(event);
          wake();
        },
      },
    },
  });
  const root = createActor(parent).start();
  onTestFinished(() => void root.stop());
  const heard = async (type: string): Promise<AnyEventObject> => {
    for (;;) {
      const found = events.find((event) => event.type === type);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const tell = (command: ProgramCommand): void => root.getSnapshot().children.program?.send(command);
  return { heard, tell, log, root };
};

const program = (parts: Partial<RunningProgram>): RunningProgram => ({
  stdin: new PassThrough(),
  stdout: new PassThrough(),
  stderr: undefined,
  exit: Effect.never,
  resize: () => Effect.void,
  signal: () => Effect.void,
  ...parts,
});

const sized = (columns: number): ProgramCommand => {
  const size: TerminalSize = { columns, rows: 24, widthPixels: 0, heightPixels: 0 };
  return { type: "window.changed", size };
};

describe("a mistake of ours", () => {
  test("in a backend's start ends the session instead of letting it wait for ever", async () => {
    const mistake = new TypeError("undefined is not a function");
    const { heard } = session(() => Effect.die(mistake));
    expect(await heard("program.failed")).toEqual({ type: "program.failed", error: mistake });
  });

  test("while the program runs does, too", async () => {
    const mistake = new TypeError("undefined is not a function");
    const { heard } = session(() => Effect.succeed(program({ exit: Effect.die(mistake) })));
    await heard("program.started");
    expect(await heard("program.failed")).toEqual({ type: "program.failed", error: mistake });
  });

  test("in carrying out a signal is logged, and the next one is carried out", async () => {
    const signals = Deferred.makeUnsafe<string>();
    const { heard, tell, log } = session(() =>
      Effect.succeed(
        program({
          signal: (name) =>
            name === "HUP" ? Effect.die(new TypeError("oops")) : Deferred.succeed(signals, name),
        }),
      ),
    );
    await heard("program.started");
    tell({ type: "signal.requested", signal: "HUP" });
    tell({ type: "signal.requested", signal: "TERM" });
    expect(await Effect.runPromise(Deferred.await(signals))).toBe("TERM");
    expect(await log.waitFor("UNKNOWN_ERROR")).toMatchObject({ level: "error", message: "TypeError: oops" });
  });
});

describe("what a client asks of a running program", () => {
  test("is carried out one after the other; of sizes that wait only the last one counts", async () => {
    const done: string[] = [];
    const begun = Deferred.makeUnsafe<void>();
    const first = Deferred.makeUnsafe<void>();
    const last = Deferred.makeUnsafe<void>();
    const { heard, tell } = session(() =>
      Effect.succeed(
        program({
          resize: ({ columns }) =>
            Effect.gen(function* () {
              done.push(`begin ${columns}`);
              if (columns === 1) {
                yield* Deferred.succeed(begun, undefined);
                yield* Deferred.await(first);
              }
              done.push(`end ${columns}`);
              if (columns === 999) yield* Deferred.succeed(last, undefined);
            }),
          signal: (name) => Effect.sync(() => void done.push(name)),
        }),
      ),
    );
    await heard("program.started");
    tell(sized(1));
    await Effect.runPromise(Deferred.await(begun));
    for (let columns = 2; columns < 1000; columns++) tell(sized(columns));
    Deferred.doneUnsafe(first, Effect.void);
    await Effect.runPromise(Deferred.await(last));
    expect(done).toEqual(["begin 1", "end 1", "begin 999", "end 999"]);
  });

  test("before it runs waits for it", async () => {
    const started = Deferred.makeUnsafe<RunningProgram>();
    const carried = Deferred.makeUnsafe<number>();
    const { tell, heard } = session(() => Deferred.await(started));
    tell(sized(80));
    tell(sized(132));
    Deferred.doneUnsafe(
      started,
      Effect.succeed(program({ resize: ({ columns }) => Deferred.succeed(carried, columns) })),
    );
    await heard("program.started");
    expect(await Effect.runPromise(Deferred.await(carried))).toBe(132);
  });

  test("by more signals than a slow program takes is dropped, and that is logged", async () => {
    const release = Deferred.makeUnsafe<void>();
    const quit = Deferred.makeUnsafe<void>();
    const delivered: string[] = [];
    const { heard, tell, log } = session(() =>
      Effect.succeed(
        program({
          signal: (name) =>
            Effect.gen(function* () {
              yield* Deferred.await(release);
              delivered.push(name);
              if (name === "QUIT") yield* Deferred.succeed(quit, undefined);
            }),
        }),
      ),
    );
    await heard("program.started");
    for (let count = 0; count < 10_000; count++) tell({ type: "signal.requested", signal: "USR1" });
    Deferred.doneUnsafe(release, Effect.void);
    expect(await log.waitFor("SSH_CHANNEL_REQUEST_FAILED")).toMatchObject({ level: "notice" });
    await expect.poll(() => delivered.length).toBeGreaterThan(1);
    tell({ type: "signal.requested", signal: "QUIT" });
    await Effect.runPromise(Deferred.await(quit));
    expect(delivered.length).toBeLessThan(100);
  });
});
