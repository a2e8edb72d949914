/** The conformance suite against the backend `process`, isolated and not. */
import { conformance } from "../support/conformance.ts";
import { startDaemon } from "../support/daemon.ts";
import { generateKey } from "../support/keys.ts";
import { directory } from "../support/resources.ts";

for (const isolation of ["none", "bubblewrap"]) {
  conformance(`process, isolation ${isolation}`, async () => {
    const home = await directory();
    const key = await generateKey(home.path, "user");
    const daemon = await startDaemon({
      config: {
        auth: {
          publicKey: { method: "users" },
          users: [{ name: "demo", authorizedKeys: [key.publicKey] }],
        },
        backend: "process",
        process: { isolation },
      },
    });
    return {
      ssh: daemon.target({ identityFile: key.file }),
      cleanup: async () => {
        await daemon[Symbol.asyncDispose]();
        await home[Symbol.asyncDispose]();
      },
    };
  });
}
