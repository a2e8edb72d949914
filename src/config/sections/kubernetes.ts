/**
 * The `kubernetes` section (documentation of the reference: The Kubernetes backend), with Berth's own `kubeconfig`,
 * `idleTimeout` and `recreateOutdated`.
 */
import { Redacted, Schema } from "effect";
import { defaulted, Flag, GoDuration, GoDurationOrZero, oneOf, Pem, Secret, section } from "../codecs.ts";
import { guest } from "./guest.ts";

/** The API server as pods reach it. */
export const DEFAULT_HOST = "kubernetes.default.svc";

/**
 * - `host`: a host, `host:port` or URL of the API server. With nothing else configured and a service account in
 *   place, the cluster Berth runs in.
 * - `path`: where the core API is on it.
 * - `username`, `password`: HTTP basic authentication.
 * - `certFile`, `keyFile`, `cacertFile`, `bearerTokenFile`: paths, read again when the files change.
 * - `cert`, `key`, `cacert`, `bearerToken`: the same as text.
 * - `serverName`: the name in the API server's certificate and in TLS's server name indication.
 * - `qps`, `burst`: requests per second of the whole daemon to an API server, and how many may come at once. A
 *   negative `qps` is no limit, 0 stands for the defaults. Connections with other figures are counted apart.
 * - `kubeconfig`: path of a kubeconfig file, instead of all the options above. Berth's own.
 */
const Connection = Schema.Struct({
  host: defaulted(Schema.String, DEFAULT_HOST),
  path: defaulted(Schema.String, "/api"),
  username: defaulted(Schema.String, ""),
  password: defaulted(Secret, ""),
  serverName: defaulted(Schema.String, ""),
  certFile: defaulted(Schema.String, ""),
  keyFile: defaulted(Schema.String, ""),
  cacertFile: defaulted(Schema.String, ""),
  cert: defaulted(Pem, ""),
  key: defaulted(Secret, ""),
  cacert: defaulted(Pem, ""),
  bearerToken: defaulted(Secret, ""),
  bearerTokenFile: defaulted(Schema.String, ""),
  qps: defaulted(Schema.Finite, 5),
  burst: defaulted(Schema.Int, 10),
  kubeconfig: defaulted(Schema.String, ""),
});

const strings = Schema.Record(Schema.String, Schema.String);

const anything = Schema.Record(Schema.String, Schema.Unknown);

/** ObjectMeta of the API; what is not named here is passed on as it is. */
const Metadata = Schema.StructWithRest(
  Schema.Struct({
    name: defaulted(Schema.String, ""),
    generateName: defaulted(Schema.String, ""),
    namespace: defaulted(Schema.String, "default"),
    labels: defaulted(strings, {}),
    annotations: defaulted(strings, {}),
  }),
  [anything],
);

/**
 * PodSpec of the API, passed on as it is, fields that are newer than Berth included. The API server refuses what it
 * does not know (`fieldValidation=Strict`, from Kubernetes 1.25 on) with the field's path.
 */
const Spec = anything;

/**
 * - `metadata.name`: a name, for `persistent` also with `{authenticatedUsername}`, `{username}` and
 *   `{metadata.KEY}` in it.
 * - `consoleContainerNumber`: the container that programs run in, counted from 0.
 * - `idleTimeout`: how long nobody may be connected to a persistent pod of Berth's until it is deleted; 0 for ever.
 * - `recreateOutdated`: whether a persistent pod of Berth's is replaced when its spec has changed and nobody is in it.
 *   Both need `createMissingPods`.
 */
const Pod = Schema.Struct({
  metadata: section(Metadata),
  spec: defaulted(Spec, { containers: [{ name: "shell", image: "containerssh/containerssh-guest-image" }] }),
  consoleContainerNumber: defaulted(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)), 0),
  ...guest,
  mode: defaulted(oneOf(["connection", "session", "persistent"]), "connection"),
  createMissingPods: defaulted(Flag, false),
  exposeAuthMetadataAsEnv: defaulted(strings, {}),
  exposeAuthMetadataAsLabels: defaulted(strings, {}),
  exposeAuthMetadataAsAnnotations: defaulted(strings, {}),
  idleTimeout: defaulted(GoDurationOrZero, "0s"),
  recreateOutdated: defaulted(oneOf(["never", "whenUnused"]), "never"),
});

const Timeouts = Schema.Struct({
  podStart: defaulted(GoDuration, "60s"),
  podStop: defaulted(GoDuration, "60s"),
  commandStart: defaulted(GoDuration, "60s"),
  signal: defaulted(GoDuration, "60s"),
  window: defaulted(GoDuration, "60s"),
  http: defaulted(GoDuration, "15s"),
});

export const Kubernetes = Schema.Struct({
  connection: section(Connection),
  pod: section(Pod),
  timeouts: section(Timeouts),
});

export type Kubernetes = typeof Kubernetes.Type;
export type KubernetesConnection = Kubernetes["connection"];
export type KubernetesPod = Kubernetes["pod"];
export type KubernetesTimeouts = Kubernetes["timeouts"];

/** Whether nothing says where an API server is or who we are there: then it is the one of the cluster Berth runs in. */
export const isUnconfigured = (connection: KubernetesConnection): boolean =>
  connection.host === DEFAULT_HOST &&
  Redacted.value(connection.bearerToken) === "" &&
  [
    connection.kubeconfig,
    connection.bearerTokenFile,
    connection.username,
    connection.certFile,
    connection.cert,
    connection.cacertFile,
    connection.cacert,
  ].every((value) => value === "");
