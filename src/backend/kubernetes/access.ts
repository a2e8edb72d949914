/**
 * Where the API server is and how we prove who we are: from the configuration, from a kubeconfig file, or from the
 * service account of the pod that Berth runs in. Files are read for every request, so a rotated certificate or token
 * is used from the next request on; connections are kept while nothing has changed.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent, type RequestOptions } from "node:https";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { Redacted } from "effect";
import { DEFAULT_HOST, isUnconfigured, type KubernetesConnection } from "../../config/sections/kubernetes.ts";
import { ConfigError } from "./failures.ts";
import { KubeConfig } from "./kube-config.ts";

/** What one request needs. */
export interface RequestAccess {
  /** URL of the core API, such as `https://10.0.0.1:6443/api`. */
  readonly url: string;
  readonly agent: HttpAgent;
  readonly headers: Readonly<Record<string, string>>;
}

export class ClusterAccess {
  readonly #load: () => KubeConfig;
  readonly #path: string;
  readonly #tokenFile: string;
  #agent: { readonly fingerprint: string; readonly agent: HttpAgent } | undefined;

  private constructor(load: () => KubeConfig, path: string, tokenFile: string) {
    this.#load = load;
    this.#path = path;
    this.#tokenFile = tokenFile;
  }

  /** @throws ConfigError when a kubeconfig file can't be read or names no cluster. */
  static from(
    connection: KubernetesConnection,
    environment: NodeJS.ProcessEnv = process.env,
    serviceAccount = SERVICE_ACCOUNT,
  ): ClusterAccess {
    if (connection.kubeconfig !== "") {
      const load = kubeconfigLoader(connection.kubeconfig);
      load();
      return new ClusterAccess(load, connection.path, "");
    }
    const token = join(serviceAccount, "token");
    if (isUnconfigured(connection) && existsSync(token)) {
      const kubeConfig = inCluster(environment, serviceAccount);
      return new ClusterAccess(() => kubeConfig, connection.path, token);
    }
    const kubeConfig = configured(connection);
    return new ClusterAccess(() => kubeConfig, connection.path, connection.bearerTokenFile);
  }

  /** The core API's URL, such as `https://10.0.0.1:6443/api`. @throws ConfigError when a kubeconfig file can't be read. */
  get server(): string {
    const cluster = this.#load().getCurrentCluster();
    if (cluster === null) throw noCluster;
    return this.#urlOf(cluster.server);
  }

  #urlOf(server: string): string {
    return `${server.replace(/\/+$/, "")}/${this.#path.replace(/^\/+|\/+$/g, "")}`;
  }

  /** @throws ConfigError when a file can't be read. */
  async request(): Promise<RequestAccess> {
    try {
      return await this.#request();
    } catch (error) {
      throw error instanceof ConfigError ? error : unreadable(error);
    }
  }

  async #request(): Promise<RequestAccess> {
    const kubeConfig = this.#load();
    const cluster = kubeConfig.getCurrentCluster();
    if (cluster === null) throw noCluster;
    const options: RequestOptions & { headers: Record<string, string> } = { headers: {} };
    await kubeConfig.applyToHTTPSOptions(options);
    const headers = { ...options.headers };
    if (typeof options.auth === "string") {
      headers.Authorization = `Basic ${Buffer.from(options.auth).toString("base64")}`;
    }
    if (this.#tokenFile !== "") {
      headers.Authorization = `Bearer ${readFileSync(this.#tokenFile, "utf8").trim()}`;
    }
    return {
      url: this.#urlOf(cluster.server),
      agent: this.#agentFor(cluster.server, cluster.proxyUrl !== undefined, options),
      headers,
    };
  }

  /** The agent of the last request, unless something that TLS depends on has changed since. */
  #agentFor(server: string, proxied: boolean, options: RequestOptions): HttpAgent {
    const { ca, cert, key, servername, rejectUnauthorized } = options;
    const fingerprint = [server, ca, cert, key, servername, rejectUnauthorized].map(String).join("\0");
    if (this.#agent?.fingerprint === fingerprint) return this.#agent.agent;
    // Requests under way keep their sockets; sockets of the old agent that become free are closed by the server's
    // and Node.js's own time limits.
    const agent = proxied
      ? (options.agent as HttpAgent)
      : server.startsWith("http:")
        ? new HttpAgent(keepAlive)
        : new HttpsAgent({
            ...keepAlive,
            // Made once: certificates are not read anew for every connection.
            secureContext: createSecureContext({
              ...(ca === undefined ? {} : { ca }),
              ...(cert === undefined ? {} : { cert }),
              ...(key === undefined ? {} : { key }),
            }),
            ...(servername === undefined ? {} : { servername }),
            ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
          });
    this.#agent = { fingerprint, agent };
    return agent;
  }
}

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

const keepAlive = { keepAlive: true, keepAliveMsecs: 15_000, timeout: 60_000 } as const;

const inCluster = (
  { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port }: NodeJS.ProcessEnv,
  serviceAccount: string,
): KubeConfig =>
  kubeConfigOf(
    {
      server: host === undefined ? `https://${DEFAULT_HOST}` : `https://${bracketed(host)}:${port ?? "443"}`,
      caFile: join(serviceAccount, "ca.crt"),
    },
    {},
  );

const bracketed = (host: string): string => (isIPv6(host) ? `[${host}]` : host);

const configured = (connection: KubernetesConnection): KubeConfig => {
  const key = Redacted.value(connection.key);
  const token = Redacted.value(connection.bearerToken);
  return kubeConfigOf(
    {
      server: serverUrl(connection),
      ...either("caData", connection.cacert, "caFile", connection.cacertFile),
      ...(connection.serverName === "" ? {} : { tlsServerName: connection.serverName }),
    },
    {
      ...either("certData", connection.cert, "certFile", connection.certFile),
      ...either("keyData", key, "keyFile", connection.keyFile),
      ...(token === "" ? {} : { token }),
      ...(connection.username === ""
        ? {}
        : { username: connection.username, password: Redacted.value(connection.password) }),
    },
  );
};

/** Text before a file, as in Kubernetes' own client. */
const either = <Data extends string, File extends string>(
  data: Data,
  text: string,
  file: File,
  path: string,
) => (text !== "" ? { [data]: Buffer.from(text).toString("base64") } : path !== "" ? { [file]: path } : {});

/**
 * A host without a scheme is spoken to over TLS, except when nothing at all is configured that would need or prove
 * an identity (a local `kubectl proxy`): Kubernetes' own client does the same.
 */
const serverUrl = (connection: KubernetesConnection): string => {
  const { host, cacert, cacertFile, cert, certFile, username, bearerTokenFile, bearerToken } = connection;
  if (/^https?:\/\//.test(host)) return host;
  const bare = [cacert, cacertFile, cert, certFile, username, bearerTokenFile, Redacted.value(bearerToken)];
  return bare.every((value) => value === "") ? `http://${host}` : `https://${host}`;
};

const kubeConfigOf = (
  cluster: Omit<Parameters<KubeConfig["addCluster"]>[0], "name" | "skipTLSVerify">,
  user: Omit<Parameters<KubeConfig["addUser"]>[0], "name">,
): KubeConfig => {
  const kubeConfig = new KubeConfig();
  // The client insists on this flag before it speaks plain HTTP, where there is no certificate to verify.
  const skipTLSVerify = cluster.server.startsWith("http:");
  kubeConfig.loadFromClusterAndUser(
    { ...cluster, name: "cluster", skipTLSVerify },
    { ...user, name: "user" },
  );
  return kubeConfig;
};

const noCluster = new ConfigError({ message: "The kubeconfig file has no current context with a cluster" });

const unreadable = (error: unknown): ConfigError =>
  new ConfigError({
    message: `The credentials for the API server can't be read: ${error instanceof Error ? error.message : String(error)}`,
    cause: error,
  });

/** Reads the file again when it was replaced or written. */
const kubeconfigLoader = (path: string): (() => KubeConfig) => {
  let loaded: { readonly version: string; readonly kubeConfig: KubeConfig } | undefined;
  return () => {
    try {
      const { mtimeMs, ino, size } = statSync(path);
      const version = `${mtimeMs} ${ino} ${size}`;
      if (loaded?.version !== version) {
        const kubeConfig = new KubeConfig();
        kubeConfig.loadFromFile(path);
        loaded = { version, kubeConfig };
      }
      if (loaded.kubeConfig.getCurrentCluster() === null) throw noCluster;
      return loaded.kubeConfig;
    } catch (error) {
      throw error instanceof ConfigError ? error : unreadable(error);
    }
  };
};
