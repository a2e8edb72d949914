/**
 * The `docker` section (documentation of the reference: The Docker backend), with Berth's own persistent mode.
 *
 * @example
 * docker:
 *   execution:
 *     mode: persistent
 *     container: { image: "registry.example.com/lab:2" }
 *     containerName: "lab-{authenticatedUsername}"
 *     createMissingContainers: true
 *     idleTimeout: 8h
 */
import { Schema } from "effect";
import {
  defaulted,
  Flag,
  GoDuration,
  GoDurationOrZero,
  oneOf,
  Pem,
  Secret,
  SecretPem,
  section,
} from "../codecs.ts";
import { EngineContainer, EngineHost, EngineNetwork, EnginePlatform } from "./docker-engine.ts";
import { guest } from "./guest.ts";

/**
 * - `host`: `unix:///path`, `tcp://host:port`, `http(s)://host:port` or `host:port`.
 * - `cacert`, `cert`, `key`: with all three the Engine is spoken to over TLS with a client certificate.
 */
const Connection = Schema.Struct({
  host: defaulted(Schema.String, "unix:///var/run/docker.sock"),
  cacert: defaulted(Pem, ""),
  cert: defaulted(Pem, ""),
  key: defaulted(SecretPem, ""),
});

export type DockerConnection = typeof Connection.Type;

/** Credentials for the image's registry (Docker Engine API, AuthConfig). */
const RegistryAuth = Schema.Struct({
  username: Schema.optionalKey(Schema.String),
  password: Schema.optionalKey(Secret),
  auth: Schema.optionalKey(Secret),
  email: Schema.optionalKey(Schema.String),
  serveraddress: Schema.optionalKey(Schema.String),
  identitytoken: Schema.optionalKey(Secret),
  registrytoken: Schema.optionalKey(Secret),
});

export type RegistryAuth = typeof RegistryAuth.Type;

/**
 * - `container`, `host`, `network`, `platform`: the Engine's own options.
 * - `containerName`: the container's name; may hold `{authenticatedUsername}`, `{username}` and `{metadata.KEY}`.
 * - `mode`: one container for each `connection`, for each `session`, or a `persistent` one that is found by its name
 *   and stays. Persistent is Berth's own.
 * - `createMissingContainers`: in persistent mode, create the container when there is none. Berth's own.
 * - `idleTimeout`: remove a persistent container that nobody was connected to for this long; 0 never. Berth's own.
 */
const Execution = Schema.Struct({
  container: defaulted(EngineContainer, { Image: "containerssh/containerssh-guest-image" }),
  host: section(EngineHost),
  network: section(EngineNetwork),
  platform: section(EnginePlatform),
  containerName: defaulted(Schema.String.annotate({ alsoSpelt: ["containername"] }), ""),
  auth: section(RegistryAuth),
  mode: defaulted(oneOf(["connection", "session", "persistent"]), "connection"),
  ...guest,
  imagePullPolicy: defaulted(oneOf(["Always", "IfNotPresent", "Never"]), "IfNotPresent"),
  exposeAuthMetadataAsEnv: defaulted(Flag, false),
  createMissingContainers: defaulted(Flag, false),
  idleTimeout: defaulted(GoDurationOrZero, "0s"),
});

export type DockerExecution = typeof Execution.Type;

/**
 * - `containerStart`: until a container is created and runs; a pull may take longer, but not go silent for longer.
 * - `containerStop`: until a container is removed.
 * - `commandStart`: until a program runs.
 * - `signal`, `window`: until a signal or a window size is delivered.
 * - `http`: of every other call of the Engine.
 */
const Timeouts = Schema.Struct({
  containerStart: defaulted(GoDuration, "60s"),
  containerStop: defaulted(GoDuration, "60s"),
  commandStart: defaulted(GoDuration, "60s"),
  signal: defaulted(GoDuration, "60s"),
  window: defaulted(GoDuration, "60s"),
  http: defaulted(GoDuration, "15s"),
});

export type DockerTimeouts = typeof Timeouts.Type;

export const Docker = Schema.Struct({
  connection: section(Connection),
  execution: section(Execution),
  timeouts: section(Timeouts),
});

export type Docker = typeof Docker.Type;
