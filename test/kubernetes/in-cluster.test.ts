/**
 * Berth inside the cluster, as deploy/kubernetes has it. The test cluster has no controllers, no admission of service
 * accounts and no kube-proxy: the pods of the Deployment, the account's volume and the API server's service address
 * are made here.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { V1Deployment, V1Pod } from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { parse } from "yaml";
import { loadBerthImage } from "../support/berth-image.ts";
import { run, start } from "../support/command.ts";
import { builtManifests, MANIFESTS } from "../support/deployment.ts";
import { BUSYBOX, clusterIn, IDLE } from "../support/kubernetes.ts";
import { newPerson, type Person } from "../support/kubernetes-daemon.ts";
import { kubernetesService } from "../support/kubernetes-service.ts";
import { DaemonLog } from "../support/log.ts";
import { eventually } from "../support/resources.ts";
import { SshClient } from "../support/ssh.ts";
import { usersAuth } from "../support/users.ts";

const cluster = clusterIn(inject("cluster"));
const SERVICE_ACCOUNT = "kube-api-access";

interface Replica {
  readonly name: string;
  readonly pod: V1Pod;
  readonly log: DaemonLog;
  readonly client: SshClient;
}

const opened: AsyncDisposable[] = [];
const open = <A extends AsyncDisposable>(one: A): A => {
  opened.unshift(one);
  return one;
};

let replicas: readonly Replica[];

beforeAll(async () => {
  const person = open(await newPerson());
  const { clusters } = parse(await readFile(cluster.kubeconfig, "utf8"));
  const { server, "certificate-authority": authority } = clusters[0].cluster;
  open(await kubernetesService(new URL(server)));
  await loadBerthImage(cluster, "test.local/berth:1");
  const { objects, hostKey } = await builtManifests({
    config: await configuration(person),
    overlay: {
      images: [{ name: "berth", newName: "test.local/berth", newTag: "1" }],
      patches: [{ patch: JSON.stringify(serviceAccountVolume) }],
    },
  });
  await cluster.apply(...objects.filter(({ kind }) => kind === "Namespace"));
  await cluster.apply(...objects, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "kube-root-ca.crt", namespace: "berth" },
    data: { "ca.crt": await readFile(authority, "utf8") },
  });
  const deployment = objects.find(({ kind }) => kind === "Deployment") as V1Deployment;
  const { replicas: count = 0, template } = deployment.spec ?? {};
  const names = Array.from({ length: count }, (_, index) => `berth-${index}`);
  await cluster.apply(
    ...names.map((name) => ({
      ...template,
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...template?.metadata, name, namespace: "berth" },
    })),
  );
  replicas = await Promise.all(
    names.map(async (name) => {
      const pod = await eventually(async () => {
        const seen = await cluster.pod(name, "berth");
        const ready = seen?.status?.conditions?.find(({ type }) => type === "Ready");
        return ready?.status === "True" && seen;
      }, `${name} is ready`);
      const client = await SshClient.to({
        host: pod.status?.podIP ?? "",
        port: 2222,
        username: "demo",
        identityFile: person.key.file,
        // No other key is accepted.
        hostKeys: [hostKey.publicKey],
      });
      return { name, pod, log: logOf(name), client: open(client) };
    }),
  );
});

afterAll(async () => {
  for (const namespace of ["berth", "berth-guests"])
    await cluster.kubectl("delete", "pods", "--all", "-n", namespace, "--grace-period=1", "--wait=false");
  for (const one of opened) await one[Symbol.asyncDispose]();
});

/** Step 1 of kustomization.yaml: who may log in, and an image that the test cluster has. */
const configuration = async (person: Person): Promise<object> => {
  const config = parse(await readFile(join(MANIFESTS, "berth.yaml"), "utf8"));
  const { pod } = config.kubernetes;
  const [container] = pod.spec.containers;
  Object.assign(container, { image: BUSYBOX, imagePullPolicy: "Never" });
  Object.assign(pod, { idleCommand: IDLE, shellCommand: ["/bin/sh"] });
  return { ...config, auth: await usersAuth({ name: "demo", keys: [person.key.publicKey] }) };
};

/** What the admission controller `ServiceAccount` gives a pod. */
const serviceAccountVolume = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "berth", namespace: "berth" },
  spec: {
    template: {
      spec: {
        containers: [
          {
            name: "berth",
            volumeMounts: [
              {
                name: SERVICE_ACCOUNT,
                mountPath: "/var/run/secrets/kubernetes.io/serviceaccount",
                readOnly: true,
              },
            ],
          },
        ],
        volumes: [
          {
            name: SERVICE_ACCOUNT,
            projected: {
              sources: [
                { serviceAccountToken: { path: "token", expirationSeconds: 3607 } },
                { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
              ],
            },
          },
        ],
      },
    },
  },
};

const logOf = (name: string): DaemonLog => {
  const following = open(
    start("kubectl", ["--kubeconfig", cluster.kubeconfig, "logs", "-f", name, "-n", "berth"]),
  );
  return new DaemonLog(following.stdout, following.stderr);
};

const [first, second] = [() => replicas[0] as Replica, () => replicas[1] as Replica];

describe("Berth in the cluster", () => {
  it("is ready by its probes, and has nothing to complain about", async () => {
    for (const { pod, log } of replicas) {
      expect(pod.status?.containerStatuses).toMatchObject([{ started: true, ready: true, restartCount: 0 }]);
      await log.any("SSH_AVAILABLE");
      expect(log.lines.filter(({ level }) => !["debug", "info", "notice"].includes(level))).toEqual([]);
    }
  });

  it("can write memory and nothing else: there Kerberos keeps what it has to", async () => {
    const inside = (script: string) =>
      cluster.kubectl("exec", first().name, "-n", "berth", "--", "/bin/sh", "-c", script);
    await expect(inside("touch /berth/file")).rejects.toThrow("Read-only file system");
    expect(await inside("touch /dev/shm/file && stat -c %u /dev/shm/file")).toBe("10001\n");
  });

  it("is one server: each replica has the host key, and leads to the same pod", async () => {
    expect(await first().client.run("echo kept > /tmp/file; hostname")).toMatchObject({
      code: 0,
      stdout: "demo\n",
    });
    expect(await second().client.run("cat /tmp/file; hostname")).toMatchObject({ stdout: "kept\ndemo\n" });
    const pods = await cluster.pods("berth-guests");
    expect(pods.map(({ metadata }) => metadata?.name)).toEqual(["demo"]);
  });

  it("goes on with the token that takes the place of one that is not valid any more", async () => {
    const account = ["serviceaccount", "berth", "-n", "berth"];
    const made = JSON.parse(await cluster.kubectl("get", ...account, "-o", "json"));
    await cluster.kubectl("delete", ...account);
    await cluster.apply({ ...made, metadata: { name: "berth", namespace: "berth" } });
    // The API server believes for 10 s what it has verified.
    await eventually(
      async () => (await first().client.run("true")).stderr.includes("could not identify itself"),
      "the old token is refused",
    );
    await first().log.next("KUBERNETES_CREDENTIALS_REFUSED");
    const volume = `volumes/kubernetes.io~projected/${SERVICE_ACCOUNT}/token`;
    await eventually(async () => {
      // The kubelet, which renews tokens by the clock, may put the old one there again.
      const token = await newToken();
      for (const { pod } of replicas)
        await writeFile(join(cluster.directory, "kubelet/pods", pod.metadata?.uid ?? "", volume), token);
      return (await first().client.run("cat /tmp/file")).stdout === "kept\n";
    }, "the new token is used");
  });

  it("drains when its pod is deleted; people's pods stay, and the other replica goes on", async () => {
    await using terminal = first().client.terminal();
    terminal.write("echo i''n\n");
    await terminal.waitFor("in\r\n");
    await cluster.kubectl("delete", "pod", first().name, "-n", "berth", "--wait=false");
    await terminal.waitFor("The server is shutting down.");
    expect((await first().client.run("true")).code).toBe(255);
    terminal.write("cat /tmp/file; exit 7\n");
    await terminal.waitFor("kept");
    expect(await terminal.ending).toEqual({ code: 7, signal: null });
    await eventually(
      async () => (await cluster.pod(first().name, "berth")) === undefined,
      "the replica is gone once nobody is in it",
    );
    expect(await second().client.run("cat /tmp/file")).toMatchObject({ code: 0, stdout: "kept\n" });
  });
});

const newToken = async (): Promise<string> => {
  const path = "/api/v1/namespaces/berth/serviceaccounts/berth/token";
  const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
  const { stdout, stderr } = await run(
    "kubectl",
    ["--kubeconfig", cluster.kubeconfig, "create", "--raw", path, "-f", "-"],
    { stdin: JSON.stringify(request) },
  );
  expect(stderr).toBe("");
  return JSON.parse(stdout).status.token;
};
