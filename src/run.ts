/** Runs a configuration as a daemon: opens what it names, starts the root actor, obeys signals, gives everything back. */
import { Effect, Redacted, type Scope } from "effect";
import { authenticatorOf } from "./auth/configured.ts";
import { kerberosLogins } from "./auth/kerberos/configured.ts";
import { browserLogins } from "./auth/oauth2/configured.ts";
import { openDocker } from "./backend/docker/backend.ts";
import { openKubernetes, startKubernetes } from "./backend/kubernetes/backend.ts";
import { checks } from "./checks.ts";
import { tellInvalid } from "./commands.ts";
import { type Diagnostic, formatDiagnostic } from "./config/diagnostic.ts";
import { ConfigInvalid, fromObject, type Loaded, loadFile } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import { requestConfig } from "./configserver/client.ts";
import { configureFrom } from "./configure.ts";
import { type Daemon, type Service, startDaemon } from "./daemon.ts";
import type { Failure } from "./failure.ts";
import { healthService } from "./health/service.ts";
import { letHeapGrow } from "./heap.ts";
import { httpClient } from "./http/client.ts";
import { openInspector } from "./inspect/inspector.ts";
import type { Logger } from "./log/logger.ts";
import { type Log, openLog } from "./log/open.ts";
import { overheard } from "./log/overheard.ts";
import { DEMO_USER, QUICK_START_PORT, type QuickStart, quickStart } from "./quick-start.ts";
import { loadHostKeys } from "./ssh/host-keys.ts";
import { mlKem768 } from "./ssh/ml-kem.ts";
import { sshServer } from "./ssh/server.ts";
import { hasNativeCrypto } from "./ssh/ssh2-extension.ts";

/** Runs the configuration of a file until it is told to stop; gives the process's exit code. */
export const runFile = (file: string): Promise<number> =>
  exitCodeOf(
    Effect.flatMap(loadFile(file, checks), (loaded) => {
      // Not into the log: it is a secret.
      const onInspector = (link: string): void =>
        void process.stderr.write(`The inspector's page, with the token of this run: ${link}\n`);
      return runLoaded(loaded, { file, nextFreePort: false, onListening: () => {}, onInspector });
    }),
  );

/** Runs the embedded default and prints the line to log in with. */
export const runQuickStart = (): Promise<number> =>
  exitCodeOf(
    Effect.gen(function* () {
      const start = yield* quickStart((line) => process.stdout.write(`${line}\n`));
      const loaded = yield* fromObject(start.config, "quick start", checks);
      let address: string | undefined;
      let inspector: string | undefined;
      const greet = (): void => {
        if (address === undefined || inspector === undefined) return;
        process.stdout.write(welcome(start, address, inspector));
      };
      return yield* runLoaded(loaded, {
        nextFreePort: true,
        onListening: (listening) => {
          address = listening;
          greet();
        },
        onInspector: (link) => {
          inspector = link;
          greet();
        },
      });
    }),
  );

const welcome = ({ password, keyFiles, place }: QuickStart, address: string, inspector: string): string => {
  const port = address.slice(address.lastIndexOf(":") + 1);
  const moved =
    port === String(QUICK_START_PORT) ? "" : ` (Port ${QUICK_START_PORT} is taken, so it is port ${port}.)`;
  const keys = keyFiles.length === 0 ? "" : `\nYour own keys let you in, too: ${keyFiles.join(", ")}\n`;
  return `
Berth is ready.${moved} In another terminal:

    ssh -p ${port} ${DEMO_USER}@127.0.0.1

The password of this run is: ${Redacted.value(password)}
${keys}
${place}

Watch what happens in a browser:

    ${inspector}

Ctrl-C stops it.

`;
};

interface Listening {
  /** Where the configuration is from; none in the quick start. */
  readonly file?: string;
  /** Whether another port may be taken when the configured one is not free. */
  readonly nextFreePort: boolean;
  readonly onListening: (address: string) => void;
  /** The address of the inspector's page with its token, where that was made for this run. */
  readonly onInspector: (link: string) => void;
}

const exitCodeOf = (run: Effect.Effect<number, Failure | ConfigInvalid>): Promise<number> =>
  Effect.runPromise(
    Effect.catch(run, (error) =>
      Effect.sync(() => {
        if (error instanceof ConfigInvalid) tellInvalid(error);
        else process.stderr.write(`${error.code}: ${error.message}\n`);
        return 1;
      }),
    ),
  );

const runLoaded = ({ config, warnings }: Loaded, listening: Listening): Effect.Effect<number, Failure> =>
  Effect.scoped(
    Effect.gen(function* () {
      letHeapGrow();
      const log = yield* openLog(config.log, process);
      const daemon = yield* open(config, log.logger, warnings, listening);
      yield* obeySignals(daemon, log);
      const { refusal } = yield* Effect.promise(() => daemon.stopped);
      return refusal === undefined ? 0 : 1;
    }),
  );

const open = (
  config: Config,
  log: Logger,
  warnings: readonly Diagnostic[],
  { file, nextFreePort, onListening, onInspector }: Listening,
): Effect.Effect<Daemon, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const inspector = config.inspect.enable ? openInspector(config.inspect, onInspector) : undefined;
    const logger = inspector === undefined ? log : overheard(log, inspector.recorder.logged);
    if (file !== undefined)
      logger.debug("CORE_CONFIG_FILE", "The configuration is that of this file", { file });
    for (const warning of warnings) logger.warning(warning.code, formatDiagnostic(warning));
    if (!hasNativeCrypto()) {
      logger.warning(
        "SSH_NO_NATIVE_CRYPTO",
        "ssh2's native cryptography is not built: transfers are 3 to 5 times slower. Install python3, make and g++ and run npm ci again.",
      );
    }
    logger.debug("SSH_ML_KEM", "The implementation of ML-KEM for post-quantum key exchanges", {
      implementation: mlKem768.implementation,
    });
    const hostKeys = yield* loadHostKeys(config.ssh, logger);
    const { authenticator, authorize } = yield* authenticatorOf(config.auth, logger, httpClient);
    const request =
      config.configserver.url === ""
        ? undefined
        : requestConfig(yield* httpClient(config.configserver, logger), config.configserver, logger);
    const kerberos = yield* kerberosLogins(config.auth, logger);
    const { method, oauth2 } = config.auth.keyboardInteractive;
    const browser = method === "oauth2" ? yield* browserLogins(oauth2, logger) : undefined;
    const listen = (onSocket: Parameters<typeof sshServer>[0]["onSocket"]): Service =>
      Effect.tap(sshServer({ config: config.ssh, hostKeys, logger, nextFreePort, onSocket }), ({ address }) =>
        Effect.sync(() => onListening(address)),
      );
    const docker = yield* openDocker(logger);
    const kubernetes = yield* openKubernetes(logger);
    if (config.backend === "docker") yield* docker.prepare(config.docker);
    yield* startKubernetes(kubernetes, config);
    return startDaemon({
      docker,
      kubernetes,
      config,
      logger,
      authenticator,
      authorize,
      browserLogins: browser,
      kerberosLogins: kerberos,
      configure: configureFrom(config, request),
      listen,
      inspect: inspector?.recorder.observe,
      // How the daemon stops can be watched to the end.
      lastServices: ["inspect"],
      services: ({ isHealthy, disconnect }) => ({
        ...(config.health.enable && { health: healthService(config.health, isHealthy, logger) }),
        ...(browser?.redirect !== undefined && { oauth2: browser.redirect }),
        ...(inspector !== undefined && { inspect: inspector.service({ logger, disconnect }) }),
      }),
    });
  });

/**
 * SIGINT and SIGTERM drain, a second one ends at once; SIGHUP opens the log's file again. An exception that nothing
 * caught reaches the log, not only standard error, and everybody is told before the process ends.
 */
const obeySignals = (daemon: Daemon, { logger, reopen }: Log): Effect.Effect<void, never, Scope.Scope> => {
  const stop = (signal: NodeJS.Signals): void => {
    logger.notice("SERVICE_POOL_STOPPING", `${signal} received: no new connections, live ones may finish`);
    daemon.stop();
  };
  const rotate = (): void =>
    void Effect.runPromise(
      Effect.catch(reopen, (error) => Effect.sync(() => logger.error(error.code, error.message))),
    );
  const uncaught = (error: unknown): void => {
    const stack = error instanceof Error ? error.stack : undefined;
    logger.debug("UNKNOWN_ERROR", "Where nothing caught an exception", { stack });
    daemon.uncaught(error);
  };
  const listeners = { SIGINT: stop, SIGTERM: stop, SIGHUP: rotate, uncaughtException: uncaught };
  return Effect.acquireRelease(
    Effect.sync(() => {
      for (const [name, listener] of Object.entries(listeners)) process.on(name, listener);
    }),
    () =>
      Effect.sync(() => {
        for (const [name, listener] of Object.entries(listeners)) process.off(name, listener);
      }),
  );
};
