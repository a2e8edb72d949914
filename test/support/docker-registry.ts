/** A registry on loopback (Debian's docker-registry) whose access log shows who asked for what. */
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Running, start, transcriptOf } from "./command.ts";
import type { TestEngine } from "./docker.ts";
import { freePort } from "./ports.ts";
import { directory, eventually } from "./resources.ts";

export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`, what names of its images begin with. */
  readonly address: string;
  /** What Engines asked it for since the last call: `HEAD lab/manifests/1`; `GET ` is a question whether it is there. */
  readonly requests: () => Promise<readonly string[]>;
  /** Puts an image of the Engine's into the registry; tells its digest. */
  readonly push: (engine: TestEngine, name: string) => Promise<string>;
  readonly stop: () => Promise<void>;
  /** After `stop`. */
  readonly start: () => Promise<void>;
}

/** Who may pull and push; the hash is bcrypt's. */
export interface RegistryAccount {
  readonly username: string;
  readonly password: string;
  readonly hash: string;
}

/** Without an account everybody may do everything. */
export const startRegistry = async (account?: RegistryAccount): Promise<TestRegistry> => {
  const home = await directory();
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const config = join(home.path, "config.yml");
  const accounts = join(home.path, "htpasswd");
  if (account !== undefined) await writeFile(accounts, `${account.username}:${account.hash}\n`);
  await writeFile(
    config,
    JSON.stringify({
      version: 0.1,
      log: { level: "warn", accesslog: { disabled: false } },
      storage: { filesystem: { rootdirectory: join(home.path, "data") } },
      http: { addr: address },
      ...(account && { auth: { htpasswd: { realm: "test", path: accounts } } }),
    }),
  );
  let registry: Running | undefined;
  let log = "";

  const launch = async (): Promise<void> => {
    registry = start("docker-registry", ["serve", config]);
    registry.stdin.end();
    registry.stderr.resume();
    transcriptOf(registry.stdout);
    registry.stdout.on("data", (chunk) => {
      log += String(chunk);
    });
    await eventually(
      () =>
        fetch(`http://${address}/v2/`).then(
          ({ ok, status }) => ok || status === 401,
          () => false,
        ),
      "the registry answers",
    ).catch(() => {
      throw new Error(`docker-registry does not answer: ${log}`);
    });
  };
  const stop = async (): Promise<void> => {
    registry?.kill();
    await registry?.ending;
    registry = undefined;
  };

  await launch();
  return {
    address,
    requests: async () => {
      // A line is written after its answer: this one comes after the others'.
      const mark = `mark-${randomUUID()}`;
      await fetch(`http://${address}/v2/${mark}`);
      await eventually(async () => log.includes(mark), "the registry has written its log");
      const found = [...log.matchAll(/"(\w+) \/v2\/(\S*) HTTP[^"]*" \d+ \S+ "[^"]*" "docker\//g)];
      log = "";
      return found.map(([, method, path]) => `${method} ${path}`);
    },
    push: async (engine, name) => {
      const answer = await engine.docker.getImage(name).push({
        authconfig: { username: account?.username ?? "", password: account?.password ?? "" },
      });
      await new Promise<void>((resolve, reject) => {
        engine.docker.modem.followProgress(
          answer,
          (error: Error | null, output: Array<{ error?: string }>) => {
            const refused = error?.message ?? output.find((each) => each.error !== undefined)?.error;
            if (refused === undefined) resolve();
            else reject(new Error(refused));
          },
        );
      });
      const { RepoDigests } = await engine.docker.getImage(name).inspect();
      const digest = RepoDigests.find((each) => each.startsWith(address))?.split("@")[1];
      if (digest === undefined) throw new Error(`${name} has no digest after its push`);
      return digest;
    },
    stop,
    start: launch,
    [Symbol.asyncDispose]: async () => {
      await stop();
      await home[Symbol.asyncDispose]();
    },
  };
};
