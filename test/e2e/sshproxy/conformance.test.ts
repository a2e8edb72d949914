/** The conformance suite against Berth as a proxy, with Debian's sshd behind it. */
import { conformance } from "../../support/conformance.ts";
import { startProxiedSshd } from "../../support/sshproxy.ts";

conformance(
  "sshproxy, with Debian's sshd behind it",
  async () => {
    const servers = await startProxiedSshd();
    return { ssh: servers.proxy.target, cleanup: async () => servers[Symbol.asyncDispose]() };
  },
  // What sshd doesn't do for the tests' user (test/e2e/sshd.test.ts) it doesn't do for a proxy either.
  { hangsUpWithoutTerminal: false, acceptsSignals: false },
);
