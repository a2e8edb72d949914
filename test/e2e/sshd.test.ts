/** The conformance suite against Debian's sshd: it asks for nothing that the usual server doesn't do. */
import { conformance } from "../support/conformance.ts";
import { startSshd } from "../support/sshd.ts";

conformance(
  "Debian's sshd",
  async () => {
    const sshd = await startSshd();
    return { ssh: sshd.target, cleanup: () => sshd[Symbol.asyncDispose]() };
  },
  // OpenSSH leaves a program without terminal alone until it touches its streams, and signals programs only where
  // privileges are separated after login, which they are for nobody here: the tests' user logs in as itself.
  { hangsUpWithoutTerminal: false, acceptsSignals: false },
);
