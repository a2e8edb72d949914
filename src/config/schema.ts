/**
 * The whole configuration: every section of the reference that is built, with its names and defaults, and Berth's own.
 *
 * A section is a file in `sections/` that exports an Effect Schema struct and its type. Its keys are written with
 * `defaulted(codec, encodedDefault)`, its nested objects with `section(struct)`, its values with the codecs of
 * `codecs.ts` and `http.ts`; secrets decode to `Redacted`. To add one: write the file, name it in `Config` below,
 * take it out of `notBuilt`, add its checks across fields to `validate.ts`, and, if it decides about single
 * connections, add it to `Settings` and to `settingsOf`.
 */
import { Schema } from "effect";
import type { Settings } from "../../machines/facts.ts";
import { defaulted, oneOf, section } from "./codecs.ts";
import { Auth } from "./sections/auth.ts";
import { ConfigServer } from "./sections/configserver.ts";
import { Health } from "./sections/health.ts";
import { Log } from "./sections/log.ts";
import { Process } from "./sections/process.ts";
import { Ssh } from "./sections/ssh.ts";

export const Config = Schema.Struct({
  ssh: section(Ssh),
  configserver: section(ConfigServer),
  auth: section(Auth),
  log: section(Log),
  health: section(Health),
  backend: defaulted(oneOf(["docker", "kubernetes", "process"]), "docker"),
  process: section(Process),
});

export type Config = typeof Config.Type;

/** Sections of the reference that Berth knows and has not built: to use one is an error and not a shrug. */
export const notBuilt = [
  "metrics",
  "geoip",
  "audit",
  "security",
  "docker",
  "kubernetes",
  "sshproxy",
] as const;

declare module "../../machines/facts.ts" {
  interface Settings {
    readonly log: Config["log"];
    readonly process: Config["process"];
  }
}

/** The part of a configuration that may differ from connection to connection. */
export const settingsOf = ({ backend, log, process }: Config): Settings => ({ backend, log, process });

/** The configuration of an empty file. */
export const defaults: Config = Schema.decodeUnknownSync(Config)({});
