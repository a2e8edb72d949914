/** The connection machine with everything it left open filled in: sources for its actors, the SSH link for its actions. */
import { Effect } from "effect";
import { authenticationMachine, type Attempt as MachineAttempt } from "../machines/authentication.ts";
import { connectionMachine } from "../machines/connection.ts";
import type { Identity, LogLine, PublicKeyCredential } from "../machines/facts.ts";
import { processMachine } from "../machines/process.ts";
import { sessionMachine } from "../machines/session.ts";
import { type Attempt, type Authenticator, type Authorize, PublicKeyRefused } from "./auth/authenticator.ts";
import { processBackend } from "./backend/process/backend.ts";
import type { Configure } from "./configure.ts";
import type { Connections } from "./connections.ts";
import { type Failure, failure } from "./failure.ts";
import { fromEffect } from "./from-effect.ts";
import { sessionProgram } from "./session-program.ts";

export interface ConnectionSources {
  readonly connections: Connections;
  readonly authenticator: Authenticator;
  /** Missing when no authorization webhook is configured. */
  readonly authorize: Authorize | undefined;
  readonly configure: Configure;
}

class MethodMissing extends failure(
  "MethodMissing",
  "SSH_AUTH_UNAVAILABLE",
  "This way of logging in is not available here.",
) {}

const unavailable = (method: string): Effect.Effect<never, Failure> =>
  Effect.fail(new MethodMissing({ message: `No backend is configured for ${method}` }));

export const connectionWith = ({ connections, authenticator, authorize, configure }: ConnectionSources) => {
  const log = (_: unknown, { connectionId, line }: { connectionId: string; line: LogLine }): void =>
    connections.loggerOf(connectionId).log(line.level, line.code, line.message, line.details);
  const linkOf = (connectionId: string) => connections.get(connectionId).link;

  const attemptOf = ({ connectionId, username }: MachineAttempt): Attempt => {
    const { link, clientVersion } = connections.get(connectionId);
    return { connectionId, username, clientVersion, remoteAddress: link.remoteAddress };
  };

  const checkPassword = (attempt: MachineAttempt): Effect.Effect<Identity, Failure> =>
    attempt.credential.method === "password" && authenticator.password !== undefined
      ? authenticator.password({ ...attemptOf(attempt), password: attempt.credential.password })
      : unavailable("password authentication");

  const askForKey = (attempt: MachineAttempt<PublicKeyCredential>): Effect.Effect<Identity, Failure> =>
    authenticator.publicKey === undefined
      ? unavailable("public key authentication")
      : authenticator.publicKey({ ...attemptOf(attempt), key: attempt.credential.key });

  const verifySignature = ({
    credential,
  }: MachineAttempt<PublicKeyCredential>): Effect.Effect<void, Failure> =>
    Effect.suspend(() =>
      credential.verify()
        ? Effect.void
        : Effect.fail(
            new PublicKeyRefused({
              message: "The signature does not prove that the client holds the private key",
              details: { algorithm: credential.algorithm, fingerprint: credential.fingerprint },
            }),
          ),
    );

  const authentication = authenticationMachine.provide({
    actors: {
      checkPassword: fromEffect(checkPassword),
      askForKey: fromEffect(askForKey),
      verifySignature: fromEffect(verifySignature),
    },
    actions: {
      log,
      answerFailure: (_, { connectionId, methods }) => linkOf(connectionId).answerFailure(methods),
      answerKeyAcceptable: (_, { connectionId }) => linkOf(connectionId).answerKeyAcceptable(),
      answerSuccess: (_, { connectionId }) => linkOf(connectionId).answerSuccess(),
      showBanner: (_, { connectionId, text }) => linkOf(connectionId).showBanner(text),
    },
  });

  const session = sessionMachine.provide({
    actors: { runProgram: sessionProgram((connectionId) => connections.get(connectionId)) },
    actions: {
      log,
      acceptRequest: (_, { connectionId, channel }) => linkOf(connectionId).acceptRequest(channel),
      openStreams: (_, { connectionId, channel }) => linkOf(connectionId).openStreams(channel),
      showFailure: (_, { connectionId, channel, text }) => linkOf(connectionId).showFailure(channel, text),
      closeChannel: (_, { connectionId, channel, exit }) => linkOf(connectionId).closeChannel(channel, exit),
    },
  });

  const resources = (connectionId: string) => connections.get(connectionId);

  return connectionMachine.provide({
    actors: {
      authentication,
      session,
      process: processMachine.provide(processBackend({ resources })),
      authorize: fromEffect(({ identity }) => authorize?.(identity) ?? Effect.succeed(identity)),
      configure: fromEffect(({ connectionId, identity }) =>
        Effect.tap(configure(identity), ({ settings }) =>
          Effect.sync(() => {
            const { logger } = connections.get(connectionId);
            connections.update(connectionId, { logger: logger.at(settings.log.level) });
          }),
        ),
      ),
      release: fromEffect(({ connectionId }) => connections.release(connectionId)),
    },
    actions: {
      log,
      acceptChannel: (_, { connectionId, channel }) => linkOf(connectionId).acceptChannel(channel),
      notifyTerminals: (_, { connectionId, text }) => linkOf(connectionId).notifyTerminals(text),
      disconnect: (_, { connectionId, reason, text }) => linkOf(connectionId).disconnect(reason, text),
    },
  });
};
