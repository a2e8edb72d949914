/** The conformance suite against Berth as a proxy, with Debian's sshd behind it, without and with a policy in force. */
import { conformance, policyOfTheSuite, type Started } from "../../support/conformance.ts";
import { startProxiedSshd } from "../../support/sshproxy.ts";

const startWith = (security: object) => async (): Promise<Started> => {
  const servers = await startProxiedSshd({}, { security });
  return { ssh: servers.proxy.target, cleanup: async () => servers[Symbol.asyncDispose]() };
};

// What sshd doesn't do for the tests' user (test/e2e/sshd.test.ts) it doesn't do for a proxy either.
const lacks = { hangsUpWithoutTerminal: false, acceptsSignals: false };

conformance("sshproxy, with Debian's sshd behind it", startWith({}), lacks);
conformance("sshproxy, with a policy in force", startWith(policyOfTheSuite), {
  ...lacks,
  largeMegabytes: 16,
});
