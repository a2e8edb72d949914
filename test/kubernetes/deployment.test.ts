/** The manifests by which Berth itself runs in a cluster: the API server takes them, and they ask for what README says. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, inject, it, onTestFinished } from "vitest";
import { parse } from "yaml";
import { must } from "../support/command.ts";
import { ENTRY } from "../support/daemon.ts";
import { builtManifests, MANIFESTS } from "../support/deployment.ts";
import { generateKey } from "../support/keys.ts";
import { clusterIn } from "../support/kubernetes.ts";
import { readmeRules } from "../support/readme-roles.ts";
import { directory } from "../support/resources.ts";

const cluster = clusterIn(inject("cluster"));
beforeAll(() =>
  cluster.apply(
    ...["berth", "berth-guests"].map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } })),
  ),
);

describe("the manifests of deploy/kubernetes", () => {
  it("are accepted by the API server, every one", async () => {
    const { objects } = await builtManifests();
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
    const { objects } = await builtManifests();
    const roles = objects.filter(({ kind }) => kind.endsWith("Role"));
    expect(roles).toMatchObject([{ metadata: { namespace: "berth-guests" } }]);
    const rules = await readmeRules("persistent with createMissingPods");
    expect(rules).toEqual(await readmeRules("connection"));
    expect(roles[0]).toMatchObject({ rules });
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
    const text = await readFile(join(MANIFESTS, "berth.yaml"), "utf8");
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
