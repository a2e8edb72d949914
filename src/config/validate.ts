/**
 * What no single value shows: fields that need each other, limits, files that must be there. The rules are those of
 * the reference; sections that are switched off are not looked at.
 */
import { Duration, Effect, Redacted } from "effect";
import type { Finding, Path } from "./diagnostic.ts";
import { dockerFindings } from "./docker-rules.ts";
import { kubernetesFindings } from "./kubernetes-rules.ts";
import { obsoleteAlgorithms } from "./obsolete-algorithms.ts";
import { readSecretPem } from "./pem.ts";
import type { Config, PerConnection } from "./schema.ts";
import type { AuthWebhook, KeyboardInteractive } from "./sections/auth.ts";
import { sshProxyFindings, sshProxyKeys } from "./sshproxy-rules.ts";
import {
  type Findings,
  httpClient,
  httpServer,
  longEnough,
  notEmpty,
  prefixed,
  under,
} from "./validate-http.ts";
import { kerberos } from "./validate-kerberos.ts";
import { oauth2 } from "./validate-oauth2.ts";

/** Everything that is wrong with a configuration, files included. */
export const validate = (config: Config): Effect.Effect<Findings> =>
  Effect.map(
    Effect.all([
      under("ssh", ssh(config.ssh)),
      under("auth", auth(config.auth)),
      under(
        "configserver",
        config.configserver.url === "" ? Effect.succeed([]) : httpClient(config.configserver),
      ),
      under("health", health(config.health)),
      under("sshproxy", config.backend === "sshproxy" ? sshProxyKeys(config.sshproxy) : Effect.succeed([])),
      under("inspect", inspect(config.inspect)),
      // The configuration server may complete what the file leaves open, so that is judged for each connection.
      Effect.succeed(config.configserver.url === "" ? validatePerConnection(config) : []),
    ]),
    (all) => all.flat(),
  );

/** What is wrong with what one connection gets: of the backends, only the chosen one is looked at. */
export const validatePerConnection = ({
  backend,
  process,
  docker,
  kubernetes,
  sshproxy,
}: PerConnection): Findings => {
  switch (backend) {
    case "docker":
      return prefixed("docker", dockerFindings(docker));
    case "sshproxy":
      return prefixed("sshproxy", sshProxyFindings(sshproxy));
    case "kubernetes":
      return prefixed("kubernetes", kubernetesFindings(kubernetes));
    case "process":
      return prefixed("process", absolutePaths(process));
  }
};

const absolutePaths = ({ shell, home }: Config["process"]): Findings =>
  Object.entries({ shell, home })
    .filter(([, path]) => path !== "" && !path.startsWith("/"))
    .map(([key]) => ({ path: [key], message: "expected an absolute path" }));

const ssh = (config: Config["ssh"]) => {
  const { clientAliveInterval, clientAliveCountMax, loginGraceTime, kex, macs, hostkeys } = config;
  const interval = Duration.toMillis(clientAliveInterval);
  const found: Finding[] = [];
  if (interval !== 0 && interval < 1000) {
    found.push({ path: ["clientAliveInterval"], message: "must be at least 1s, or 0 to switch it off" });
  }
  if (clientAliveCountMax < 1) {
    found.push({ path: ["clientAliveCountMax"], message: "must be at least 1" });
  }
  if (Duration.toMillis(loginGraceTime) < 0) {
    found.push({ path: ["loginGraceTime"], message: "must not be negative; 0 switches it off" });
  }
  found.push(...notEmpty({ kex, macs }), ...obsoleteAlgorithms(config));
  const unreadable = hostkeys.map((key, index) => readable(["hostkeys", index], readSecretPem(key)));
  return Effect.map(Effect.all(unreadable), (keys) => [...found, ...keys.flat()]);
};

const auth = ({ password, publicKey, keyboardInteractive, gssapi, authz, users }: Config["auth"]) => {
  const found: Finding[] = [];
  const methods = { password, publicKey };
  if ([password, publicKey, keyboardInteractive, gssapi].every(({ method }) => method === "")) {
    found.push({ path: [], message: "no authentication method is configured: nobody could log in" });
  }
  if (authz.method === "" && authz.webhook.url !== "") {
    found.push({
      path: ["authz", "method"],
      severity: "warning",
      message:
        "is not set, so authz.webhook is not asked: everybody who has proven who they are may come in. Set it to webhook",
    });
  }
  if (users.length === 0) {
    for (const [name, { method }] of Object.entries(methods)) {
      if (method === "users") {
        found.push({ path: [name, "method"], message: "auth.users lists nobody: nobody could log in" });
      }
    }
  }
  const webhooks = Object.entries({ ...methods, authz })
    .filter(([, { method }]) => method === "webhook")
    .map(([name, section]) => under(name, under("webhook", authWebhook(section.webhook))));
  const byKerberos = Object.entries({ password, gssapi })
    .filter(([, { method }]) => method === "kerberos")
    .map(([name, section]) =>
      under(name, under("kerberos", kerberos(section.kerberos, authz.method !== ""))),
    );
  const interactive = under("keyboardInteractive", keyboardInteractiveFindings(keyboardInteractive));
  return Effect.map(Effect.all([...webhooks, ...byKerberos, interactive]), (all) => [
    ...found,
    ...all.flat(),
  ]);
};

const keyboardInteractiveFindings = ({ method, oauth2: options, loginGraceTime }: KeyboardInteractive) => {
  if (method === "") return Effect.succeed([]);
  const grace: Findings =
    Duration.toMillis(loginGraceTime) < 0
      ? [{ path: ["loginGraceTime"], message: "must not be negative; 0 switches it off" }]
      : [];
  return Effect.map(under("oauth2", oauth2(options)), (found) => [...grace, ...found]);
};

const authWebhook = (webhook: AuthWebhook) =>
  Effect.map(httpClient(webhook), (found) => [...found, ...longEnough("authTimeout", webhook.authTimeout)]);

const health = (config: Config["health"]) =>
  config.enable
    ? Effect.map(Effect.all([httpServer(config), under("client", httpClient(config.client))]), (all) =>
        all.flat(),
      )
    : Effect.succeed([]);

/** Whoever can guess it sees everything the inspector shows. */
const SHORTEST_TOKEN = 16;

const inspect = (config: Config["inspect"]) => {
  if (!config.enable) return Effect.succeed([]);
  const { length } = Redacted.value(config.token);
  const short: Findings =
    length > 0 && length < SHORTEST_TOKEN
      ? [{ path: ["token"], message: `must have at least ${SHORTEST_TOKEN} characters` }]
      : [];
  return Effect.map(httpServer(config), (found) => [...short, ...found]);
};

const readable = (path: Path, read: ReturnType<typeof readSecretPem>): Effect.Effect<Findings> =>
  Effect.match(read, {
    onFailure: ({ message }): Findings => [{ path, message }],
    onSuccess: (): Findings => [],
  });
