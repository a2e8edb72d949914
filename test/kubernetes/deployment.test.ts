/** The manifests by which Berth itself runs in a cluster: the API server takes them, and they ask for what README says. */
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { must } from "../support/command.ts";
import { ENTRY } from "../support/daemon.ts";
import { generateKey } from "../support/keys.ts";
import { clusterIn } from "../support/kubernetes.ts";
import { readmeRules } from "../support/readme-roles.ts";
import { directory } from "../support/resources.ts";
import { projectRoot } from "../support/root.ts";

const cluster = clusterIn(inject("cluster"));
const manifests = join(projectRoot, "deploy/kubernetes");

interface Manifest {
  readonly kind: string;
  /** Of a Role. */
  readonly rules?: unknown;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** What `kubectl apply -k` sends, with a host key as its first lines say. */
const built = async (): Promise<{ readonly text: string; readonly objects: readonly Manifest[] }> => {
  const home = await directory();
  onTestFinished(home[Symbol.asyncDispose]);
  for (const file of await readdir(manifests)) await cp(join(manifests, file), join(home.path, file));
  const { privateKey } = await generateKey(home.path, "ssh_host_ed25519_key");
  await writeFile(join(home.path, "ssh_host_ed25519_key"), privateKey);
  const { stdout } = await must("kubectl", ["kustomize", home.path]);
  return {
    text: stdout,
    objects: parseAllDocuments(stdout).map((document) => document.toJS() as Manifest),
  };
};

beforeAll(() =>
  cluster.apply(
    ...["berth", "berth-guests"].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } })),
  ),
);

describe("the manifests of deploy/kubernetes", () => {
  it("are accepted by the API server, every one", async () => {
    const { objects } = await built();
    expect(
      objects.map(({ kind, metadata: { name } }) => `${kind} ${name.replace(/-[a-z0-9]{10}$/, "")}`).sort(),
    ).toEqual([
      "ConfigMap berth-config",
      "Deployment berth",
      "Namespace berth",
      "Namespace berth-guests",
      "NetworkPolicy berth",
      "NetworkPolicy no-way-in",
      "Role berth",
      "RoleBinding berth",
      "Secret berth-host-key",
      "Service berth",
      "ServiceAccount berth",
    ]);
    await cluster.apply(...objects);
    const live = JSON.parse(
      await cluster.kubectl("get", "deployment", "berth", "-n", "berth", "-o", "json"),
    ) as { spec: { replicas: number } };
    expect(live.spec.replicas).toBe(2);
  });

  it("give Berth README's permissions and no others", async () => {
    const { objects } = await built();
    const roles = objects.filter(({ kind }) => kind.endsWith("Role"));
    expect(roles).toMatchObject([{ metadata: { namespace: "berth-guests" } }]);
    const rules = await readmeRules("persistent with createMissingPods");
    expect(rules).toEqual(await readmeRules("connection"));
    expect(roles[0]?.rules).toEqual(rules);
    await cluster.apply(...objects);
    const account = "system:serviceaccount:berth:berth";
    for (const [verb, resource, namespace, answer] of [
      ["create", "pods/exec", "berth-guests", "yes"],
      ["delete", "pods", "berth-guests", "yes"],
      ["get", "pods", "berth", "no"],
      ["get", "secrets", "berth-guests", "no"],
    ] as const) {
      const said = cluster.kubectl("auth", "can-i", verb, resource, "-n", namespace, "--as", account);
      expect((await said.catch((error: Error) => error.message)).trim()).toMatch(
        answer === "yes" ? /^yes/ : /no\n?$/,
      );
    }
  });

  it("have a configuration that Berth finds valid and without a warning", async () => {
    const home = await directory();
    onTestFinished(home[Symbol.asyncDispose]);
    const { file } = await generateKey(home.path, "ssh_host_ed25519_key");
    const text = await readFile(join(manifests, "berth.yaml"), "utf8");
    const { ssh } = parse(text) as { ssh: { hostkeys: readonly string[] } };
    await writeFile(join(home.path, "berth.yaml"), text.replace(ssh.hostkeys[0] ?? "", file));
    const { stdout } = await must(process.execPath, [
      ENTRY,
      "--check-config",
      "--config",
      join(home.path, "berth.yaml"),
    ]);
    expect(stdout).toBe("The configuration is valid.\n");
  });
});
