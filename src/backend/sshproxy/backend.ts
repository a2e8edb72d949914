/** The SSH proxy backend: what `sshProxyMachine` leaves open, done with SSH connections of our own. */
import type { Duplex } from "node:stream";
import { Effect, Redacted, Scope } from "effect";
import type { Environment, LogLine, Provisioning } from "../../../machines/facts.ts";
import type { Dialing, Route, TrustedPeer } from "../../../machines/sshproxy.ts";
import type { SshProxy } from "../../config/sections/sshproxy.ts";
import type { Failure } from "../../failure.ts";
import { fromEffect } from "../../from-effect.ts";
import { wipeFiles } from "../../metadata.ts";
import { algorithmsOf, hostKeyAlgorithmsOf } from "../../ssh/algorithms.ts";
import type { ClientConnection, ClientConnectionOptions } from "../../ssh/client/connection.ts";
import { packetBuffers, prepareClientTransport } from "../../ssh/ssh2-extension.ts";
import type { ConnectionResources } from "../backend.ts";
import { dial, logIn } from "./dial.ts";
import { ConnectionLost, ForwardingFailed } from "./failures.ts";
import { startProgram } from "./program.ts";
import { planRoute } from "./route.ts";

export interface SshProxyResources extends ConnectionResources {
  /** The server is gone while its client is not: sessions are told why, and the connection ends. */
  readonly lost: (failure: Failure) => void;
}

export interface SshProxyDependencies {
  readonly resources: (connectionId: string) => SshProxyResources;
}

/** What `sshProxyMachine.provide` takes. */
export const sshProxyBackend = ({ resources }: SshProxyDependencies) => {
  const buffers = packetBuffers();

  /** How every server of a connection is spoken to: the one place where clients are made ready. */
  const clientFor = (section: SshProxy): Effect.Effect<ClientConnectionOptions, Failure> =>
    Effect.gen(function* () {
      const { clientVersion } = section;
      const algorithms = yield* algorithmsOf(section, "sshproxy");
      const hostKeyAlgorithms = yield* hostKeyAlgorithmsOf(section);
      const transport = yield* prepareClientTransport({
        clientVersion,
        algorithms,
        hostKeyAlgorithms,
        buffers,
      });
      return { transport, clientVersion };
    });

  const plan = (provisioning: Provisioning): Effect.Effect<Route, Failure> =>
    Effect.flatMap(clientFor(provisioning.settings.sshproxy), (client) =>
      planRoute(provisioning, client, resources(provisioning.connectionId).logger),
    );

  const openEnvironment = ({ connectionId, identity, hop, peer }: TrustedPeer): Effect.Effect<Environment> =>
    Effect.gen(function* () {
      const { connection } = peer;
      const { logger, notify, scope, lost } = resources(connectionId);
      const files = Object.keys(identity.files);
      if (files.length > 0) {
        const message = "The login brings files, and a server behind this one gets none";
        logger.warning("SSHPROXY_FILES_LEFT_OUT", message, { files: files.join(" ") });
        yield* wipeFiles(identity.files);
      }
      const details = { server: hop.address };
      let isReleased = false;
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => {
          isReleased = true;
        }),
      );
      void connection.ended.then(({ message: error }) => {
        if (!isReleased)
          lost(new ConnectionLost({ message: "The server is gone", details: { ...details, error } }));
      });
      const environment = Object.fromEntries(
        Object.entries(identity.environment).map(([name, { value }]) => [name, Redacted.value(value)]),
      );
      const host = { connection, environment, logger, notify };
      return {
        description: `server ${hop.address}`,
        start: (request) => startProgram(host, request),
        openTcp: (name, port) => openTcp(connection, name, port),
      };
    });

  return {
    actors: {
      planRoute: fromEffect(plan),
      dial: fromEffect((dialing: Dialing) => dial(dialing, resources(dialing.connectionId))),
      logIn: fromEffect((peer: TrustedPeer) => logIn(peer, resources(peer.connectionId))),
      openEnvironment: fromEffect(openEnvironment),
    },
    actions: {
      log: (
        _: unknown,
        { connectionId, line }: { readonly connectionId: string; readonly line: LogLine },
      ): void => resources(connectionId).logger.log(line.level, line.code, line.message, line.details),
      hangUp: (_: unknown, { peer }: TrustedPeer): void => peer.connection.disconnect(),
    },
  };
};

const openTcp = (
  connection: ClientConnection,
  host: string,
  port: number,
): Effect.Effect<Duplex, Failure, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.tryPromise({
        try: () => connection.openTcp(host, port),
        catch: (cause) =>
          new ForwardingFailed({
            message: "The server does not open a connection",
            details: { host, port, error: cause instanceof Error ? cause.message : String(cause) },
          }),
      }),
      (channel) => Effect.sync(() => channel.close()),
    ),
    ({ data }) => data,
  );
