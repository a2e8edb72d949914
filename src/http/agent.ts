/** What keeps the connections of an HTTP client, with the TLS options of the configuration. */
import { createSecureContext } from "node:tls";
import { Duration, Effect, Redacted, type Scope } from "effect";
import { Agent } from "undici";
import type { HttpClient as HttpClientOptions } from "../config/http.ts";
import { nodeTlsOptions } from "../config/tls.ts";
import { codes } from "../log/codes.ts";
import type { Logger } from "../log/logger.ts";
import {
  type CertificateFailure,
  type Certificates,
  openCertificates,
  systemAuthorities,
} from "./certificates.ts";

/** The agent to use now: a new one after certificates have changed, while the old one ends what it has begun. */
export const rotatingAgent = (
  options: HttpClientOptions,
  logger: Logger,
): Effect.Effect<Effect.Effect<Agent>, CertificateFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const { cacert, cert, key } = options;
    const certificates = yield* openCertificates({ authorities: cacert, cert, key }, logger);
    const system = cacert.trim() === "" ? yield* systemAuthorities : undefined;
    const agents = new Set<Agent>();
    const make = (found: Certificates): Agent => {
      const agent = agentWith(options, found, system);
      agents.add(agent);
      return agent;
    };
    let current = make(certificates.initial);
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => Promise.all([...agents].map((agent) => agent.destroy()))),
    );
    return Effect.map(certificates.changed, (found) => {
      if (found === undefined) return current;
      const old = current;
      current = make(found);
      logger.info(codes.HTTP_CERTIFICATE_CHANGED, "the certificates of an HTTP client were read again");
      const forget = () => agents.delete(old);
      // It fails only when the agent is gone already.
      void old.close().then(forget, forget);
      return current;
    });
  });

const agentWith = (
  { timeout, ...options }: HttpClientOptions,
  { authorities, pair }: Certificates,
  system: string | undefined,
): Agent => {
  const ca = authorities ?? system;
  const secureContext = createSecureContext({
    ...nodeTlsOptions(options),
    ...(ca !== undefined && { ca }),
    ...(pair !== undefined && { cert: pair.cert, key: Redacted.value(pair.key) }),
  });
  return new Agent({
    // The exchange as a whole has one time limit: only the attempt to connect would outlive it.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { secureContext, timeout: Duration.toMillis(timeout) },
  });
};
