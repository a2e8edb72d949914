/** What `--check-config` says about policies that look safe and are not. The rest is in test/e2e/security.test.ts. */
import { describe, expect, it } from "vitest";
import { defaults } from "../../src/config/schema.ts";
import type { Security } from "../../src/config/sections/security.ts";
import { policyRisks } from "../../src/policy.ts";
import { errorsOf, load, someAuth } from "./config/support.ts";

/** The risks of a section, as a file has it, without those that every section without these options has. */
const risksOf = async (yaml: string): Promise<readonly string[]> => {
  const { config } = await load(`${someAuth}security: {${yaml}}\n`);
  return policyRisks(config.security);
};
const calm = "defaultMode: disable, maxSessions: 10";

describe("the risks of a policy", () => {
  it("are none where everything is said", async () => {
    expect(await risksOf(calm)).toEqual([]);
    expect(
      await risksOf(`${calm}, command: {mode: filter, allow: [ls]}, env: {mode: enable, deny: [LANG]}`),
    ).toEqual([]);
  });

  it("of an empty section are what it allows", () => {
    expect(policyRisks(defaults.security)).toEqual([
      "security.defaultMode is not set: env, command, shell, subsystem, tty, signal are allowed, and so is what later versions add",
      "security.maxSessions is not set: one connection may open any number of sessions",
    ]);
  });

  it.each([
    ["maxSessions: 1, env: {mode: disable}", "command, shell, subsystem, tty, signal are allowed"],
    [
      "maxSessions: 1, env: {mode: disable}, command: {mode: disable}, shell: {mode: disable}, subsystem: {mode: disable}, tty: {mode: disable}, signal: {mode: disable}",
      "security.defaultMode is not set: so allowed is what later versions add",
    ],
    [`${calm}, forceCommand: /bin/menu, subsystem: {mode: enable}`, "subsystems are open"],
    [`${calm}, forceCommand: /bin/menu, env: {mode: enable}`, "any environment variable"],
    [`${calm}, env: {mode: filter}`, "security.env is in filter mode with an empty allow list"],
    [
      "defaultMode: filter, maxSessions: 1, env: {allow: [A]}, command: {allow: [a]}, signal: {allow: [TERM]}",
      "security.subsystem is in filter mode with an empty allow list",
    ],
    [
      `${calm}, command: {mode: enable, allow: [ls]}`,
      "security.command.allow has no effect: the mode is enable",
    ],
    [`${calm}, signal: {deny: [KILL]}`, "security.signal.deny has no effect: the mode is disable"],
    [
      `${calm}, subsystem: {mode: filter, allow: [sftp, x], deny: [sftp]}`,
      "security.subsystem both allows and denies sftp: it is refused",
    ],
  ])("of {%s}", async (yaml, risk) => {
    expect(await risksOf(yaml)).toEqual([expect.stringContaining(risk)]);
  });
});

describe("a policy that is none", () => {
  it.each([
    ["defaultMode: deny", "security.defaultMode: "],
    ["env: {mode: allow}", "security.env.mode: "],
    ["shell: {mode: Enable}", "security.shell.mode: "],
    ["signal: {mode: filter, allow: [SIGTERM]}", "security.signal.allow[0]: "],
    ["signal: {mode: enable, deny: [WINCH]}", "security.signal.deny[0]: "],
    ["command: {deny: [rm]}", "security.command.deny: unknown key"],
    ["tty: {mode: enable, allow: [xterm]}", "security.tty.allow: unknown key"],
    ["maxSessions: -2", "security.maxSessions: "],
    ["forwarding: {mode: enable}", "security.forwarding.mode: unknown key"],
  ])("{%s} is refused with its path", async (yaml, path) => {
    expect((await errorsOf(`${someAuth}security: {${yaml}}\n`)).join("\n")).toContain(path);
  });

  it("forwards nothing that was not asked for", () => {
    const off: Security["forwarding"] = {
      forwardingMode: "disable",
      reverseForwardingMode: "disable",
      socketForwardingMode: "disable",
      socketListenMode: "disable",
      x11ForwardingMode: "disable",
    };
    expect(defaults.security.forwarding).toEqual(off);
  });
});
