/** Drives `kubernetesMachine` with its sources against an API server, as a connection would. */
import { Effect, Exit, Schema, Scope } from "effect";
import { onTestFinished } from "vitest";
import { createActor, toPromise } from "xstate";
import type { Identity } from "../../machines/facts.ts";
import { kubernetesMachine } from "../../machines/kubernetes.ts";
import {
  type KubernetesClusters,
  kubernetesBackend,
  openKubernetes,
} from "../../src/backend/kubernetes/backend.ts";
import { defaults, settingsOf } from "../../src/config/schema.ts";
import { Kubernetes } from "../../src/config/sections/kubernetes.ts";
import { noAdditions } from "../../src/metadata.ts";
import type { Connection as DockerConnection } from "./docker-backend.ts";
import { BUSYBOX, IDLE, specFor } from "./kubernetes.ts";
import { type MemoryLog, memoryLogger } from "./memory-logger.ts";

export {
  type Ended,
  endOf,
  exec,
  open,
  runProgram,
  type Session,
  secret,
  startProgram,
  terminal,
} from "./docker-backend.ts";
export { IDLE, specFor } from "./kubernetes.ts";

type Raw = Readonly<Record<string, unknown>>;

export interface Login {
  /** The `kubernetes.pod` section, over one that suits the test image. */
  readonly pod?: Raw;
  readonly timeouts?: Raw;
  readonly connection?: Raw;
  readonly user?: string;
  readonly identity?: Partial<Identity>;
  /** The client goes before there is an environment. */
  readonly signal?: AbortSignal;
}

export type Connection = DockerConnection;

/** A daemon's share in the backend: what it keeps over its connections. */
export interface TestDaemon {
  readonly clusters: KubernetesClusters;
  readonly log: MemoryLog;
  readonly connect: (login?: Login) => Promise<Connection>;
  /** All clients go; the daemon stays. */
  readonly leave: () => Promise<void>;
  /** The daemon ends in an orderly way. */
  readonly close: () => Promise<void>;
}

let connections = 0;

/** For use inside a test: everything is closed when it is over. */
export const testDaemon = async (access: Raw): Promise<TestDaemon> => {
  const log = memoryLogger();
  const scope = Scope.makeUnsafe();
  const clusters = await Effect.runPromise(Scope.provide(openKubernetes(log.logger), scope));
  const openConnections = new Set<() => Promise<void>>();
  const leave = async (): Promise<void> => {
    await Promise.all([...openConnections].map((end) => end()));
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
      if (!openConnections.delete(end)) return;
      await Effect.runPromise(Scope.close(connectionScope, Exit.void));
    };
    openConnections.add(end);
    const notices: string[] = [];
    const states: string[] = [];
    const resources = () => ({
      connectionId,
      logger: log.logger.with({ connectionId }),
      scope: connectionScope,
      notify: (line: string) => void notices.push(line),
    });
    const actor = createActor(kubernetesMachine.provide(kubernetesBackend({ clusters, resources })), {
      input: {
        connectionId,
        identity: identityOf(connectionId, login),
        settings: { ...settingsOf(defaults), backend: "kubernetes", kubernetes: sectionOf(access, login) },
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
  return { clusters, log, connect, leave, close };
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

export const sectionOf = (access: Raw, { pod = {}, timeouts = {}, connection = {} }: Login): Kubernetes =>
  Schema.decodeUnknownSync(Kubernetes)({
    connection: { qps: 50, burst: 100, ...access, ...connection },
    pod: { spec: specFor(BUSYBOX), idleCommand: IDLE, shellCommand: ["/bin/sh"], ...pod },
    timeouts,
  });

/** `{ pod: "creating" }` as `pod.creating`. */
const pathOf = (value: unknown): string =>
  typeof value === "string"
    ? value
    : Object.entries(Object(value))
        .map(([state, inner]) => `${state}.${pathOf(inner)}`)
        .join(" ");
