/** The connection machine with everything it left open filled in: sources for its actors, the SSH link for its actions. */
import { Effect } from "effect";
import { assign } from "xstate";
import { authenticationMachine } from "../machines/authentication.ts";
import { connectionMachine } from "../machines/connection.ts";
import { dockerMachine } from "../machines/docker.ts";
import type { Identity, LogLine, Attempt as MachineAttempt, PublicKeyCredential } from "../machines/facts.ts";
import { kubernetesMachine } from "../machines/kubernetes.ts";
import { processMachine } from "../machines/process.ts";
import { provisioningMachine } from "../machines/provisioning.ts";
import { type JudgedRequest, sessionMachine } from "../machines/session.ts";
import { sshProxyMachine } from "../machines/sshproxy.ts";
import { type Attempt, type Authenticator, type Authorize, PublicKeyRefused } from "./auth/authenticator.ts";
import { kerberosLoginWith } from "./auth/kerberos/actors.ts";
import type { KerberosLogins } from "./auth/kerberos/configured.ts";
import { browserLoginWith, type LoginResources } from "./auth/oauth2/actors.ts";
import type { BrowserLogins } from "./auth/oauth2/configured.ts";
import { type DockerEngines, dockerBackend } from "./backend/docker/backend.ts";
import { type KubernetesClusters, kubernetesBackend } from "./backend/kubernetes/backend.ts";
import { processBackend } from "./backend/process/backend.ts";
import { sshProxyBackend } from "./backend/sshproxy/backend.ts";
import type { Configure } from "./configure.ts";
import type { Connections } from "./connections.ts";
import { type Failure, failure } from "./failure.ts";
import { fromEffect } from "./from-effect.ts";
import { withReference } from "./inspect/reference.ts";
import {
  envVerdict,
  forcedProgram,
  forwardingVerdict,
  ORIGINAL_COMMAND,
  programVerdict,
  ptyVerdict,
  sessionVerdict,
  signalVerdict,
  type Verdict,
} from "./policy.ts";
import { sessionProgram } from "./session-program.ts";

export interface ConnectionSources {
  readonly connections: Connections;
  readonly authenticator: Authenticator;
  /** Missing when no authorization webhook is configured. */
  readonly authorize: Authorize | undefined;
  /** Missing when nobody logs in with a browser. */
  readonly browserLogins: BrowserLogins | undefined;
  readonly kerberosLogins: KerberosLogins;
  readonly configure: Configure;
  readonly docker: DockerEngines;
  readonly kubernetes: KubernetesClusters;
}

class MethodMissing extends failure(
  "MethodMissing",
  "SSH_AUTH_UNAVAILABLE",
  "This way of logging in is not available here.",
) {}

const unavailable = (method: string): Effect.Effect<never, Failure> =>
  Effect.fail(new MethodMissing({ message: `No backend is configured for ${method}` }));

export const connectionWith = ({
  connections,
  authenticator,
  authorize,
  browserLogins,
  kerberosLogins,
  configure,
  docker,
  kubernetes,
}: ConnectionSources) => {
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

  const loginResourcesOf = (connectionId: string): LoginResources => {
    const { link, clientVersion, logger, scope } = connections.get(connectionId);
    const showBanner = (text: string) => link.showBanner(text);
    return { remoteAddress: link.remoteAddress, clientVersion, logger, scope, showBanner };
  };

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
      ...(browserLogins !== undefined && { oidc: browserLoginWith(browserLogins, loginResourcesOf) }),
      kerberos: kerberosLoginWith(kerberosLogins, loginResourcesOf),
    },
    actions: {
      log,
      answerFailure: (_, { connectionId, methods }) => linkOf(connectionId).answerFailure(methods),
      answerKeyAcceptable: (_, { connectionId }) => linkOf(connectionId).answerKeyAcceptable(),
      answerSuccess: (_, { connectionId }) => linkOf(connectionId).answerSuccess(),
      showBanner: (_, { connectionId, text }) =>
        linkOf(connectionId).showBanner(withReference(connectionId, text)),
    },
  });

  const verdictOn = ({ settings: { security }, request }: JudgedRequest): Verdict => {
    switch (request.type) {
      case "env.requested":
        return envVerdict(security, request.name);
      case "pty.requested":
        return ptyVerdict(security);
      case "program.requested":
        return programVerdict(security, request.program);
      case "signal.requested":
        return signalVerdict(security, request.signal);
      case "window.changed":
        return undefined;
    }
  };
  const logVerdict = (connectionId: string, verdict: Verdict, channel?: number): void => {
    if (verdict === undefined) return;
    const { level, code, message, details } = verdict;
    connections.loggerOf(connectionId).log(level, code, message, { ...details, channel });
  };

  const session = sessionMachine.provide({
    guards: { isAllowed: (_, judged) => verdictOn(judged) === undefined },
    actors: { runProgram: sessionProgram((connectionId) => connections.get(connectionId)) },
    actions: {
      log,
      acceptRequest: (_, { connectionId, channel }) => linkOf(connectionId).acceptRequest(channel),
      openStreams: (_, { connectionId, channel }) => linkOf(connectionId).openStreams(channel),
      showFailure: (_, { connectionId, channel, text }) =>
        linkOf(connectionId).showFailure(channel, withReference(connectionId, text)),
      logRequestRefusal: (_, judged) => logVerdict(judged.connectionId, verdictOn(judged), judged.channel),
      keepProgram: assign(({ context }, { settings, program }) => {
        const forced = forcedProgram(settings.security, program);
        if (forced === undefined) return { program };
        const { originalCommand } = forced;
        connections
          .loggerOf(context.connectionId)
          .debug(
            "SECURITY_EXEC_FORCING_COMMAND",
            "The configured command runs instead of what was asked for",
            {
              channel: context.channel,
            },
          );
        return {
          program: forced.program,
          variables:
            originalCommand === undefined
              ? context.variables
              : { ...context.variables, [ORIGINAL_COMMAND]: originalCommand },
        };
      }),
      closeChannel: (_, { connectionId, channel, exit }) => linkOf(connectionId).closeChannel(channel, exit),
    },
  });

  const resources = (connectionId: string) => connections.get(connectionId);

  return connectionMachine.provide({
    guards: {
      mayOpenSession: (_, { settings, open }) => sessionVerdict(settings.security, open) === undefined,
      mayForward: (_, { settings, forwarding }) =>
        forwardingVerdict(settings.security, forwarding) === undefined,
    },
    actors: {
      authentication,
      session,
      provisioning: provisioningMachine.provide({
        actors: {
          docker: dockerMachine.provide(dockerBackend({ engines: docker, resources })),
          kubernetes: kubernetesMachine.provide(kubernetesBackend({ clusters: kubernetes, resources })),
          process: processMachine.provide(processBackend({ resources })),
          sshproxy: sshProxyMachine.provide(sshProxyBackend({ resources })),
        },
      }),
      authorize: fromEffect(({ identity }) => authorize?.(identity) ?? Effect.succeed(identity)),
      configure: fromEffect(({ connectionId, identity }) =>
        Effect.tap(configure(identity), ({ settings }) =>
          Effect.sync(() => {
            connections.update(connectionId, { logger: linkOf(connectionId).logAt(settings.log.level) });
          }),
        ),
      ),
      release: fromEffect(({ connectionId }) => connections.release(connectionId)),
    },
    actions: {
      log,
      acceptChannel: (_, { connectionId, channel }) => linkOf(connectionId).acceptChannel(channel),
      logSessionRefusal: (_, { connectionId, settings, open }) =>
        logVerdict(connectionId, sessionVerdict(settings.security, open)),
      logForwardingRefusal: (_, { connectionId, settings, forwarding }) =>
        logVerdict(connectionId, forwardingVerdict(settings.security, forwarding)),
      notifyTerminals: (_, { connectionId, text }) => linkOf(connectionId).notifyTerminals(text),
      disconnect: (_, { connectionId, reason, text }) =>
        linkOf(connectionId).disconnect(reason, withReference(connectionId, text)),
    },
  });
};
