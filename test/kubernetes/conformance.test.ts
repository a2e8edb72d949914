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
import { clusterIn, specFor } from "../support/kubernetes.ts";
import { kubernetesConfig, newPerson, serve } from "../support/kubernetes-daemon.ts";
import { namespaceWith, type RoleName, readmeRules } from "../support/readme-roles.ts";
import { eventually } from "../support/resources.ts";

const cluster = clusterIn(inject("cluster"));

const PROGRAMS = ["/bin/bash", "/usr/lib/openssh/sftp-server", "/usr/bin/scp", "/usr/bin/rsync"];

beforeAll(async () => {
  await cluster.image("test.local/guest:1", { programs: PROGRAMS });
  await cluster.image("test.local/guest-agent:1", { programs: PROGRAMS, agent: true });
});

const namespaceFor = (role: RoleName): string => `conformance-${role.split(" ")[0]}`;

const suite = (
  role: RoleName,
  image: string,
  pod: object,
  options: ConformanceOptions = {},
  security: object = {},
): void => {
  const namespace = namespaceFor(role);
  const start = async (): Promise<Started> => {
    await cluster.apply(...namespaceWith(namespace, await readmeRules(role)));
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
        expect(serving.daemon.log.all("KUBERNETES_PERMISSION_DENIED")).toEqual([]);
      },
    };
  };
  conformance(`kubernetes, ${role}`, start, { concurrent: true, ...options });
};

suite("persistent with createMissingPods", "test.local/guest:1", {
  mode: "persistent",
  createMissingPods: true,
  metadata: { namespace: namespaceFor("persistent"), name: "lab-{authenticatedUsername}" },
});
suite("connection", "test.local/guest-agent:1", { mode: "connection" }, {}, policyOfTheSuite);
suite("session", "test.local/guest:1", { mode: "session" }, { sharesFiles: false });

afterAll(() =>
  eventually(
    async () =>
      (await cluster.pods(namespaceFor("connection"))).length === 0 &&
      (await cluster.pods(namespaceFor("session"))).length === 0,
    "no pod of a connection or a session is left",
    120,
  ),
);
