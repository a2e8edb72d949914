/**
 * The whole configuration: every section of the reference that is built, with its names and defaults, and Berth's own.
 *
 * A section is a file in `sections/` that exports an Effect Schema struct and its type. Its keys are written with
 * `defaulted(codec, encodedDefault)`, its nested objects with `section(struct)`, its values with the codecs of
 * `codecs.ts` and `http.ts`; secrets decode to `Redacted`. To add one: write the file, name it in `Config` below,
 * take it out of `not-built.ts`, add its checks across fields to `validate.ts`, and, if it decides about single
 * connections, add it to `PerConnection` and `settingsOf`.
 */
import { Schema } from "effect";
import type { Settings } from "../../machines/facts.ts";
import { defaulted, oneOf, section } from "./codecs.ts";
import { Auth } from "./sections/auth.ts";
import { ConfigServer } from "./sections/configserver.ts";
import { Docker } from "./sections/docker.ts";
import { Health } from "./sections/health.ts";
import { Inspect } from "./sections/inspect.ts";
import { Kubernetes } from "./sections/kubernetes.ts";
import { Log } from "./sections/log.ts";
import { Process } from "./sections/process.ts";
import { Security } from "./sections/security.ts";
import { Ssh } from "./sections/ssh.ts";
import { SshProxy } from "./sections/sshproxy.ts";

export const Config = Schema.Struct({
  ssh: section(Ssh),
  configserver: section(ConfigServer),
  auth: section(Auth),
  log: section(Log),
  health: section(Health),
  inspect: section(Inspect),
  backend: defaulted(oneOf(["docker", "kubernetes", "sshproxy", "process"]), "docker"),
  docker: section(Docker),
  kubernetes: section(Kubernetes),
  sshproxy: section(SshProxy),
  process: section(Process),
  security: section(Security),
});

export type Config = typeof Config.Type;

const { backend, log, docker, kubernetes, sshproxy, process, security } = Config.fields;

/** The part of a configuration that the configuration server may change for one connection. */
export const PerConnection = Schema.Struct({ backend, log, docker, kubernetes, sshproxy, process, security });

export type PerConnection = typeof PerConnection.Type;

declare module "../../machines/facts.ts" {
  interface Settings extends Omit<PerConnection, "backend"> {}
}

/** The settings of a connection for which the configuration server changed nothing. */
export const settingsOf = (config: PerConnection): Settings => ({
  backend: config.backend,
  log: config.log,
  docker: config.docker,
  kubernetes: config.kubernetes,
  sshproxy: config.sshproxy,
  process: config.process,
  security: config.security,
});

/** The configuration of an empty file. */
export const defaults: Config = Schema.decodeUnknownSync(Config)({});
