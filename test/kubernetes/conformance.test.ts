/**
 * The conformance suite against Berth on a real cluster, in each mode with exactly the permissions that README lists; in
 * mode connection with a policy in force.
 */
import { afterAll, beforeAll, expect, inject } from "vitest";
import {
  type ConformanceOptions,
  conformance,
  policyOfTheSuite,
  type Started,
} from "../support/conformance.ts";
import { clusterIn, IDLE, specFor } from "../support/kubernetes.ts";
import { kubernetesConfig, newPerson, serve } from "../support/kubernetes-daemon.ts";
import { namespaceWith, type RoleName, readmeRules } from "../support/readme-roles.ts";
import { eventually } from "../support/resources.ts";

const cluster = clusterIn(inject("cluster"));

const PROGRAMS = ["/bin/bash", "/usr/lib/openssh/sftp-server", "/usr/bin/scp", "/usr/bin/rsync"];

beforeAll(async () => {
  await cluster.image("test.local/guest:1", { programs: PROGRAMS });
  await cluster.image("test.local/guest-agent:1", { programs: PROGRAMS, agent: true });
});

const namespaceFor = (role: RoleName): string => `conformance-${role.replaceAll(" ", "-").toLowerCase()}`;

const suite = (
  role: RoleName,
  image: string,
  pod: object,
  options: ConformanceOptions = {},
  security: object = {},
  existing: readonly object[] = [],
): void => {
  const namespace = namespaceFor(role);
  const start = async (): Promise<Started> => {
    await cluster.apply(...namespaceWith(namespace, await readmeRules(role)), ...existing);
    const person = await newPerson();
    const config = await kubernetesConfig(
      person,
      { kubeconfig: cluster.berthKubeconfig },
      { metadata: { namespace }, spec: specFor(image), shellCommand: ["/bin/bash"], ...pod },
    );
    const serving = await serve(person, { config: { ...config, security } });
    return {
      ssh: serving.target,
      cleanup: async () => {
        await serving[Symbol.asyncDispose]();
        await person[Symbol.asyncDispose]();
        const denied = serving.daemon.log.all("KUBERNETES_PERMISSION_DENIED");
        // What a mode does not need is asked for all the same, in case that there is something to tidy up.
        expect(denied.filter(({ level }) => level !== "info")).toEqual([]);
      },
    };
  };
  conformance(`kubernetes, ${role}`, start, { concurrent: true, ...options });
};

suite(
  "persistent",
  "test.local/guest:1",
  { mode: "persistent", metadata: { namespace: namespaceFor("persistent"), name: "lab" } },
  {},
  {},
  [
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace: namespaceFor("persistent"), name: "lab" },
      spec: specFor("test.local/guest:1", { command: IDLE }),
    },
  ],
);
suite("persistent with createMissingPods", "test.local/guest:1", {
  mode: "persistent",
  createMissingPods: true,
  metadata: {
    namespace: namespaceFor("persistent with createMissingPods"),
    name: "lab-{authenticatedUsername}",
  },
});
suite("connection", "test.local/guest-agent:1", { mode: "connection" }, {}, policyOfTheSuite);
suite("session", "test.local/guest:1", { mode: "session" }, { sharesFiles: false });

afterAll(() =>
  eventually(
    async () =>
      (await cluster.pods(namespaceFor("connection"))).length === 0 &&
      (await cluster.pods(namespaceFor("session"))).length === 0,
    "no pod of a connection or a session is left",
  ),
);
