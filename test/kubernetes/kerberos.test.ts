/** Forwarded Kerberos credentials in a persistent pod: each login brings its own. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import type { Result } from "../support/command.ts";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { type Kdc, REALM, startKdc } from "../support/kdc.ts";
import { clusterIn, IDLE, specFor } from "../support/kubernetes.ts";
import { SshClient } from "../support/ssh.ts";

const IMAGE = "test.local/kerberos:1";
const namespace = "kerberos";

const cluster = clusterIn(inject("cluster"));
let kdc: Kdc;
let daemon: Daemon;

beforeAll(async () => {
  kdc = await startKdc({ users: { user1: "secret" } });
  await cluster.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  await cluster.image(IMAGE, {
    programs: ["/usr/bin/klist"],
    files: { "/etc/krb5.conf": await readFile(kdc.configPath, "utf8") },
  });
  daemon = await startDaemon({
    config: {
      auth: {
        gssapi: { method: "kerberos", kerberos: { keytab: kdc.keytab, configPath: kdc.configPath } },
      },
      backend: "kubernetes",
      kubernetes: {
        connection: { kubeconfig: cluster.kubeconfig },
        pod: {
          mode: "persistent",
          createMissingPods: true,
          metadata: { namespace, name: "{authenticatedUsername}" },
          spec: specFor(IMAGE, {}, { securityContext: { runAsUser: 1000, runAsGroup: 1001 } }),
          idleCommand: IDLE,
          shellCommand: ["/bin/sh"],
        },
        timeouts: { podStart: "120s" },
      },
    },
  });
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await cluster.kubectl("delete", "namespace", namespace, "--wait=false");
  await cluster.kubectl("delete", "pods", "--all", "-n", namespace, "--force", "--grace-period=0");
  await kdc?.[Symbol.asyncDispose]();
});

/** With a ticket of their own, which is forwarded. */
const logIn = async (command: string): Promise<Result> => {
  const tickets = await kdc.kinit("user1", "-f");
  await using client = await SshClient.to(daemon.target({ host: "localhost", username: "user1" }));
  const result = await client.run(command, {
    env: { ...tickets },
    options: {
      PreferredAuthentications: "gssapi-with-mic",
      GSSAPIAuthentication: "yes",
      GSSAPIDelegateCredentials: "yes",
    },
  });
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return result;
};

it("ssh -K brings a ticket that only the pod's user can read, and the next login a new one", async () => {
  const stamp = "hostname; stat -c '%a %u %g' /tmp/krb5cc; sha256sum /tmp/krb5cc";
  const first = await logIn(`${stamp}; echo mine >/tmp/own; /usr/bin/klist`);
  expect(first.stdout).toMatch(/^user1\n600 1000 1001\n/);
  expect(first.stdout).toContain(`Default principal: user1@${REALM}`);
  expect(first.stdout).toContain(`krbtgt/${REALM}@${REALM}`);
  const second = await logIn(`${stamp}; cat /tmp/own; ls /tmp; /usr/bin/klist`);
  // The same pod, in which nothing of the ticket before is left.
  expect(second.stdout).toMatch(/^user1\n600 1000 1001\n.*\nmine\nkrb5cc\nown\n/);
  expect(second.stdout).toContain(`Default principal: user1@${REALM}`);
  expect(digestIn(second)).not.toBe(digestIn(first));
});

const digestIn = ({ stdout }: Result): string | undefined => /^([0-9a-f]{64}) /m.exec(stdout)?.[1];
