/** The machine of logins by Kerberos with everything it left open filled in. */
import { Duration, Effect, Redacted, Scope } from "effect";
import type { LogLine } from "../../../machines/facts.ts";
import { type KerberosLogin, type KerberosSession, kerberosMachine } from "../../../machines/kerberos.ts";
import type { Failure } from "../../failure.ts";
import { fromEffect } from "../../from-effect.ts";
import type { Logger } from "../../log/logger.ts";
import { type Additions, add } from "../../metadata.ts";
import { type GssapiMessage, InteractionEnded } from "../../ssh/credentials.ts";
import { type Attempt, PasswordRefused, provenIdentity } from "../authenticator.ts";
import type { KerberosLogins, KerberosSource } from "./configured.ts";
import {
  credentialsRefused,
  forwardingFailed,
  KdcTimedOut,
  micRefused,
  proofRefused,
  tokenRefused,
} from "./failures.ts";
import type { ProvenPrincipal } from "./library/requests.ts";
import type { CallRefused } from "./library.ts";
import { principalOf, usernameOf } from "./username.ts";

declare module "../../../machines/kerberos.ts" {
  interface ClientMessage extends GssapiMessage {}

  interface KerberosSession {
    /** The library's number for it. */
    readonly number: number;
    /** What the client has to get next. */
    readonly token: Redacted.Redacted<Uint8Array> | undefined;
    readonly principal: ProvenPrincipal | undefined;
  }
}

/** What a login may use of its connection. */
export interface LoginResources {
  readonly remoteAddress: string;
  readonly clientVersion: string;
  readonly logger: Logger;
  /** Closed when the connection ends: what the library keeps for its logins is freed then. */
  readonly scope: Scope.Scope;
}

/** How long a KDC may take before a login is given up: the library asks a silent one for half a minute. */
const KDC_PATIENCE = Duration.seconds(20);
/** RFC 4462 section 3.9 has a text for the user; the library's own names principals and keys. */
const ERROR_TEXT = "The server could not accept the Kerberos ticket.";

/** @param resourcesOf finds what belongs to a live connection. */
export const kerberosLoginWith = (
  sources: KerberosLogins,
  resourcesOf: (connectionId: string) => LoginResources,
) => {
  const sourceOf = ({ credential }: KerberosLogin): KerberosSource => {
    const source = credential.method === "password" ? sources.password : sources.gssapi;
    if (source === undefined) throw new Error(`Kerberos is not configured for ${credential.method}`);
    return source;
  };

  const logOf = ({ connectionId, username, credential }: KerberosLogin): Logger =>
    resourcesOf(connectionId).logger.with({ username, method: credential.method, authtype: "kerberos" });

  const attemptOf = ({ connectionId, username }: KerberosLogin): Attempt => {
    const { remoteAddress, clientVersion } = resourcesOf(connectionId);
    return { connectionId, username, remoteAddress, clientVersion };
  };

  const withinPatience = <A>(request: Effect.Effect<A, Failure>): Effect.Effect<A, Failure> =>
    Effect.timeoutOrElse(request, {
      duration: KDC_PATIENCE,
      orElse: () =>
        Effect.fail(
          new KdcTimedOut({
            message: "The KDC did not answer in time",
            details: { patienceSeconds: Duration.toSeconds(KDC_PATIENCE) },
          }),
        ),
    });

  return kerberosMachine.provide({
    actors: {
      openSession: fromEffect((login) => {
        const { library } = sourceOf(login);
        const number = library.newSession();
        const session: KerberosSession = {
          number,
          proof: login.credential.method === "password" ? "password" : "ticket",
          token: undefined,
          principal: undefined,
          isEstablished: false,
        };
        const forget = Effect.sync(() => library.forget(number));
        return Effect.as(Scope.addFinalizer(resourcesOf(login.connectionId).scope, forget), session);
      }),
      receiveMessage: fromEffect(({ login, session }) =>
        Effect.tryPromise({
          try: () => gssapiOf(login).exchange(session.token),
          catch: (cause) =>
            cause instanceof InteractionEnded
              ? cause
              : new InteractionEnded({ message: "The client could not be asked for its token", cause }),
        }),
      ),
      acceptToken: fromEffect(({ login, session, message }) =>
        Effect.gen(function* () {
          const received = Redacted.value(message.bytes);
          logOf(login).debug("AUTH", "A Kerberos token of the client", { bytes: received.length });
          const { token, principal } = yield* sourceOf(login)
            .library.call("acceptToken", { session: session.number, token: received })
            .pipe(
              Effect.tapError(({ status: { major, minor, token: errorToken } }: CallRefused) =>
                Effect.sync(() =>
                  gssapiOf(login).showError({
                    major,
                    minor: minor >>> 0,
                    text: ERROR_TEXT,
                    token: errorToken,
                  }),
                ),
              ),
              Effect.mapError(tokenRefused),
            );
          const reply = token === undefined ? undefined : Redacted.make(token);
          return { ...session, token: reply, principal, isEstablished: principal !== undefined };
        }),
      ),
      verifyMic: fromEffect(({ login, session, message }) =>
        sourceOf(login)
          .library.call("verifyMic", {
            session: session.number,
            data: gssapiOf(login).signedData(),
            mic: Redacted.value(message.bytes),
          })
          .pipe(Effect.asVoid, Effect.mapError(micRefused)),
      ),
      getCredentials: fromEffect(({ login, session }) =>
        Effect.gen(function* () {
          logOf(login).debug("AUTH", "Password authentication request to the KDC");
          const proof = passwordOf(login);
          if (proof === undefined) return yield* Effect.fail(noPrincipal);
          const principal = yield* withinPatience(
            sourceOf(login)
              .library.call("getCredentials", { session: session.number, ...proof })
              .pipe(Effect.mapError(credentialsRefused)),
          ).pipe(Effect.ensuring(Effect.sync(() => proof.password.fill(0))));
          const obtained: KerberosSession = { ...session, principal, isEstablished: true };
          return obtained;
        }),
      ),
      proveKdc: fromEffect(({ login, session }) =>
        withinPatience(
          sourceOf(login)
            .library.call("proveKdc", { session: session.number })
            .pipe(Effect.asVoid, Effect.mapError(proofRefused)),
        ),
      ),
      identify: fromEffect(({ login, session: { principal } }) =>
        Effect.sync(() => {
          if (principal === undefined) throw new Error("nobody has been proven");
          const { options } = sourceOf(login);
          const identity = add(provenIdentity(attemptOf(login)), {
            metadata: { KERBEROS_PRINCIPAL: { value: Redacted.make(principal.name), sensitive: false } },
          });
          return {
            // An empty name must stay empty: it says that there is none.
            identity: { ...identity, authenticatedUsername: usernameOf(principal, options) },
            principal: principal.name,
            enforcesUsername: options.enforceUsername,
          };
        }),
      ),
      forwardCredentials: fromEffect(({ login, session, identity }) =>
        Effect.gen(function* () {
          const source = sourceOf(login);
          const cache = yield* Effect.mapError(
            source.library.call("takeCredentials", { session: session.number }),
            forwardingFailed,
          );
          logOf(login).debug("AUTH_SUCCESSFUL", "Kerberos authentication successful", {
            principal: session.principal?.name,
            forwards: cache !== undefined,
          });
          if (cache === undefined) return identity;
          // The backend wipes it when it has delivered it; where every session gets an environment of its own, at the end.
          const { scope } = resourcesOf(login.connectionId);
          yield* Scope.addFinalizer(
            scope,
            Effect.sync(() => void cache.fill(0)),
          );
          return add(identity, forwarded(source, cache));
        }),
      ),
    },
    actions: {
      log: (_, { connectionId, line }: { connectionId: string; line: LogLine }) =>
        resourcesOf(connectionId).logger.log(line.level, line.code, line.message, line.details),
    },
  });
};

const noPrincipal = new PasswordRefused({
  message:
    "No principal has a user name with a slash, a backslash or an at sign, nor a password with a zero byte",
});

const gssapiOf = ({ credential }: KerberosLogin) => {
  if (credential.method !== "gssapi-with-mic") throw new Error(`${credential.method} has no tokens`);
  return credential;
};

/** What goes to the KDC; undefined when no principal can have it. */
const passwordOf = ({ credential, username }: KerberosLogin) => {
  if (credential.method !== "password") throw new Error(`${credential.method} has no password`);
  const principal = principalOf(username);
  const password = Buffer.from(Redacted.value(credential.password));
  // The library would take it for the password's end.
  return principal === undefined || password.includes(0) ? undefined : { principal, password };
};

/** The reference's: the cache, and where to find it. */
const forwarded = (
  { options: { credentialCachePath } }: KerberosSource,
  cache: Uint8Array,
): Partial<Additions> => ({
  environment: { KRB5CCNAME: { value: Redacted.make(`FILE:${credentialCachePath}`), sensitive: false } },
  files: { [credentialCachePath]: { content: Redacted.make(cache), sensitive: true } },
});
