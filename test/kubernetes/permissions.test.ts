/** Permissions that are missing, one at a time: the log or the refusal names the one. */
import { Redacted } from "effect";
import { describe, expect, inject, it } from "vitest";
import { BUSYBOX, clusterIn, IDLE, specFor } from "../support/kubernetes.ts";
import { testDaemon } from "../support/kubernetes-backend.ts";
import { exec, type Session, startProgram } from "../support/programs.ts";
import { namespaceWith, type RoleName, type Rule, readmeRules } from "../support/readme-roles.ts";
import { eventually } from "../support/resources.ts";

const cluster = clusterIn(inject("cluster"));

const roles: Readonly<Record<RoleName, object>> = {
  persistent: { mode: "persistent" },
  "persistent with createMissingPods": { mode: "persistent", createMissingPods: true },
  connection: { mode: "connection" },
  session: { mode: "session" },
};

const without = (rules: readonly Rule[], resource: string, verb: string): readonly Rule[] =>
  rules.map((rule) =>
    rule.resources.includes(resource)
      ? { ...rule, verbs: rule.verbs.filter((other) => other !== verb) }
      : rule,
  );

const existingPod = async (namespace: string): Promise<void> => {
  const spec = specFor(BUSYBOX, { command: IDLE });
  await cluster.apply({ apiVersion: "v1", kind: "Pod", metadata: { name: "own", namespace }, spec });
  await eventually(
    async () => (await cluster.pod("own", namespace))?.status?.phase === "Running",
    "the pod runs",
  );
};

/** A login's own: they are wiped once they were written. */
const files = () => ({ "/tmp/ticket": { content: Redacted.make(Buffer.from("ticket")), sensitive: true } });

/** Somebody comes, runs a program and goes, and somebody else comes who wants the same name; until it was told. */
const untilTold = async (sentence: string, namespace: string, pod: object): Promise<void> => {
  const daemon = await testDaemon({ kubeconfig: cluster.berthKubeconfig });
  const settings = { ...pod, metadata: { namespace, name: "own" }, idleTimeout: "2s" };
  const said: string[] = [];
  const wasTold = async (): Promise<boolean> => [...said, daemon.log.text()].join("\n").includes(sentence);
  const programs: Session[] = [];
  for (const _ of ["first", "second"]) {
    const { outcome } = await daemon.connect({ pod: settings, identity: { files: files() } });
    if (outcome.kind === "refused") said.push(outcome.refusal.message);
    else {
      await startProgram(outcome.environment, exec("true")).then(
        (program) => programs.push(program),
        (error: Error) => said.push(error.message),
      );
    }
    if (await wasTold()) return;
  }
  await Promise.all(programs.map(({ close }) => close()));
  await daemon.leave();
  await eventually(wasTold, sentence);
};

describe.each(Object.entries(roles))("without one of the permissions for %s", (name, pod) => {
  it("is told which one", async () => {
    const rules = await readmeRules(name as RoleName);
    const permissions = rules.flatMap(({ resources: [resource = ""], verbs }) =>
      verbs.map((verb) => ({ resource, verb })),
    );
    await Promise.all(
      permissions.map(async ({ resource, verb }) => {
        // Before 1.35 Kubernetes asks for `get` alone to open a WebSocket.
        if (resource !== "pods" && verb === "create") return;
        const namespace = `without-${verb}-${resource}-${name}`
          .replace(/\W+/g, "-")
          .toLowerCase()
          .slice(0, 63);
        await cluster.apply(...namespaceWith(namespace, without(rules, resource, verb)));
        if (name === "persistent") await existingPod(namespace);
        await untilTold(
          `The API server does not permit us to ${verb} ${resource} in namespace ${namespace}`,
          namespace,
          pod,
        );
        await cluster.kubectl("delete", "pod", "-n", namespace, "--all", "--force", "--grace-period=0");
      }),
    );
  });
});

it("lets nobody who can't mark it into a pod that Berth made, and may delete when it is idle", async () => {
  const namespace = "without-a-mark";
  await cluster.apply(...namespaceWith(namespace, await readmeRules("persistent")));
  const pod = { mode: "persistent", metadata: { namespace, name: "own" } };
  const maker = await testDaemon({ kubeconfig: cluster.kubeconfig });
  await (await maker.connect({ pod: { ...pod, createMissingPods: true, idleTimeout: "1h" } })).close();
  const { refusal } = await (await testDaemon({ kubeconfig: cluster.berthKubeconfig })).connect({ pod });
  expect(refusal).toMatchObject({
    code: "KUBERNETES_PERMISSION_DENIED",
    details: { verb: "patch", resource: "pods", namespace, name: "own" },
  });
  await cluster.kubectl("delete", "pod", "-n", namespace, "--all", "--force", "--grace-period=0");
});
