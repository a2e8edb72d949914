/** The conformance suite against Berth with the Docker backend, in each of its modes, with and without the agent. */
import { afterAll, beforeAll } from "vitest";
import {
  type ConformanceOptions,
  conformance,
  policyOfTheSuite,
  type Started,
} from "../support/conformance.ts";
import { startDaemon } from "../support/daemon.ts";
import { startEngine, type TestEngine } from "../support/docker.ts";
import { generateKey } from "../support/keys.ts";
import { directory } from "../support/resources.ts";
import { usersAuth } from "../support/users.ts";

const PROGRAMS = ["/bin/bash", "/usr/lib/openssh/sftp-server", "/usr/bin/scp", "/usr/bin/rsync"];

let engine: TestEngine;
beforeAll(async () => {
  engine = await startEngine();
  await engine.image("guest:1", { programs: PROGRAMS });
  await engine.image("agent:1", { programs: PROGRAMS, agent: true });
});
afterAll(() => engine?.[Symbol.asyncDispose]());

const startWith =
  (execution: object, security: object = {}) =>
  async (): Promise<Started> => {
    const keys = await directory();
    const key = await generateKey(keys.path, "user");
    const daemon = await startDaemon({
      config: {
        auth: await usersAuth({ name: "demo", keys: [key.publicKey] }),
        backend: "docker",
        docker: {
          connection: { host: engine.host },
          execution: { container: { image: "guest:1" }, ...execution },
        },
        security,
      },
    });
    return {
      ssh: daemon.target({ identityFile: key.file }),
      cleanup: async () => {
        await daemon[Symbol.asyncDispose]();
        await keys[Symbol.asyncDispose]();
      },
    };
  };

const suite = (
  name: string,
  execution: object,
  options: ConformanceOptions = {},
  security: object = {},
): void => conformance(`docker, ${name}`, startWith(execution, security), options);

suite("mode connection, by the image's shell", {});
suite(
  "mode connection, by the guest agent, with a policy in force",
  { container: { image: "agent:1" } },
  {},
  policyOfTheSuite,
);
suite("mode persistent", {
  mode: "persistent",
  containername: "lab-{authenticatedUsername}",
  createMissingContainers: true,
});
suite("mode session", { mode: "session" }, { sharesFiles: false });
