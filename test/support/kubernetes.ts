/**
 * A real one-node Kubernetes for tests: `../shared/kubernetes` starts it (about 20 s, needs root, one per machine), or
 * `KUBECONFIG` names one elsewhere, which tests that break things can't use. `BERTH_TEST_CLUSTER` names the directory
 * of one that runs already and goes on running.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, relative } from "node:path";
import type { Readable } from "node:stream";
import type { V1Pod } from "@kubernetes/client-node";
import { run } from "./command.ts";
import { type ImageOptions, imageArchive } from "./docker-images.ts";
import { PATIENCE_SECONDS } from "./patience.ts";
import { directory } from "./resources.ts";
import { projectRoot } from "./root.ts";

/** Busybox with a shell and no guest agent; every cluster has it from the start. */
export const BUSYBOX = "test.local/busybox:1";

/** The only one there is. */
export const NODE = "node1";

/** A pod that ends as soon as it is asked to. */
export const IDLE = ["/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"];

/** A spec for the test image. */
export const specFor = (image: string, container: object = {}, spec: object = {}) => ({
  automountServiceAccountToken: false,
  containers: [{ name: "shell", image, imagePullPolicy: "Never", ...container }],
  ...spec,
});

export type Part = "apiserver" | "kubelet" | "etcd" | "containerd" | "scheduler";

export interface ClusterImageOptions extends ImageOptions {
  /** What is run where a pod says nothing else. Default `/bin/sh`. */
  readonly entrypoint?: readonly string[];
  /** Puts more into the directory that becomes the file system. */
  readonly fill?: (root: string) => Promise<void>;
}

export interface TestCluster {
  /** Directory of its files; empty for the one of `KUBECONFIG`. */
  readonly directory: string;
  /** May do everything. */
  readonly kubeconfig: string;
  /** User `berth`, who may do nothing until a role is bound. */
  readonly berthKubeconfig: string;
  /** Standard output; rejects with what kubectl said when it fails. */
  readonly kubectl: (...args: readonly string[]) => Promise<string>;
  /** Creates or changes objects. */
  readonly apply: (...objects: readonly object[]) => Promise<void>;
  readonly pod: (name: string, namespace?: string) => Promise<V1Pod | undefined>;
  readonly pods: (namespace?: string) => Promise<readonly V1Pod[]>;
  readonly image: (name: string, options: ClusterImageOptions) => Promise<void>;
  /** Stops a part, as a fault. */
  readonly down: (part: Part) => Promise<void>;
  /** Starts again what does not run. */
  readonly up: () => Promise<void>;
}

const SHARED = join(projectRoot, "../shared/kubernetes");

const script = (name: "up" | "down" | "load-image"): string => relative(process.cwd(), join(SHARED, name));

/** The script waits as long as an idle machine needs, and goes on where it gave up when it is called again. */
const bringUp = async (directory: string): Promise<void> => {
  const attempt = () => succeed(script("up"), [directory], 180);
  await attempt().catch(attempt).catch(attempt);
};

export interface StartedCluster {
  readonly directory: string;
  readonly stop: () => Promise<void>;
}

/** For the tier's setup: starts a cluster, or takes the one that is given. */
export const startCluster = async (): Promise<StartedCluster> => {
  const given = process.env.BERTH_TEST_CLUSTER;
  if (given !== undefined) return { directory: given, stop: async () => undefined };
  if (!existsSync(SHARED)) {
    if (process.env.KUBECONFIG !== undefined) return { directory: "", stop: async () => undefined };
    throw new Error("There is no cluster to test with: neither ../shared/kubernetes nor KUBECONFIG is there");
  }
  const home = await directory();
  const stop = async (): Promise<void> => {
    await run(script("down"), [home.path], { withinSeconds: 120 });
    await home[Symbol.asyncDispose]();
  };
  try {
    await bringUp(home.path);
  } catch (error) {
    await stop();
    throw error;
  }
  return { directory: home.path, stop };
};

/** The cluster in a directory; an empty one is that of `KUBECONFIG`. */
export const clusterIn = (home: string): TestCluster => {
  const kubeconfig = home === "" ? (process.env.KUBECONFIG ?? "") : join(home, "admin.kubeconfig");
  const kubectl = async (...args: readonly string[]): Promise<string> =>
    succeed("kubectl", ["--kubeconfig", kubeconfig, ...args]);
  const own = (): string => {
    if (home === "") throw new Error("this test breaks its cluster: it needs ../shared/kubernetes");
    return home;
  };
  return {
    directory: home,
    kubeconfig,
    berthKubeconfig: join(home, "berth.kubeconfig"),
    kubectl,
    apply: async (...objects) => {
      const list = { apiVersion: "v1", kind: "List", items: objects };
      await succeed(
        "kubectl",
        ["--kubeconfig", kubeconfig, "apply", "--validate=false", "-f", "-"],
        PATIENCE_SECONDS,
        {
          stdin: JSON.stringify(list),
        },
      );
    },
    pod: async (name, namespace = "default") => {
      const text = await kubectl("get", "pod", name, "-n", namespace, "--ignore-not-found", "-o", "json");
      return text === "" ? undefined : (JSON.parse(text) as V1Pod);
    },
    pods: async (namespace = "default") =>
      (JSON.parse(await kubectl("get", "pods", "-n", namespace, "-o", "json")) as { items: V1Pod[] }).items,
    image: async (name, { entrypoint = ["/bin/sh"], fill, ...options }) => {
      await using root = await directory();
      const files = join(root.path, "root");
      await mkdir(files);
      await succeed("tar", ["-x", "-C", files], PATIENCE_SECONDS, {
        stdin: (await imageArchive(options)) as Readable,
      });
      await fill?.(files);
      // The script writes it between the quotes of a list of one.
      await succeed(script("load-image"), [own(), name, files, entrypoint.join('","')]);
    },
    down: async (part) => {
      await succeed(script("down"), [own(), part]);
    },
    up: () => bringUp(own()),
  };
};

const succeed = async (
  file: string,
  args: readonly string[],
  withinSeconds = PATIENCE_SECONDS,
  options: { readonly stdin?: string | Readable } = {},
): Promise<string> => {
  const { code, stdout, stderr } = await run(file, args, { ...options, withinSeconds });
  if (code !== 0) throw new Error(`${file} ${args.join(" ")}: ${code} ${stderr}${stdout}`);
  return stdout;
};
