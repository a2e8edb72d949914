/** The commands of the command line that run no daemon; each gives the process's exit code. */
import password from "@inquirer/password";
import { Effect, Redacted } from "effect";
import { hashPassword } from "./auth/password-hash.ts";
import { runAuthConfigServer } from "./auth-config-server/server.ts";
import { sharedContainerWarning } from "./backend/docker/plan.ts";
import { sharedPodWarning } from "./backend/kubernetes/backend.ts";
import { isolationWarning } from "./backend/process/isolation.ts";
import { typedNameWarning } from "./backend/sshproxy/route.ts";
import { checks } from "./checks.ts";
import { parseListenAddress } from "./config/codecs.ts";
import { formatDiagnostic } from "./config/diagnostic.ts";
import { dump } from "./config/dump.ts";
import { type ConfigInvalid, type Loaded, loadFile } from "./config/load.ts";
import { type Config, defaults } from "./config/schema.ts";
import { askHealth } from "./health/client.ts";
import { addressOfConfig, addressOfLink, saveTrace } from "./inspect/client.ts";
import { openLog } from "./log/open.ts";
import { policyRisks } from "./policy.ts";

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const complain = (text: string): void => void process.stderr.write(`${text}\n`);

/** Why a configuration can't be used, a line for each reason. */
export const tellInvalid = ({ warnings, diagnostics }: ConfigInvalid): void => {
  for (const warning of warnings) complain(`warning: ${formatDiagnostic(warning)}`);
  for (const diagnostic of diagnostics) complain(`${diagnostic.code}: ${formatDiagnostic(diagnostic)}`);
};

const withConfig = async (
  file: string | undefined,
  use: (loaded: Loaded) => Effect.Effect<number>,
): Promise<number> => {
  if (file === undefined) {
    complain("CORE_CONFIG_ERROR: which configuration is meant? Name its file with --config");
    return 1;
  }
  return Effect.runPromise(
    Effect.catch(Effect.flatMap(loadFile(file, checks), use), (invalid) =>
      Effect.sync(() => {
        tellInvalid(invalid);
        return 1;
      }),
    ),
  );
};

/** Without a file: that of an empty one, to begin a configuration with. */
export const dumpConfiguration = async (file: string | undefined, showSecrets: boolean): Promise<number> => {
  const show = (config: Config): number => {
    process.stdout.write(dump(config, { showSecrets }));
    return 0;
  };
  return file === undefined
    ? show(defaults)
    : withConfig(file, ({ config }) => Effect.sync(() => show(config)));
};

export const checkConfig = (file: string | undefined): Promise<number> =>
  withConfig(file, ({ config, warnings }) =>
    Effect.gen(function* () {
      for (const warning of warnings) print(`warning: ${formatDiagnostic(warning)}`);
      for (const risk of yield* risksOf(config)) print(`warning: ${risk}`);
      print("The configuration is valid.");
      return 0;
    }),
  );

/** What works and may still not be what the operator wants. */
const risksOf = (config: Config): Effect.Effect<readonly string[]> =>
  Effect.map(backendRisk(config), (risk) => [
    ...(risk === undefined ? [] : [risk]),
    ...policyRisks(config.security),
    ...inspectorRisks(config.inspect),
  ]);

const LOOPBACK: ReadonlySet<string> = new Set(["127.0.0.1", "::1", "localhost"]);

const inspectorRisks = ({ enable, listen, cert }: Config["inspect"]): readonly string[] =>
  enable && cert === "" && !LOOPBACK.has(listen.host)
    ? ["inspect listens beyond this machine without TLS: its token and all it shows can be read on the way"]
    : [];

const backendRisk = (config: Config): Effect.Effect<string | undefined> => {
  switch (config.backend) {
    case "process":
      return isolationWarning(config.process);
    case "kubernetes":
      return Effect.succeed(sharedPodWarning(config.kubernetes.pod));
    case "docker":
      return Effect.succeed(sharedContainerWarning(config.docker.execution));
    case "sshproxy":
      return Effect.succeed(typedNameWarning(config));
  }
};

export const healthCheck = (file: string | undefined): Promise<number> =>
  withConfig(file, ({ config }) =>
    Effect.match(
      Effect.scoped(
        Effect.flatMap(openLog(config.log, process), ({ logger }) => askHealth(config.health, logger)),
      ),
      {
        onSuccess: () => {
          print("CORE_HEALTH_CHECK_SUCCESSFUL: the server is well");
          return 0;
        },
        onFailure: ({ message }) => {
          complain(`CORE_HEALTH_CHECK_FAILED: ${message}`);
          return 1;
        },
      },
    ),
  );

/** @param link the inspector's as it was printed; without one the configuration says where it is */
export const trace = (
  reference: string,
  file: string | undefined,
  link: string | undefined,
  output: string | undefined,
): Promise<number> => {
  const save = (address: ReturnType<typeof addressOfLink>) =>
    Effect.match(
      Effect.flatMap(address, (found) => saveTrace(found, reference, output)),
      {
        onSuccess: (path) => {
          print(path);
          return 0;
        },
        onFailure: ({ code, message }) => {
          complain(`${code}: ${message}`);
          return 1;
        },
      },
    );
  return link === undefined
    ? withConfig(file, ({ config }) => save(addressOfConfig(config.inspect)))
    : Effect.runPromise(save(addressOfLink(link)));
};

export const printPasswordHash = async (): Promise<number> => {
  const answer = process.stdin.isTTY ? await password({ message: "Password:" }) : await firstLine();
  if (answer === "") {
    complain("An empty password lets everybody in: nothing was hashed.");
    return 1;
  }
  print(await Effect.runPromise(hashPassword(Redacted.make(answer))));
  return 0;
};

const firstLine = async (): Promise<string> => {
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) {
    text += String(chunk);
    if (text.includes("\n")) break;
  }
  return text.split(/\r?\n/, 1)[0] ?? "";
};

/** Serves until the process is told to stop. */
export const serveWebhooks = async (address: string, allowAll: boolean): Promise<number> => {
  const listen = parseListenAddress(address);
  if (listen === undefined) {
    complain(`"${address}" is no address to listen on: expected host:port such as 127.0.0.1:8080`);
    return 1;
  }
  const serve = Effect.gen(function* () {
    const url = yield* runAuthConfigServer({ listen, allowAll, io: { print } });
    print(`The authentication and configuration server listens at ${url}`);
    yield* stopSignal;
    return 0;
  });
  return Effect.runPromise(
    Effect.catch(Effect.scoped(serve), (error) =>
      Effect.sync(() => {
        complain(`${error.code}: ${error.message}`);
        return 1;
      }),
    ),
  );
};

const stopSignal = Effect.callback<void>((resume) => {
  const stop = (): void => resume(Effect.void);
  process.once("SIGINT", stop).once("SIGTERM", stop);
  return Effect.sync(() => process.off("SIGINT", stop).off("SIGTERM", stop));
});
