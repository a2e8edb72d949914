/** The way to a server, as the configuration has it: whom to dial, whom to trust, how to log in. */
import { Duration, Effect, Redacted } from "effect";
import type { Identity, Provisioning } from "../../../machines/facts.ts";
import type { Hop, Route } from "../../../machines/sshproxy.ts";
import { formatListenAddress } from "../../config/codecs.ts";
import { isPemText } from "../../config/pem.ts";
import type { Config } from "../../config/schema.ts";
import type { SshProxyHop } from "../../config/sections/sshproxy.ts";
import type { Failure } from "../../failure.ts";
import type { Logger } from "../../log/logger.ts";
import type { ClientCredentials } from "../../ssh/client/authentication.ts";
import type { ClientConnection, ClientConnectionOptions } from "../../ssh/client/connection.ts";
import { HostKey } from "../../ssh/host-key.ts";
import { readKeyFile } from "../../ssh/key-file.ts";
import { KeyUnusable } from "./failures.ts";

declare module "../../../machines/sshproxy.ts" {
  interface Hop {
    readonly host: string;
    readonly port: number;
    readonly credentials: ClientCredentials;
  }

  interface Route {
    /** The same for every hop. */
    readonly client: ClientConnectionOptions;
  }

  interface Peer {
    readonly connection: ClientConnection;
  }
}

/** Fails when a key cannot be read or used. */
export const planRoute = (
  { identity, settings: { sshproxy } }: Provisioning,
  client: ClientConnectionOptions,
  logger: Logger,
): Effect.Effect<Route, Failure> =>
  Effect.map(
    Effect.forEach([...sshproxy.jumpHosts, sshproxy], (hop) => planHop(hop, identity, logger)),
    (hops) => ({ hops, client, timeoutMillis: Duration.toMillis(sshproxy.timeout) }),
  );

const planHop = (hop: SshProxyHop, identity: Identity, logger: Logger): Effect.Effect<Hop, KeyUnusable> =>
  Effect.map(keyOf(hop, logger), (privateKey) => ({
    address: formatListenAddress({ host: hop.server, port: hop.port }),
    host: hop.server,
    port: hop.port,
    allowedFingerprints: hop.allowedHostKeyFingerprints,
    credentials: {
      username: hop.usernamePassThrough ? identity.username : hop.username,
      privateKey,
      password: Redacted.value(hop.password) === "" ? undefined : hop.password,
    },
  }));

const keyOf = (
  { server, privateKey }: SshProxyHop,
  logger: Logger,
): Effect.Effect<HostKey | undefined, KeyUnusable> =>
  Effect.gen(function* () {
    const field = Redacted.value(privateKey);
    if (field.trim() === "") return undefined;
    const isText = isPemText(field);
    const name = isText ? "its text" : field;
    const pem = isText ? field : yield* readKey(field, logger);
    const key = HostKey.read(pem);
    return typeof key === "string"
      ? yield* new KeyUnusable({ message: `The private key for ${server} (${name}) ${key}` })
      : key;
  });

const readKey = (file: string, logger: Logger): Effect.Effect<string, KeyUnusable> =>
  Effect.tryPromise({
    try: () =>
      readKeyFile(file, (exposed) =>
        logger.warning("SSHPROXY_KEY_EXPOSED", "Others than its owner can read a private key: chmod 600 it", {
          ...exposed,
        }),
      ),
    catch: (cause) =>
      new KeyUnusable({
        message: `The private key in ${file} cannot be read: ${cause instanceof Error && "code" in cause ? String(cause.code) : "unknown error"}`,
        details: { file },
        cause,
      }),
  });

/** Users of a provider are who they have proven to be, whatever name they typed: the name that is passed on is typed. */
export const typedNameWarning = ({ auth, sshproxy }: Config): string | undefined =>
  [sshproxy, ...sshproxy.jumpHosts].some(({ usernamePassThrough }) => usernamePassThrough) &&
  auth.keyboardInteractive.method !== "" &&
  auth.authz.method === ""
    ? "sshproxy.usernamePassThrough passes on the name that a user typed, which auth.keyboardInteractive does not prove: without auth.authz everybody may be anybody"
    : undefined;
