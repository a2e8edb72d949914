/** Forwarded Kerberos credentials in a container of the Engine's. */
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Daemon, startDaemon } from "../support/daemon.ts";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { type Kdc, REALM, startKdc } from "../support/kdc.ts";
import { SshClient } from "../support/ssh.ts";

const OTHER_SERVICE = "HTTP/other.berth.test";

let kdc: Kdc;
let engine: TestEngine;
let daemon: Daemon;

beforeAll(async () => {
  kdc = await startKdc({ users: { user1: "secret" } });
  await kdc.admin(REALM, `addprinc -randkey ${OTHER_SERVICE}`);
  engine = await startEngine();
  await engine.image("kerberos:1", {
    programs: ["/usr/bin/klist", "/usr/bin/kvno"],
    files: { "/etc/krb5.conf": await readFile(kdc.configPath, "utf8") },
  });
  daemon = await startDaemon({
    config: {
      auth: {
        gssapi: { method: "kerberos", kerberos: { keytab: kdc.keytab, configPath: kdc.configPath } },
      },
      backend: "docker",
      docker: {
        connection: { host: engine.host },
        execution: {
          container: { image: "kerberos:1", user: "1000:1001" },
          // The KDC is on this machine's loopback.
          host: { networkmode: "host" },
          shellCommand: ["/bin/sh"],
        },
      },
    },
  });
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await engine?.[Symbol.asyncDispose]();
  await kdc?.[Symbol.asyncDispose]();
});

it("ssh -K brings a ticket that only the container's user can read, and that gets others", async () => {
  const tickets = await kdc.kinit("user1", "-f");
  await using client = await SshClient.to(daemon.target({ host: "localhost", username: "user1" }));
  const command = `stat -c "%a %u %g" /tmp/krb5cc; /usr/bin/klist && /usr/bin/kvno ${OTHER_SERVICE}`;
  const result = await client.run(command, {
    env: { ...tickets },
    options: {
      PreferredAuthentications: "gssapi-with-mic",
      GSSAPIAuthentication: "yes",
      GSSAPIDelegateCredentials: "yes",
    },
  });
  expect(result, result.stderr).toMatchObject({ code: 0 });
  expect(result.stdout).toMatch(/^600 1000 1001\n/);
  expect(result.stdout).toContain(`Default principal: user1@${REALM}`);
  expect(result.stdout).toContain(`${OTHER_SERVICE}@${REALM}: kvno = 1`);
});
