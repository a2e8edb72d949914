/** Berth's Kubernetes backend beside kubectl, on the same cluster and pod. */
import { must } from "../test/support/command.ts";
import { clusterIn, startCluster, type TestCluster } from "../test/support/kubernetes.ts";
import { kubernetesConfig, newPerson, serve } from "../test/support/kubernetes-daemon.ts";
import { type Benchmark, inTurns, type Pair, type Row, seconds } from "./measure.ts";

const POD = "bench";

/** The start of a shell's command line: a program in the pod is to follow. */
interface Subject {
  readonly exec: string;
  readonly env: Readonly<Record<string, string>>;
}

export const kubernetes: Benchmark = {
  name: "kubernetes",
  lacks: () => (process.getuid?.() === 0 ? undefined : "root, to start a cluster"),
  run: async (settings, say) => {
    await using subjects = await startSubjects(settings.noise);
    const repetitions = settings.quick ? 10 : 60;
    say(`a program in a running pod, ${repetitions} times`);
    const latency = await inTurns(repetitions, subjects, ({ exec, env }) =>
      seconds(() => must("sh", ["-c", `${exec} true`], { env })),
    );
    const bytes = settings.quick ? 100_000_000 : 500_000_000;
    const transfers = settings.quick ? 2 : 5;
    const speed = async (what: string, line: (exec: string, count: number) => string): Promise<Row> => {
      say(`${bytes / 1e6} MB ${what}, ${transfers} times`);
      const megabytes = await inTurns(transfers, subjects, async ({ exec, env }) => {
        const time = await seconds(() => must("sh", ["-c", line(exec, bytes)], { env, withinSeconds: 300 }));
        return bytes / 1e6 / time;
      });
      return { what, unit: "MB/s", better: "higher", ...megabytes };
    };
    return {
      title: "Kubernetes backend",
      reference: "kubectl exec",
      rows: [
        {
          what: "a program in a running pod",
          unit: "ms",
          better: "lower",
          ours: latency.ours * 1000,
          reference: latency.reference * 1000,
          goal: 2,
        },
        await speed("down", (exec, count) => `${exec} 'head -c ${count} /dev/zero | cat' >/dev/null`),
        await speed(
          "up",
          // Whoever ends before everything was read must not win.
          (exec, count) => `test $(head -c ${count} /dev/zero | ${exec} 'wc -c') = ${count}`,
        ),
      ],
      notes: [
        "Berth's column has OpenSSH's client and encryption in it; sessions share one connection (`ControlMaster`).",
      ],
    };
  },
};

const startSubjects = async (noise: boolean): Promise<Pair<Subject> & AsyncDisposable> => {
  const { directory, stop } = await startCluster();
  const cluster = clusterIn(directory);
  const berth = await startBerth(cluster).catch(async (error: Error) => {
    await stop();
    throw error;
  });
  const reference: Subject = {
    exec: `kubectl --kubeconfig ${cluster.kubeconfig} exec -i ${POD} -- /bin/sh -c`,
    env: {},
  };
  return {
    ours: noise ? reference : berth.subject,
    reference,
    [Symbol.asyncDispose]: async () => {
      await berth[Symbol.asyncDispose]();
      await stop();
    },
  };
};

const startBerth = async ({
  kubeconfig,
}: TestCluster): Promise<AsyncDisposable & { readonly subject: Subject }> => {
  const person = await newPerson();
  const pod = { mode: "persistent", createMissingPods: true, metadata: { name: POD } };
  const config = await kubernetesConfig(person, { kubeconfig }, pod);
  const serving = await serve(person, { config: { ...config, log: { level: "info" } } });
  const shared = await serving.client.multiplexed();
  return {
    subject: { exec: shared.commandLine(), env: shared.surroundings.env },
    [Symbol.asyncDispose]: async () => {
      await shared[Symbol.asyncDispose]();
      await serving[Symbol.asyncDispose]();
      await person[Symbol.asyncDispose]();
    },
  };
};
