/** Drives `dockerMachine` with its sources against a real Engine, as a connection would. */
import { text } from "node:stream/consumers";
import { Effect, Exit, Redacted, Schema, Scope } from "effect";
import { onTestFinished } from "vitest";
import { createActor, toPromise } from "xstate";
import { dockerMachine } from "../../machines/docker.ts";
import type {
  Environment,
  Identity,
  Program,
  ProvisioningOutcome,
  Refusal,
  Terminal,
} from "../../machines/facts.ts";
import type { RunningProgram } from "../../src/backend/backend.ts";
import { type DockerEngines, dockerBackend, openDocker } from "../../src/backend/docker/backend.ts";
import { defaults, settingsOf } from "../../src/config/schema.ts";
import { Docker } from "../../src/config/sections/docker.ts";
import { noAdditions } from "../../src/metadata.ts";
import { type MemoryLog, memoryLogger } from "./memory-logger.ts";

type Raw = Readonly<Record<string, unknown>>;

export interface Login {
  /** The `docker.execution` section, over one that suits the test images. */
  readonly execution?: Raw;
  readonly timeouts?: Raw;
  readonly connection?: Raw;
  readonly user?: string;
  readonly identity?: Partial<Identity>;
  /** The client goes before there is an environment. */
  readonly signal?: AbortSignal;
}

export interface Connection {
  readonly connectionId: string;
  readonly outcome: ProvisioningOutcome;
  /** The states the machine went through, by their dotted paths. */
  readonly states: readonly string[];
  /** The environment; the test fails with the refusal if there is none. */
  readonly environment: Environment;
  /** The refusal; the test fails if there is none. */
  readonly refusal: Refusal;
  /** Lines for users at a terminal. */
  readonly notices: readonly string[];
  readonly log: MemoryLog;
  /** The client goes. */
  readonly close: () => Promise<void>;
}

/** A daemon's share in the backend: what it keeps over its connections. */
export interface TestDaemon {
  readonly engines: DockerEngines;
  readonly log: MemoryLog;
  readonly connect: (login?: Login) => Promise<Connection>;
  /** The daemon ends in an orderly way. */
  readonly close: () => Promise<void>;
}

let connections = 0;

/** For use inside a test: everything is closed when it is over. */
export const testDaemon = async (host: string): Promise<TestDaemon> => {
  const log = memoryLogger();
  const scope = Scope.makeUnsafe();
  const engines = await Effect.runPromise(Scope.provide(openDocker(log.logger), scope));
  const open = new Set<() => Promise<void>>();
  const close = async (): Promise<void> => {
    for (const end of open) await end();
    await Effect.runPromise(Scope.close(scope, Exit.void));
  };
  onTestFinished(close);

  const connect = async (login: Login = {}): Promise<Connection> => {
    const connectionId = `connection-${process.pid}-${++connections}`;
    const connectionScope = Scope.makeUnsafe();
    const end = async (): Promise<void> => {
      open.delete(end);
      await Effect.runPromise(Scope.close(connectionScope, Exit.void));
    };
    open.add(end);
    const notices: string[] = [];
    const states: string[] = [];
    const resources = () => ({
      connectionId,
      logger: log.logger.with({ connectionId }),
      scope: connectionScope,
      notify: (line: string) => void notices.push(line),
    });
    const actor = createActor(dockerMachine.provide(dockerBackend({ engines, resources })), {
      input: {
        connectionId,
        identity: identityOf(connectionId, login),
        settings: { ...settingsOf(defaults), backend: "docker", docker: sectionOf(host, login) },
      },
    });
    actor.subscribe(({ value }) => void states.push(pathOf(value)));
    actor.start();
    login.signal?.addEventListener("abort", () => actor.stop());
    const outcome = await toPromise(actor);
    return {
      connectionId,
      outcome,
      states,
      get environment() {
        if (outcome.kind === "ready") return outcome.environment;
        throw new Error(`refused: ${outcome.refusal.code}: ${outcome.refusal.message}`);
      },
      get refusal() {
        if (outcome.kind === "refused") return outcome.refusal;
        throw new Error("was not refused");
      },
      notices,
      log,
      close: end,
    };
  };
  return { engines, log, connect, close };
};

const identityOf = (connectionId: string, { user = "jane", identity }: Login): Identity => ({
  connectionId,
  remoteAddress: "192.0.2.1:4711",
  clientVersion: "SSH-2.0-test",
  username: user,
  authenticatedUsername: user,
  ...noAdditions,
  ...identity,
});

export const sectionOf = (host: string, { execution = {}, timeouts = {}, connection = {} }: Login): Docker =>
  Schema.decodeUnknownSync(Docker)({
    connection: { host, ...connection },
    execution: { container: { Image: "busybox:1" }, shellCommand: ["/bin/sh"], ...execution },
    timeouts,
  });

/** `{ container: "creating" }` as `container.creating`. */
const pathOf = (value: unknown): string =>
  typeof value === "string"
    ? value
    : Object.entries(Object(value))
        .map(([state, inner]) => `${state}.${pathOf(inner)}`)
        .join(" ");

export const secret = (value: string) => ({ value: Redacted.make(value), sensitive: true });
export const open = (value: string) => ({ value: Redacted.make(value), sensitive: false });

export const exec = (command: string): Program => ({ kind: "exec", command });

export const terminal = (columns: number, rows: number): Terminal => ({
  term: "xterm",
  columns,
  rows,
  widthPixels: 0,
  heightPixels: 0,
  modes: {},
});

export interface Session extends RunningProgram {
  /** The session is closed by the client. */
  readonly close: () => Promise<void>;
}

/** Starts a program; it is closed when the test is over. */
export const startProgram = async (
  environment: Environment,
  program: Program,
  options: {
    readonly terminal?: Terminal;
    readonly environment?: Readonly<Record<string, string>>;
    readonly channel?: number;
  } = {},
): Promise<Session> => {
  const scope = Scope.makeUnsafe();
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void));
  onTestFinished(close);
  const running = await Effect.runPromise(
    Scope.provide(
      environment.start({ program, terminal: undefined, environment: {}, channel: 0, ...options }),
      scope,
    ),
  );
  return { ...running, close };
};

export interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  /** `0`, `143`, or a signal's name. */
  readonly exit: number | string;
}

/** Runs a program to its end. */
export const runProgram = async (
  environment: Environment,
  command: string | Program,
  input: string | Uint8Array = "",
  options: Parameters<typeof startProgram>[2] = {},
): Promise<Ended> => {
  const program = typeof command === "string" ? exec(command) : command;
  const running = await startProgram(environment, program, options);
  running.stdin.end(input);
  return endOf(running);
};

export const endOf = async ({ stdout, stderr, exit }: RunningProgram): Promise<Ended> => {
  const [out, errors, ending] = await Promise.all([
    text(stdout),
    stderr === undefined ? "" : text(stderr),
    Effect.runPromise(exit),
  ]);
  return { stdout: out, stderr: errors, exit: ending.kind === "status" ? ending.status : ending.signal };
};
