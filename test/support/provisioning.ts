/** Drives a backend's machine with its sources against the real thing, as a connection would. */
import { Effect, Exit, Scope } from "effect";
import { onTestFinished } from "vitest";
import { createActor, toPromise } from "xstate";
import type { dockerMachine } from "../../machines/docker.ts";
import type { Environment, Identity, ProvisioningOutcome, Refusal, Settings } from "../../machines/facts.ts";
import type { kubernetesMachine } from "../../machines/kubernetes.ts";
import type { ConnectionResources } from "../../src/backend/backend.ts";
import type { Logger } from "../../src/log/logger.ts";
import { noAdditions } from "../../src/metadata.ts";
import { type MemoryLog, memoryLogger } from "./memory-logger.ts";

export type Raw = Readonly<Record<string, unknown>>;

export interface Login {
  /** The `docker.execution` section, over one that suits the test images. */
  readonly execution?: Raw;
  /** The `kubernetes.pod` section, over one that suits the test image. */
  readonly pod?: Raw;
  readonly timeouts?: Raw;
  readonly connection?: Raw;
  readonly user?: string;
  readonly identity?: Partial<Identity>;
  /** The client goes before there is an environment. */
  readonly signal?: AbortSignal;
  /** Hears the lines for users at a terminal as they come. */
  readonly onNotice?: (line: string) => void;
}

export interface Connection {
  readonly connectionId: string;
  readonly outcome: ProvisioningOutcome;
  /** The states that the machine and those within it went through, by their dotted paths. */
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

/** A backend under test: what a daemon keeps of it over its connections, its machine, and a login's configuration. */
export interface BackendUnderTest<Shared> {
  readonly open: (logger: Logger) => Effect.Effect<Shared, never, Scope.Scope>;
  readonly machine: (
    shared: Shared,
    resources: () => ConnectionResources,
  ) => typeof dockerMachine | typeof kubernetesMachine;
  readonly settings: (login: Login) => Settings;
}

/** A daemon's share in the backend: what it keeps over its connections. */
export interface TestDaemon<Shared> {
  readonly shared: Shared;
  readonly log: MemoryLog;
  readonly connect: (login?: Login) => Promise<Connection>;
  /** All clients go; the daemon stays. */
  readonly leave: () => Promise<void>;
  /** The daemon ends in an orderly way. */
  readonly close: () => Promise<void>;
}

let connections = 0;

/** For use inside a test: everything is closed when it is over. */
export const daemonWith = async <Shared>(backend: BackendUnderTest<Shared>): Promise<TestDaemon<Shared>> => {
  const log = memoryLogger();
  const scope = Scope.makeUnsafe();
  const shared = await Effect.runPromise(Scope.provide(backend.open(log.logger), scope));
  const connected = new Set<() => Promise<void>>();
  const leave = async (): Promise<void> => {
    await Promise.all([...connected].map((end) => end()));
  };
  const close = async (): Promise<void> => {
    await leave();
    await Effect.runPromise(Scope.close(scope, Exit.void));
  };
  onTestFinished(close);

  const connect = async (login: Login = {}): Promise<Connection> => {
    const connectionId = `connection-${process.pid}-${++connections}`;
    const connectionScope = Scope.makeUnsafe();
    const end = async (): Promise<void> => {
      if (!connected.delete(end)) return;
      await Effect.runPromise(Scope.close(connectionScope, Exit.void));
    };
    connected.add(end);
    const notices: string[] = [];
    const states: string[] = [];
    const machine = backend.machine(shared, () => ({
      connectionId,
      logger: log.logger.with({ connectionId }),
      scope: connectionScope,
      notify: (line) => {
        notices.push(line);
        login.onNotice?.(line);
      },
    }));
    const actor = createActor(machine, {
      input: { connectionId, identity: identityOf(connectionId, login), settings: backend.settings(login) },
      inspect: (event) => {
        if (event.type === "@xstate.snapshot" && "value" in event.snapshot)
          states.push(pathOf(event.snapshot.value));
      },
    });
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
  return { shared, log, connect, leave, close };
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

/** `{ pod: "creating" }` as `pod.creating`. */
const pathOf = (value: unknown): string =>
  typeof value === "string"
    ? value
    : Object.entries(Object(value))
        .map(([state, inner]) => `${state}.${pathOf(inner)}`)
        .join(" ");
