/** Berth's Docker backend beside Docker's own command line, on the same Engine, image and container. */
import { once } from "node:events";
import { must, start } from "../test/support/command.ts";
import { startDaemon } from "../test/support/daemon.ts";
import { startEngine, type TestEngine } from "../test/support/docker.ts";
import { generateKey } from "../test/support/keys.ts";
import { directory } from "../test/support/resources.ts";
import { SshClient } from "../test/support/ssh.ts";
import { usersAuth } from "../test/support/users.ts";
import { type Benchmark, inTurns, type Pair, type Row, seconds } from "./measure.ts";

const IMAGE = "bench:1";

/** The start of a shell's command line: a program inside is to follow. */
interface Subject {
  /** In a container that is there already. */
  readonly exec: string;
  /** In a container that is made for it. */
  readonly run: string;
  readonly env: Readonly<Record<string, string>>;
}

export const docker: Benchmark = {
  name: "docker",
  lacks: () => (process.getuid?.() === 0 ? undefined : "root, to start a Docker Engine"),
  run: async (settings, say) => {
    await using subjects = await startSubjects(settings.noise);
    const repetitions = settings.quick ? 10 : 60;
    say(`a program in a running container, ${repetitions} times`);
    const exec = await inTurns(repetitions, subjects, ({ exec: line, env }) =>
      seconds(() => must("sh", ["-c", `${line} true`], { env })),
    );
    say(`login to first byte, ${repetitions / 2} times`);
    const login = await inTurns(repetitions / 2, subjects, firstByte);
    const bytes = settings.quick ? 100_000_000 : 400_000_000;
    const transfers = settings.quick ? 2 : 4;
    const speed = async (what: string, line: (exec: string, count: number) => string): Promise<Row> => {
      say(`${bytes / 1e6} MB ${what}, ${transfers} times`);
      const megabytes = await inTurns(transfers, subjects, async ({ exec: shell, env }) => {
        const time = await seconds(() => must("sh", ["-c", line(shell, bytes)], { env }));
        return bytes / 1e6 / time;
      });
      return { what, unit: "MB/s", better: "higher", ...megabytes };
    };
    const extraMillis = (exec.ours - exec.reference) * 1000;
    return {
      title: "Docker backend",
      reference: "docker",
      rows: [
        milliseconds("a program in a running container", exec),
        { ...milliseconds("login to first byte, beside `docker run`", login), goal: 1 / 1.15 },
        await speed("down", (shell, count) => `${shell} 'head -c ${count} /dev/zero' >/dev/null`),
        await speed("up", (shell, count) => `head -c ${count} /dev/zero | ${shell} 'cat >/dev/null'`),
      ],
      notes: [
        `A program in a running container took ${extraMillis.toFixed(1)} ms more through Berth than by \`docker exec\` (aim: under 15 ms).`,
        "Berth's column has OpenSSH's client and encryption in it; sessions share one connection (`ControlMaster`).",
      ],
    };
  },
};

const milliseconds = (what: string, { ours, reference }: Pair<number>): Row => ({
  what,
  unit: "ms",
  better: "lower",
  ours: ours * 1000,
  reference: reference * 1000,
});

const firstByte = async ({ run, env }: Subject): Promise<number> => {
  const started = performance.now();
  await using program = start("sh", ["-c", `${run} 'echo in'`], { env });
  program.stdin.end();
  await once(program.stdout, "data");
  const time = (performance.now() - started) / 1000;
  const { code } = await program.ending;
  if (code !== 0) throw new Error(`${run} ended with ${code}`);
  return time;
};

const startSubjects = async (noise: boolean): Promise<Pair<Subject> & AsyncDisposable> => {
  const engine = await startEngine();
  await engine.image(IMAGE);
  const berth = await startBerth(engine);
  const cli = `docker --host ${engine.host}`;
  const reference: Subject = {
    exec: `${cli} exec -i ${berth.container} /bin/sh -c`,
    run: `${cli} run --rm ${IMAGE} /bin/sh -c`,
    env: {},
  };
  return {
    ours: noise ? reference : berth.subject,
    reference,
    [Symbol.asyncDispose]: async () => {
      await berth[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
};

interface Berth extends AsyncDisposable {
  readonly subject: Subject;
  /** The one that its sessions share. */
  readonly container: string;
}

const startBerth = async (engine: TestEngine): Promise<Berth> => {
  const home = await directory();
  const key = await generateKey(home.path, "user");
  const daemon = await startDaemon({
    config: {
      log: { level: "info" },
      auth: await usersAuth({ name: "demo", keys: [key.publicKey] }),
      backend: "docker",
      docker: {
        connection: { host: engine.host },
        execution: { container: { image: IMAGE }, shellCommand: ["/bin/sh"] },
      },
    },
  });
  const client = await SshClient.to(daemon.target({ identityFile: key.file }));
  const shared = await client.multiplexed();
  const { stdout } = await shared.run("hostname");
  const container = stdout.trim();
  return {
    subject: { exec: shared.commandLine(), run: client.commandLine(), env: client.surroundings.env },
    container,
    [Symbol.asyncDispose]: async () => {
      await shared[Symbol.asyncDispose]();
      await client[Symbol.asyncDispose]();
      await daemon[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
};
