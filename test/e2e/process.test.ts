/** The conformance suite against Berth with its own backend: programs on this machine, with and without isolation. */
import { conformance, policyOfTheSuite, type Started } from "../support/conformance.ts";
import { startDaemon } from "../support/daemon.ts";
import { generateKey } from "../support/keys.ts";
import { directory } from "../support/resources.ts";
import { usersAuth } from "../support/users.ts";

const startWith =
  (isolation: string, security: object = {}) =>
  async (): Promise<Started> => {
    const keys = await directory();
    const key = await generateKey(keys.path, "user");
    const daemon = await startDaemon({
      config: {
        auth: await usersAuth({ name: "demo", keys: [key.publicKey] }),
        backend: "process",
        process: { isolation },
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

conformance("process, isolated by bubblewrap", startWith("bubblewrap"));
conformance("process, isolation none", startWith("none"));
conformance("process, with a policy in force", startWith("none", policyOfTheSuite), { largeMegabytes: 16 });
