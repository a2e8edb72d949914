/**
 * A real Docker Engine (Debian's docker.io) on a socket of its own, with everything it keeps in one directory that is
 * gone afterwards. Needs root. It has no network but "none" and "host", so that nothing outside is touched.
 */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import Dockerode from "dockerode";
import { type Running, run, start, transcriptOf } from "./command.ts";
import { type ImageOptions, imageArchive } from "./docker-images.ts";
import { directory, eventually } from "./resources.ts";

export interface TestEngine extends AsyncDisposable {
  /** As a configuration names it: `unix:///…/docker.sock`. */
  readonly host: string;
  readonly socketPath: string;
  /** A client of the test's own, apart from the one under test. */
  readonly docker: Dockerode;
  /** Makes an image from busybox; tells its id. */
  readonly image: (name: string, options?: ImageOptions) => Promise<string>;
  /** All containers, whatever their state. */
  readonly containers: () => Promise<readonly Dockerode.ContainerInfo[]>;
  /** SIGKILL; what ran goes on without it until the Engine is started again. */
  readonly kill: () => Promise<void>;
  /** Stops it in an orderly way. */
  readonly stop: () => Promise<void>;
  /** After `kill` or `stop`. */
  readonly start: () => Promise<void>;
}

/** `more`: further arguments of dockerd. */
export const startEngine = async (more: ReadonlyArray<string> = []): Promise<TestEngine> => {
  const home = await directory();
  const socketPath = join(home.path, "docker.sock");
  const docker = new Dockerode({ socketPath });
  let dockerd: Running | undefined;

  const launch = async (): Promise<void> => {
    dockerd = start("/usr/sbin/dockerd", [
      ...["--host", `unix://${socketPath}`],
      ...["--data-root", join(home.path, "data")],
      ...["--exec-root", join(home.path, "exec")],
      ...["--pidfile", join(home.path, "docker.pid")],
      ...more,
      ...[
        "--bridge",
        "none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
      ],
    ]);
    dockerd.stdin.end();
    dockerd.stdout.resume();
    await transcriptOf(dockerd.stderr).waitFor("API listen on");
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    dockerd?.kill(signal);
    await dockerd?.ending;
    dockerd = undefined;
  };

  try {
    await launch();
  } catch (error) {
    await cleanUp(home.path);
    await home[Symbol.asyncDispose]();
    throw error;
  }
  return {
    host: `unix://${socketPath}`,
    socketPath,
    docker,
    image: async (name, options) => {
      const answer = await docker.importImage(await imageArchive(options), {
        changes: options?.changes ?? [],
      });
      const id = await new Promise<string>((resolve, reject) => {
        docker.modem.followProgress(answer, (error: Error | null, output: Array<{ status?: string }>) =>
          error === null ? resolve(output.at(-1)?.status ?? "") : reject(error),
        );
      });
      const separator = name.lastIndexOf(":");
      const [repo, tag] =
        separator > name.lastIndexOf("/")
          ? [name.slice(0, separator), name.slice(separator + 1)]
          : [name, "latest"];
      await docker.getImage(id).tag({ repo, tag });
      return id;
    },
    containers: () => docker.listContainers({ all: true }),
    kill: async () => {
      await end("SIGKILL");
      await endContainerd(home.path);
    },
    stop: () => end("SIGTERM"),
    start: launch,
    [Symbol.asyncDispose]: async () => {
      await end("SIGTERM");
      await cleanUp(home.path);
      await home[Symbol.asyncDispose]();
    },
  };
};

/**
 * The kernel kills an Engine's containerd along with it, a little later. An Engine that starts meanwhile, or while nobody
 * has reaped it, takes its process id for a containerd that runs, and waits for it in vain.
 */
const endContainerd = async (home: string): Promise<void> => {
  const run = join(home, "exec", "containerd");
  await eventually(async () => {
    const left = await processesOf(join(run, "containerd.toml"));
    for (const pid of left) process.kill(pid, "SIGKILL");
    return left.length === 0;
  }, "containerd is gone");
  await rm(join(run, "containerd.pid"), { force: true });
};

/** An Engine that was killed leaves containerd, its shims and mounts behind: all of them name the directory. */
const cleanUp = async (home: string): Promise<void> => {
  await eventually(async () => {
    const left = await processesOf(`${home}/`);
    for (const pid of left) process.kill(pid, "SIGKILL");
    return left.length === 0;
  }, `the processes of the Engine in ${home} are gone`);
  const mounts = (await readFile("/proc/self/mounts", "utf8"))
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${home}/`));
  for (const path of mounts.toReversed()) await run("umount", ["--lazy", path]);
};

/** Those with this in their command line; zombies have none. */
const processesOf = async (word: string): Promise<readonly number[]> => {
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const commandLine = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (commandLine.includes(word)) found.push(Number(name));
  }
  return found;
};
