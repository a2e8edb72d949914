/**
 * One Docker Engine: where it is, which version of its API is spoken, and requests that end in time with a typed
 * error. Every request has a connection of its own, so that an Engine that was restarted is reached again unnoticed.
 */
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { inspect } from "node:util";
import type DockerModem from "docker-modem";
import Dockerode from "dockerode";
import { Duration, Effect, Redacted, Schedule, type Scope } from "effect";
import { type PemUnreadable, readPem, readSecretPem } from "../../config/pem.ts";
import type { DockerConnection } from "../../config/sections/docker.ts";
import { ConfigurationUnusable, EngineError, EngineTooOld } from "./failures.ts";

/** The API versions that Berth speaks: the environment of an exec came with 1.25 (Docker 1.13). */
const OLDEST_API = [1, 25] as const;
const NEWEST_API = [1, 51] as const;

/** A peer that vanished without closing its connection is noticed after this long in silence. */
const KEEP_ALIVE = Duration.seconds(30);

/** A busy Engine with a full backlog refuses connections like one that is gone: asking again does no harm. */
const aMomentLater = {
  times: 3,
  schedule: Schedule.spaced("250 millis"),
  while: ({ kind }: EngineError) => kind === "unreachable",
};

export type ApiVersion = readonly [major: number, minor: number];

export interface EngineRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  /** Without the API version; see `enginePath`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean>>;
  readonly body?: object;
  /** A tar archive: the body of a PUT. */
  readonly archive?: Buffer;
  /** Credentials for the registry of an image. */
  readonly registryAuth?: object;
}

export interface Engine {
  /** The configured host: for logs. */
  readonly address: string;
  /** Asks for the Engine's version and settles on the newest API that both sides speak. Comes before any request. */
  readonly negotiate: (timeout: Duration.Duration) => Effect.Effect<void, EngineError | EngineTooOld>;
  /** Whether the API that was settled on is this version or a later one. */
  readonly speaks: (version: ApiVersion) => boolean;
  /** Whether it can run its own small init as the first process of a container. */
  readonly hasInit: () => boolean;
  /** The whole answer, decoded from JSON; interrupting it ends the request. What only reads is tried more than once. */
  readonly json: <A>(request: EngineRequest, timeout: Duration.Duration) => Effect.Effect<A, EngineError>;
  /** The answer as it arrives; closing the scope ends it. */
  readonly open: (
    request: EngineRequest,
    timeout: Duration.Duration,
  ) => Effect.Effect<IncomingMessage, EngineError, Scope.Scope>;
  /** A connection that carries raw bytes both ways from the answer on; closing the scope closes it. */
  readonly hijack: (
    request: EngineRequest,
    timeout: Duration.Duration,
  ) => Effect.Effect<Duplex, EngineError, Scope.Scope>;
}

/** What the Engine says of itself (Docker Engine API, SystemVersion). */
interface EngineVersion {
  readonly Version?: string;
  readonly ApiVersion?: string;
  readonly MinAPIVersion?: string;
  readonly Components?: ReadonlyArray<{ readonly Name: string; readonly Version: string }>;
}

/** Fails when the host is not an address or the certificates are incomplete or can't be read. */
export const openEngine = (
  connection: DockerConnection,
): Effect.Effect<Engine, ConfigurationUnusable | PemUnreadable> =>
  Effect.map(clientOptions(connection), (options) => {
    const unversioned = modemOf(options, undefined);
    let modem = unversioned;
    let api: ApiVersion = OLDEST_API;
    let init = false;

    const json = <A>(
      request: EngineRequest,
      timeout: Duration.Duration,
      client: DockerModem = modem,
    ): Effect.Effect<A, EngineError> => {
      const once = Effect.tryPromise({
        try: (signal) => dial<A>(client, { ...dialOptions(request), abortSignal: signal }),
        catch: engineError,
      });
      return inTime(request.method === "GET" ? Effect.retry(once, aMomentLater) : once, timeout);
    };

    const negotiate = (timeout: Duration.Duration) =>
      Effect.gen(function* () {
        const version = yield* json<EngineVersion>({ method: "GET", path: "/version" }, timeout, unversioned);
        const agreed = agree(version);
        if (agreed === undefined) return yield* Effect.fail(tooOld(version));
        init =
          version.Components?.some(({ Name, Version }) => Name === "docker-init" && Version !== "") === true;
        if (modem !== unversioned && compare(agreed, api) === 0) return;
        api = agreed;
        modem = modemOf(options, `v${agreed.join(".")}`);
      });

    // The answer to a pull begins when the registry answers: giving up has to work before that.
    const open = (request: EngineRequest, timeout: Duration.Duration) =>
      Effect.flatMap(
        Effect.acquireRelease(
          Effect.sync(() => new AbortController()),
          (controller) => Effect.sync(() => controller.abort()),
        ),
        ({ signal }) =>
          inTime(
            Effect.tryPromise({
              try: () =>
                dial<IncomingMessage>(modem, {
                  ...dialOptions(request),
                  isStream: true,
                  abortSignal: signal,
                }),
              catch: engineError,
            }),
            timeout,
          ),
      );

    const hijack = (request: EngineRequest, timeout: Duration.Duration) =>
      Effect.acquireRelease(
        inTime(
          Effect.tryPromise({
            try: (signal) =>
              dial<Duplex>(modem, {
                ...dialOptions(request),
                isStream: true,
                hijack: true,
                abortSignal: signal,
              }),
            catch: engineError,
          }),
          timeout,
        ),
        (socket) => Effect.sync(() => socket.destroy()),
      ).pipe(Effect.tap((socket) => Effect.sync(() => keepAlive(socket))));

    return {
      address: connection.host,
      negotiate,
      speaks: (version) => compare(api, version) >= 0,
      hasInit: () => init,
      json: (request, timeout) => json(request, timeout),
      open,
      hijack,
    };
  });

/** A path of the API, its parts escaped. Names that hold slashes (those of images) are escaped part by part. */
export const enginePath = (...parts: readonly string[]): string =>
  parts.map((part) => `/${part.split("/").map(encodeURIComponent).join("/")}`).join("");

const keepAlive = (socket: Duplex): void => {
  if (socket instanceof Socket) socket.setKeepAlive(true, Duration.toMillis(KEEP_ALIVE));
};

const inTime = <A, R>(effect: Effect.Effect<A, EngineError, R>, timeout: Duration.Duration) =>
  Effect.timeoutOrElse(effect, {
    duration: timeout,
    orElse: () =>
      Effect.fail(
        new EngineError({ kind: "silent", status: undefined, message: "the Engine did not answer in time" }),
      ),
  });

const compare = (one: ApiVersion, other: ApiVersion): number => one[0] - other[0] || one[1] - other[1];

const parseApi = (text: string | undefined): ApiVersion | undefined => {
  const match = /^(\d+)\.(\d+)$/.exec(text ?? "");
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
};

/** The newest version both sides speak. */
const agree = ({ ApiVersion: newest, MinAPIVersion: oldest }: EngineVersion): ApiVersion | undefined => {
  const theirs = parseApi(newest);
  if (theirs === undefined || compare(theirs, OLDEST_API) < 0) return undefined;
  const agreed = compare(theirs, NEWEST_API) < 0 ? theirs : NEWEST_API;
  const theirOldest = parseApi(oldest);
  return theirOldest !== undefined && compare(agreed, theirOldest) < 0 ? undefined : agreed;
};

const tooOld = ({ Version = "", ApiVersion = "", MinAPIVersion = "" }: EngineVersion): EngineTooOld =>
  new EngineTooOld({
    message: `Docker Engine ${Version} speaks API ${MinAPIVersion || "?"} to ${ApiVersion || "?"}, Berth speaks ${OLDEST_API.join(".")} to ${NEWEST_API.join(".")}`,
    details: { engineVersion: Version, apiVersion: ApiVersion },
  });

/** What docker-modem is built with. Its types don't know `Agent` among the options that dockerode takes. */
type ClientOptions = Dockerode.DockerOptions & { readonly agent: http.Agent };

/**
 * Every option is named, because docker-modem takes those that are missing from `DOCKER_HOST` and the like. It also
 * formats the options of every request in depth for a debug line that nobody reads: the agent, which holds sockets
 * and certificates, shows nothing of itself.
 */
const clientOptions = (
  connection: DockerConnection,
): Effect.Effect<ClientOptions, ConfigurationUnusable | PemUnreadable> =>
  Effect.gen(function* () {
    const { socketPath, protocol, host, port } = yield* addressOf(connection.host);
    const ca = yield* readPem(connection.cacert);
    const cert = yield* readPem(connection.cert);
    const key = yield* readSecretPem(connection.key);
    const given = [ca, cert, key].filter((pem) => pem !== undefined).length;
    if (given !== 0 && given !== 3) {
      return yield* Effect.fail(
        new ConfigurationUnusable({
          message: "docker.connection needs all of cacert, cert and key, or none of them",
        }),
      );
    }
    const tls = protocol === "https" || given === 3;
    const agent = tls
      ? new https.Agent({
          keepAlive: false,
          minVersion: "TLSv1.3",
          ca,
          cert,
          key: key && Redacted.value(key),
        })
      : new http.Agent({ keepAlive: false });
    return {
      socketPath,
      host,
      port,
      protocol: tls ? "https" : "http",
      agent: Object.assign(agent, { [inspect.custom]: () => "Agent" }),
      ca: undefined,
      cert: undefined,
      key: undefined,
      timeout: undefined,
      headers: {},
    };
  });

const modemOf = (options: ClientOptions, version: string | undefined): DockerModem =>
  new Dockerode({ ...options, version }).modem;

interface Address {
  readonly socketPath: string | undefined;
  readonly protocol: "http" | "https";
  readonly host: string | undefined;
  readonly port: string | undefined;
}

const addressOf = (text: string): Effect.Effect<Address, ConfigurationUnusable> => {
  const socket = /^(?:unix|npipe):\/\/(.+)$/.exec(text)?.[1];
  if (socket !== undefined) {
    return Effect.succeed({ socketPath: socket, protocol: "http", host: undefined, port: undefined });
  }
  const match = /^(?:(tcp|http|https):\/\/)?(\[[^\]]+\]|[^:/[\]]+)(?::(\d+))?\/?$/.exec(text);
  const host = match?.[2];
  if (host === undefined) {
    return Effect.fail(
      new ConfigurationUnusable({
        message: `docker.connection.host ${JSON.stringify(text)} is not an address such as unix:///var/run/docker.sock or tcp://host:2376`,
      }),
    );
  }
  const protocol = match?.[1] === "https" ? "https" : "http";
  return Effect.succeed({
    socketPath: undefined,
    protocol,
    host: host.replace(/^\[|\]$/g, ""),
    port: match?.[3] ?? (protocol === "https" ? "2376" : "2375"),
  });
};

/**
 * Dockerode's own methods put the body of a request into its query string as well, secrets included; its client for
 * HTTP takes the two apart when it is asked to.
 */
const dialOptions = ({ method, path, query, body, archive, registryAuth }: EngineRequest) => ({
  method,
  path: query === undefined ? path : `${path}?`,
  options: { _query: query ?? {}, _body: body ?? {} },
  statusCodes: { 200: true, 201: true, 204: true, 304: true },
  ...(archive === undefined ? {} : { file: archive }),
  ...(registryAuth === undefined ? {} : { authconfig: registryAuth }),
});

const dial = <A>(
  modem: DockerModem,
  options: DockerModem.DialOptions & { readonly abortSignal: AbortSignal },
): Promise<A> =>
  new Promise((resolve, reject) => {
    modem.dial(options, (error: unknown, answer: unknown) => {
      if (error === null || error === undefined) resolve(answer as A);
      else reject(error);
    });
  });

/** docker-modem rejects with plain errors: those that carry an HTTP status are the Engine's answers. */
const engineError = (error: unknown): EngineError => {
  const status = isAnswer(error) ? error.statusCode : undefined;
  return new EngineError({
    kind: status === undefined ? "unreachable" : "answered",
    status,
    message: messageOf(error),
    cause: error,
  });
};

const isAnswer = (error: unknown): error is { statusCode: number } =>
  typeof error === "object" &&
  error !== null &&
  "statusCode" in error &&
  typeof error.statusCode === "number";

/** The Engine's own sentence, where docker-modem handed its answer on. */
const messageOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const answer: unknown = "json" in error ? error.json : undefined;
  return typeof answer === "object" && answer !== null && "message" in answer
    ? String(answer.message)
    : error.message.trim();
};
