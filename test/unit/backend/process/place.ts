/** A connection's environment on this machine, made by the machine and the sources that the daemon uses. */
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { Effect, Exit as EffectExit, Redacted, Scope } from "effect";
import { onTestFinished } from "vitest";
import { createActor, toPromise } from "xstate";
import type {
  Environment,
  Exit,
  Identity,
  Program,
  ProvisioningOutcome,
  Terminal,
} from "../../../../machines/facts.ts";
import { processMachine } from "../../../../machines/process.ts";
import type { ProgramRequest, RunningProgram } from "../../../../src/backend/backend.ts";
import { processBackend } from "../../../../src/backend/process/backend.ts";
import { defaults, settingsOf } from "../../../../src/config/schema.ts";
import type { Process } from "../../../../src/config/sections/process.ts";
import { noAdditions } from "../../../../src/metadata.ts";
import { type MemoryLog, memoryLogger } from "../../../support/memory-logger.ts";

export interface PlaceOptions {
  readonly settings?: Partial<Process>;
  readonly username?: string;
  /** Secret variables of the login. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Files of the login, by path. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
}

export interface Place {
  readonly environment: Environment;
  readonly log: MemoryLog;
  /** Ends the connection. */
  readonly close: () => Promise<void>;
}

export const isolations = ["bubblewrap", "none"] as const;

export const provision = async (
  options: PlaceOptions = {},
): Promise<{
  readonly outcome: ProvisioningOutcome;
  readonly log: MemoryLog;
  close: () => Promise<void>;
}> => {
  const log = memoryLogger();
  const scope = Scope.makeUnsafe();
  const close = () => Effect.runPromise(Scope.close(scope, EffectExit.void));
  onTestFinished(close);
  const resources = (connectionId: string) => ({
    connectionId,
    scope,
    logger: log.logger,
    notify: () => undefined,
    link: { localAddress: "[::1]:2222" },
  });
  const settings = settingsOf({ ...defaults, process: { ...defaults.process, ...options.settings } });
  const actor = createActor(processMachine.provide(processBackend({ resources })), {
    input: { connectionId: "c1", identity: identityOf(options), settings },
  });
  actor.start();
  return { outcome: await toPromise(actor), log, close };
};

export const openPlace = async (options: PlaceOptions = {}): Promise<Place> => {
  const { outcome, ...rest } = await provision(options);
  if (outcome.kind === "refused") {
    const { code, message, details } = outcome.refusal;
    throw new Error(`${code}: ${message} ${JSON.stringify(details)}`);
  }
  return { environment: outcome.environment, ...rest };
};

const identityOf = ({ username = "jane", environment = {}, files = {} }: PlaceOptions): Identity => ({
  ...noAdditions,
  username,
  authenticatedUsername: username,
  connectionId: "c1",
  remoteAddress: "192.0.2.7:40000",
  clientVersion: "SSH-2.0-test",
  environment: mapValues(environment, (value) => ({ value: Redacted.make(value), sensitive: true })),
  files: mapValues(files, (content) => ({
    content: Redacted.make(typeof content === "string" ? Buffer.from(content) : content),
    sensitive: true,
  })),
});

const mapValues = <A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value)]));

export const exec = (command: string): Program => ({ kind: "exec", command });

export const terminalOf = (overrides: Partial<Terminal> = {}): Terminal => ({
  term: "xterm",
  columns: 80,
  rows: 24,
  widthPixels: 0,
  heightPixels: 0,
  modes: {},
  ...overrides,
});

export interface Started extends RunningProgram {
  /** Ends the session. */
  readonly close: () => Promise<void>;
  readonly ended: Promise<Exit>;
}

export const start = async (
  { environment }: Place,
  program: Program | string,
  request: Partial<ProgramRequest> = {},
): Promise<Started> => {
  const scope = Scope.makeUnsafe();
  const close = () => Effect.runPromise(Scope.close(scope, EffectExit.void));
  onTestFinished(close);
  const started = environment.start({
    program: typeof program === "string" ? exec(program) : program,
    terminal: undefined,
    environment: {},
    channel: 0,
    ...request,
  });
  const running = await Effect.runPromise(Scope.provide(started, scope));
  return { ...running, close, ended: Effect.runPromise(running.exit) };
};

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit: Exit;
}

/** Runs a program to its end and ends its session. */
export const run = async (
  place: Place,
  program: Program | string,
  request: Partial<ProgramRequest> & { readonly input?: string } = {},
): Promise<Ran> => {
  const running = await start(place, program, request);
  if (request.terminal === undefined || request.input !== undefined) running.stdin.end(request.input ?? "");
  const [stdout, stderr, exit] = await Promise.all([
    text(running.stdout),
    running.stderr === undefined ? "" : text(running.stderr),
    running.ended,
  ]);
  await running.close();
  return { stdout, stderr, exit };
};

const text = async (stream: Readable): Promise<string> => (await buffer(stream)).toString();

/** What a stream has said, once something in it matches. */
export const until = (stream: Readable, pattern: RegExp): Promise<string> =>
  new Promise((resolve, reject) => {
    let said = "";
    const listen = (chunk: Buffer): void => {
      said += chunk.toString();
      if (!pattern.test(said)) return;
      stream.off("data", listen);
      resolve(said);
    };
    stream.on("data", listen);
    stream.once("end", () => reject(new Error(`the stream ended with ${JSON.stringify(said)}`)));
  });

export const status = (code: number): Exit => ({ kind: "status", status: code });

export const killedBy = (signal: string): Exit => ({
  kind: "signal",
  signal,
  coreDumped: false,
  message: "",
});
