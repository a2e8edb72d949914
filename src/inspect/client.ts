/** `berth trace`: asks the inspector of a running daemon for one connection's trace and saves it as a file. */
import { X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { TLSSocket } from "node:tls";
import { Duration, Effect, Redacted } from "effect";
import { Agent, buildConnector, request } from "undici";
import { formatListenAddress } from "../config/codecs.ts";
import { readPem } from "../config/pem.ts";
import type { Inspect } from "../config/sections/inspect.ts";
import { failure } from "../failure.ts";
import { reasonOf } from "../http/failures.ts";

export class TraceFailed extends failure(
  "TraceFailed",
  "INSPECT_TRACE_FAILED",
  "The trace could not be fetched.",
) {}

/** Where an inspector is, and what it wants to be told. */
export interface InspectorAddress {
  readonly url: string;
  readonly token: Redacted.Redacted<string>;
  /** The certificate it has to show, as PEM text. */
  readonly certificate: string | undefined;
}

const PATIENCE = Duration.seconds(30);

/** From the link that a daemon printed, which has the token in its fragment. */
export const addressOfLink = (link: string): Effect.Effect<InspectorAddress, TraceFailed> => {
  const url = URL.canParse(link) ? new URL(link) : undefined;
  const token = new URLSearchParams(url?.hash.slice(1)).get("token") ?? "";
  return url === undefined || token === ""
    ? Effect.fail(
        new TraceFailed({ message: "expected the inspector's link as it was printed, with #token=…" }),
      )
    : Effect.succeed({ url: url.origin, token: Redacted.make(token), certificate: undefined });
};

/** From the daemon's own configuration, on the machine where it runs. */
export const addressOfConfig = (config: Inspect): Effect.Effect<InspectorAddress, TraceFailed> =>
  Effect.gen(function* () {
    if (!config.enable)
      return yield* new TraceFailed({ message: "inspect.enable is off in this configuration" });
    if (Redacted.value(config.token) === "") {
      const message = "inspect.token is not set: give the link that the daemon printed with --inspector";
      return yield* new TraceFailed({ message });
    }
    const certificate = yield* Effect.mapError(
      readPem(config.cert),
      ({ message }) => new TraceFailed({ message: `inspect.cert: ${message}` }),
    );
    const { host, port } = config.listen;
    const reachable = ["", "0.0.0.0", "::"].includes(host) ? "127.0.0.1" : host;
    const scheme = certificate === undefined ? "http" : "https";
    return {
      url: `${scheme}://${formatListenAddress({ host: reachable, port })}`,
      token: config.token,
      certificate,
    };
  });

/** Saves the trace that a reference stands for; gives the file's path. */
export const saveTrace = (
  { url, token, certificate }: InspectorAddress,
  reference: string,
  output: string | undefined,
): Effect.Effect<string, TraceFailed> =>
  Effect.tryPromise({
    try: async () => {
      const agent =
        certificate === undefined ? new Agent() : new Agent({ connect: connectorTo(certificate) });
      try {
        const { statusCode, body } = await request(
          `${url}/api/connections/${encodeURIComponent(reference)}`,
          {
            dispatcher: agent,
            headers: { authorization: `Bearer ${Redacted.value(token)}` },
            signal: AbortSignal.timeout(Duration.toMillis(PATIENCE)),
          },
        );
        const text = await body.text();
        if (statusCode !== 200)
          throw new Error(refusals[statusCode] ?? `it answered with status ${statusCode}`);
        const file = resolve(output ?? `berth-trace-${reference}.json`);
        await writeFile(file, text, { mode: 0o600 });
        return file;
      } finally {
        await agent.close();
      }
    },
    catch: (cause) => new TraceFailed({ message: `No trace of ${reference}: ${reasonOf(cause)}`, cause }),
  });

/** Trusts a server that shows this very certificate and no other, whoever issued it and whatever it is called. */
const connectorTo = (certificate: string): buildConnector.connector => {
  const expected = new X509Certificate(certificate).fingerprint256;
  const connect = buildConnector({ rejectUnauthorized: false });
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error !== null) return callback(error, null);
      if (socket instanceof TLSSocket && socket.getPeerCertificate().fingerprint256 === expected) {
        return callback(null, socket);
      }
      socket.destroy();
      callback(new Error("the server does not show the certificate of inspect.cert"), null);
    });
};

const refusals: Readonly<Record<number, string>> = {
  401: "the token is wrong",
  404: "no connection with this reference is kept",
};
