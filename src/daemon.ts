/** Puts sources into the daemon machine and starts the root actor: the one place where deciding and doing meet. */
import { setTimeout } from "node:timers/promises";
import { Duration, Effect, Fiber, type Scope } from "effect";
import { type ActorRefFrom, createActor, type EventObject, fromCallback, type InspectionEvent } from "xstate";
import { daemonMachine } from "../machines/daemon.ts";
import type { DaemonInput, DaemonOutcome } from "../machines/daemon-facts.ts";
import { type AuthenticationMethod, type Refusal, refusalOf } from "../machines/facts.ts";
import { type ServiceEvent, type ServiceInput, serviceMachine } from "../machines/service.ts";
import type { Authenticator } from "./auth/authenticator.ts";
import type { KerberosLogins } from "./auth/kerberos/configured.ts";
import type { BrowserLogins } from "./auth/oauth2/configured.ts";
import type { Config } from "./config/schema.ts";
import { type ConnectionSources, connectionWith } from "./connection-actors.ts";
import { connectionSupervisor } from "./connection-supervisor.ts";
import { Connections } from "./connections.ts";
import type { Failure } from "./failure.ts";
import type { Logger } from "./log/logger.ts";
import type { SocketOffer } from "./ssh/server.ts";

/** Attempts to authenticate per connection: the reference's number, and OpenSSH's. */
const ATTEMPT_LIMIT = 6;
/** A webhook that can be reached has answered by then; a user who is refused anyway waits no longer for others. */
const REPORT_TIMEOUT = Duration.seconds(2);
const CLOSE_TIMEOUT = Duration.seconds(10);
const RELEASE_TIMEOUT = Duration.seconds(30);
/** The reference's patience with live connections after a signal to stop. */
const DRAIN_TIMEOUT = Duration.seconds(20);
/** How long the daemon waits for services that are the last to stop. */
const SERVICES_TIMEOUT = Duration.seconds(1);
/** A timer can't wait longer than this (about 25 days): one that is told to does not wait at all. */
const LONGEST_TIMER_MILLIS = 2 ** 31 - 1;

/** A service of the daemon: it succeeds when it can be reached and lives until its scope closes or `lost` fails. */
export type Service = Effect.Effect<
  { readonly address: string; readonly lost: Effect.Effect<never, Failure> },
  Failure,
  Scope.Scope
>;

export interface DaemonSources extends Omit<ConnectionSources, "connections"> {
  readonly config: Config;
  readonly logger: Logger;
  /** Listens for SSH clients and offers their sockets. */
  readonly listen: (onSocket: (offer: SocketOffer) => void) => Service;
  /** Further services, by name. */
  readonly services: (daemon: Watched) => Readonly<Record<string, Service>>;
  /** Those of them that go on until the daemon has stopped. */
  readonly lastServices: readonly string[];
  /** Hears what all actors do. */
  readonly inspect: ((event: InspectionEvent) => void) | undefined;
}

/** What services may know of the daemon and ask of it. */
export interface Watched {
  /** Whether clients are let in and every service runs. */
  readonly isHealthy: () => boolean;
  /** Ends a connection; false when there is none with this ID. */
  readonly disconnect: (connectionId: string, refusal: Refusal) => boolean;
}

export interface Daemon {
  /** Asks it to stop: the first time it drains, the second time it ends at once. */
  readonly stop: () => void;
  /** Tells it of an exception that nothing caught: it ends in order, as failed. */
  readonly uncaught: (error: unknown) => void;
  /** Ends when the daemon has stopped and given everything back; a refusal says why it could not go on. */
  readonly stopped: Promise<DaemonOutcome>;
}

export const startDaemon = (sources: DaemonSources): Daemon => {
  const { logger } = sources;
  const connections = new Connections(logger, RELEASE_TIMEOUT);
  const offers = new Map<string, SocketOffer>();

  const onSocket = (offer: SocketOffer): void => {
    offers.set(offer.connectionId, offer);
    const { connectionId, remoteAddress } = offer;
    root.send({ type: "connection.offered", connectionId, remoteAddress, lot: Math.random() });
    offers.delete(connectionId);
  };

  const isHealthy = (): boolean => {
    const { value, context } = root.getSnapshot();
    return value === "running" && context.services.every((name) => context.running[name]);
  };
  const disconnect = (connectionId: string, refusal: Refusal): boolean =>
    connections.tell(connectionId, { type: "disconnect.requested", refusal });
  const services: Record<string, Service> = {
    ssh: sources.listen(onSocket),
    ...sources.services({ isHealthy, disconnect }),
  };

  const runs = serviceRuns(services, logger);

  const supervisor = connectionSupervisor({
    connection: connectionWith({ ...sources, connections }),
    opened: (connectionId, tell) => {
      const link = offers.get(connectionId)?.admit((event) => void connections.tell(connectionId, event));
      if (link !== undefined) connections.open(link, tell);
    },
    abandon: (connectionId) => connections.abandon(connectionId),
    inspect: sources.inspect,
  });

  const root = createActor(
    daemonMachine.provide({
      actors: {
        connections: supervisor,
        service: serviceMachine.provide({ actors: { run: runs.run } }),
      },
      actions: {
        log: (_, { line }) => logger.log(line.level, line.code, line.message, line.details),
        turnAway: (_, { connectionId, remoteAddress, refusal }) => {
          const { level, code, message, details, userMessage } = refusal;
          logger.log(level, code, message, { remoteAddress, ...details });
          offers.get(connectionId)?.turnAway(userMessage);
        },
      },
    }),
    {
      input: inputOf(sources, Object.keys(services)),
      ...(sources.inspect !== undefined && { inspect: sources.inspect }),
    },
  );

  const stopped = outcomeOf(root).then(async (outcome) => {
    await connections.settle();
    if (await runs.haveStopped()) logger.info("SERVICE_POOL_STOPPED", "All services have stopped");
    return outcome;
  });
  logger.info("SERVICE_POOL_STARTING", "The services are starting");
  root.start();
  return {
    stop: () => root.send({ type: "stop.requested" }),
    uncaught: (error) => root.send({ type: "exception.uncaught", error }),
    stopped,
  };
};

const inputOf = (
  { config, authenticator, authorize, browserLogins, kerberosLogins, lastServices }: DaemonSources,
  services: readonly string[],
): DaemonInput => ({
  services,
  lastServices,
  startups: config.ssh.maxStartups,
  drainMillis: Duration.toMillis(DRAIN_TIMEOUT),
  connection: {
    methods: methodsOf(authenticator, browserLogins, kerberosLogins),
    kerberosMethods: kerberosMethodsOf(kerberosLogins),
    attemptLimit: ATTEMPT_LIMIT,
    authorizes: authorize !== undefined,
    loginGraceMillis: graceMillis(config.ssh.loginGraceTime),
    interactiveGraceMillis: graceMillis(config.auth.keyboardInteractive.loginGraceTime),
    reportMillis: Duration.toMillis(REPORT_TIMEOUT),
    closeTimeoutMillis: Duration.toMillis(CLOSE_TIMEOUT),
    releaseTimeoutMillis: Duration.toMillis(RELEASE_TIMEOUT),
  },
});

/** `loginGraceTime: 0` means "for ever". */
const graceMillis = (grace: Duration.Duration): number =>
  Math.min(Duration.toMillis(grace) || LONGEST_TIMER_MILLIS, LONGEST_TIMER_MILLIS);

/** In the order in which OpenSSH's client prefers them. Only what is configured is offered. */
const methodsOf = (
  authenticator: Authenticator,
  browserLogins: BrowserLogins | undefined,
  kerberosLogins: KerberosLogins,
): readonly AuthenticationMethod[] => [
  ...(kerberosLogins.gssapi === undefined ? [] : (["gssapi-with-mic"] as const)),
  ...(authenticator.publicKey === undefined ? [] : (["publickey"] as const)),
  ...(browserLogins === undefined ? [] : (["keyboard-interactive"] as const)),
  ...(authenticator.password === undefined && kerberosLogins.password === undefined
    ? []
    : (["password"] as const)),
];

const kerberosMethodsOf = ({ password, gssapi }: KerberosLogins): readonly AuthenticationMethod[] => [
  ...(gssapi === undefined ? [] : (["gssapi-with-mic"] as const)),
  ...(password === undefined ? [] : (["password"] as const)),
];

/** The daemon's own end, a crash of the root actor included: that is a bug, and the process must not outlive it. */
const outcomeOf = (root: ActorRefFrom<typeof daemonMachine>): Promise<DaemonOutcome> =>
  new Promise((resolve) => {
    root.subscribe({
      error: (error) => resolve({ refusal: crash(error) }),
      next: (snapshot) => {
        if (snapshot.status === "done" && snapshot.output !== undefined) resolve(snapshot.output);
      },
    });
  });

const crash = (error: unknown): Refusal => ({ ...refusalOf(error), code: "SERVICE_CRASHED", level: "crit" });

/** How services run, and whether all that were stopped have given back what they held, in time. */
const serviceRuns = (services: Readonly<Record<string, Service>>, logger: Logger) => {
  const ends: Promise<void>[] = [];
  const run = fromCallback<EventObject, ServiceInput>(({ input, sendBack }) => {
    const { name } = input;
    const send = (event: ServiceEvent): void => sendBack(event);
    const service = services[name];
    if (service === undefined) throw new Error(`there is no service "${name}"`);
    const run = Effect.scoped(
      Effect.flatMap(service, ({ address, lost }) => {
        send({ type: "service.ready", address });
        return lost;
      }),
    );
    let hasCrashed = false;
    const crashed = (error: unknown) =>
      Effect.sync(() => {
        hasCrashed = true;
        send({ type: "service.crashed", error });
      });
    logger.info("SERVICE_STARTING", `${name} is starting`, { service: name });
    const fiber = Effect.runFork(run.pipe(Effect.catch(crashed), Effect.catchDefect(crashed)));
    return () => {
      if (hasCrashed) return;
      logger.info("SERVICE_STOPPING", `${name} is stopping`, { service: name });
      const end = Effect.runPromise(Fiber.interrupt(fiber)).then(() =>
        logger.info("SERVICE_STOPPED", `${name} has stopped`, { service: name }),
      );
      ends.push(end);
    };
  });
  const haveStopped = (): Promise<boolean> => {
    const allStopped = Promise.all(ends).then(() => true);
    return Promise.race([allStopped, setTimeout(Duration.toMillis(SERVICES_TIMEOUT), false, { ref: false })]);
  };
  return { run, haveStopped };
};
