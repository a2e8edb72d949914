#!/usr/bin/env -S node --max-semi-space-size=4
/** The command line: `berth` with the reference's options, and commands of its own. */
import { Command } from "commander";
import {
  checkConfig,
  dumpConfiguration,
  healthCheck,
  printPasswordHash,
  serveWebhooks,
  trace,
} from "./commands.ts";
import { runFile, runQuickStart } from "./run.ts";
import { version } from "./version.ts";

interface Options {
  readonly config?: string;
  readonly dumpConfig?: true;
  readonly showSecrets?: true;
  readonly checkConfig?: true;
  readonly healthcheck?: true;
}

const run = ({ config, ...option }: Options): Promise<number> => {
  if (option.dumpConfig) return dumpConfiguration(config, option.showSecrets === true);
  if (option.checkConfig) return checkConfig(config);
  if (option.healthcheck) return healthCheck(config);
  return config === undefined ? runQuickStart() : runFile(config);
};

const exitWith = async (code: Promise<number>): Promise<void> => {
  process.exitCode = await code;
};

const berth = new Command("berth")
  .description("An SSH server that drops every connection into its own container.")
  .version(version(), "--version", "print the version")
  .helpOption("--help", "print this help")
  .option("--config <file>", "run the configuration in this YAML file; without it Berth runs a quick start")
  .option("--dump-config", "print the complete effective configuration as YAML, secrets redacted")
  .option("--show-secrets", "with --dump-config: print the secrets too")
  .option("--check-config", "check the configuration: exit 0, or tell every error with its place")
  .option("--healthcheck", "ask the health endpoint of a running server: exit 0 when it is well")
  .showSuggestionAfterError()
  .action((options: Options) => exitWith(run(options)));

berth
  .command("hash-password")
  .description("read a password and print its hash for the configuration's auth.users")
  .action(() => exitWith(printPasswordHash()));

berth
  .command("trace")
  .description(
    "save what happened to a connection as a JSON file that the inspector's page opens; nothing in it is secret",
  )
  .argument("<reference>", "what the user was shown, or the connection's ID")
  .option(
    "--inspector <link>",
    "the inspector's link as the daemon printed it; without it --config says where it is",
  )
  .option("--output <file>", "where to save it (default: berth-trace-REFERENCE.json)")
  .action((reference: string, { inspector, output }: { inspector?: string; output?: string }) =>
    exitWith(trace(reference, berth.opts<Options>().config, inspector, output)),
  );

berth
  .command("auth-config-server")
  .description("run a server for the authentication and configuration webhooks, to try them with")
  .option("--listen <address>", "where to listen", "127.0.0.1:8080")
  .option("--allow-all", "let every user in with any password", process.env.CONTAINERSSH_ALLOW_ALL === "1")
  .action(({ listen, allowAll }: { listen: string; allowAll: boolean }) =>
    exitWith(serveWebhooks(listen, allowAll)),
  );

await berth.parseAsync();
