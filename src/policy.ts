/**
 * The security section as pure decisions: what a client asks for is allowed, changed or refused, and a refusal names
 * the option that said so (documentation of the reference: Security).
 */
import type { Forwarding, Level, Program } from "../machines/facts.ts";
import type { Security } from "./config/sections/security.ts";

type Mode = Security["defaultMode"];

/** Where a forced command finds what the client had asked for. */
export const ORIGINAL_COMMAND = "SSH_ORIGINAL_COMMAND";

/** Why a request is refused; the client gets the RFC's failure answer. */
export interface PolicyRefusal {
  readonly code: string;
  readonly message: string;
  readonly level: Level;
  readonly details: Readonly<Record<string, string | number>>;
}

/** `undefined`: nothing speaks against it. */
export type Verdict = PolicyRefusal | undefined;

/** An environment variable (RFC 4254 section 6.4). What forced commands read is never the client's to write. */
export const envVerdict = (security: Security, name: string): Verdict =>
  name === ORIGINAL_COMMAND
    ? refuse("SECURITY_ENV_REJECTED", "security.forceCommand", "only it sets this variable", { name })
    : listed(security, "security.env", security.env, name, "SECURITY_ENV_REJECTED", { name });

/** A pseudo-terminal (RFC 4254 section 6.2). */
export const ptyVerdict = (security: Security): Verdict =>
  switched(security, "security.tty", security.tty.mode, "SECURITY_TTY_REJECTED");

/** A signal by its name without `SIG` (RFC 4254 section 6.9). The reference looks at the shell's mode here, by mistake. */
export const signalVerdict = (security: Security, signal: string): Verdict =>
  listed(security, "security.signal", security.signal, signal, "SECURITY_SIGNAL_REJECTED", { signal });

/** One more session channel next to those that are open. */
export const sessionVerdict = ({ maxSessions }: Security, open: number): Verdict =>
  maxSessions === -1 || open < maxSessions
    ? undefined
    : refuse("SECURITY_MAX_SESSIONS", "security.maxSessions", "as many sessions are open as are allowed", {
        maxSessions,
      });

/** Port, socket and X11 forwarding: `filter` has no list, so it refuses. */
export const forwardingVerdict = (security: Security, forwarding: Forwarding): Verdict => {
  const { option, code } = forwardingOptions[forwarding];
  return switched(security, `security.forwarding.${option}`, security.forwarding[option], code);
};

interface ForwardingOption {
  readonly option: keyof Security["forwarding"];
  readonly code: string;
}

const forwardingOptions: Readonly<Record<Forwarding, ForwardingOption>> = {
  "direct-tcpip": { option: "forwardingMode", code: "SECURITY_FORWARDING_REJECTED" },
  "direct-streamlocal@openssh.com": { option: "socketForwardingMode", code: "SECURITY_FORWARDING_REJECTED" },
  "tcpip-forward": { option: "reverseForwardingMode", code: "SECURITY_REVERSE_FORWARDING_REJECTED" },
  "streamlocal-forward@openssh.com": {
    option: "socketListenMode",
    code: "SECURITY_REVERSE_FORWARDING_REJECTED",
  },
  "x11-req": { option: "x11ForwardingMode", code: "SECURITY_X11_FORWARDING_REJECTED" },
};

/** Shell, exec and subsystem requests (RFC 4254 section 6.5). */
export const programVerdict = (security: Security, program: Program): Verdict => {
  switch (program.kind) {
    case "shell":
      return switched(security, "security.shell", security.shell.mode, "SECURITY_SHELL_REJECTED");
    case "exec":
      // A list of forbidden commands would be walked around by a space: there is none.
      return listed(
        security,
        "security.command",
        { ...security.command, deny: [] },
        program.command,
        "SECURITY_EXEC_REJECTED",
      );
    case "subsystem":
      return listed(
        security,
        "security.subsystem",
        security.subsystem,
        program.name,
        "SECURITY_SUBSYSTEM_REJECTED",
        {
          subsystem: program.name,
        },
      );
  }
};

/** What runs instead of an allowed program when `forceCommand` is set, and what the client had asked for. */
export interface ForcedProgram {
  readonly program: Program;
  /** The value of `ORIGINAL_COMMAND`; a shell has none. */
  readonly originalCommand: string | undefined;
}

export const forcedProgram = ({ forceCommand }: Security, program: Program): ForcedProgram | undefined =>
  forceCommand === ""
    ? undefined
    : { program: { kind: "exec", command: forceCommand }, originalCommand: originalCommandOf(program) };

const originalCommandOf = (program: Program): string | undefined => {
  switch (program.kind) {
    case "shell":
      return undefined;
    case "exec":
      return program.command;
    case "subsystem":
      return program.name;
  }
};

interface Lists {
  readonly mode: Mode;
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

const effective = ({ defaultMode }: Security, mode: Mode): Exclude<Mode, ""> =>
  mode || defaultMode || "enable";

const listed = (
  security: Security,
  option: string,
  { mode, allow, deny }: Lists,
  asked: string,
  code: string,
  details: PolicyRefusal["details"] = {},
): Verdict => {
  // What is on both lists is refused.
  switch (effective(security, mode)) {
    case "disable":
      return refuse(code, option, "it is disabled", details);
    case "filter":
      if (!allow.includes(asked)) return refuse(code, option, "it is not on the allow list", details);
      break;
    case "enable":
      break;
  }
  return deny.includes(asked) ? refuse(code, option, "it is on the deny list", details) : undefined;
};

const switched = (security: Security, option: string, mode: Mode, code: string): Verdict =>
  effective(security, mode) === "enable" ? undefined : refuse(code, option, "it is disabled", {});

const refuse = (
  code: string,
  option: string,
  because: string,
  details: PolicyRefusal["details"],
): PolicyRefusal => ({
  code,
  level: "notice",
  message: `Refused by ${option}: ${because}`,
  details: { ...details, option },
});

/** Combinations that look safe and are not, or say nothing; for `--check-config`. */
export const policyRisks = (security: Security): readonly string[] => [
  ...unsetRisks(security),
  ...listRisks(security),
  ...forceCommandRisks(security),
  ...(security.maxSessions === -1
    ? ["security.maxSessions is not set: one connection may open any number of sessions"]
    : []),
];

const unsetRisks = (security: Security): readonly string[] => {
  const modes = ["env", "command", "shell", "subsystem", "tty", "signal"] as const;
  const unset = modes.filter((name) => security[name].mode === "");
  const allowed = unset.length > 0 ? `${unset.join(", ")} are allowed, and so is ` : "so allowed is ";
  return security.defaultMode === ""
    ? [`security.defaultMode is not set: ${allowed}what later versions add`]
    : [];
};

const listRisks = (security: Security): readonly string[] => {
  const lists = {
    env: security.env,
    command: { ...security.command, deny: [] },
    subsystem: security.subsystem,
    signal: security.signal,
  };
  return Object.entries<Lists>(lists).flatMap(([name, { mode, allow, deny }]) => {
    const inForce = effective(security, mode);
    const risks: string[] = [];
    if (inForce === "filter" && allow.length === 0) {
      risks.push(`security.${name} is in filter mode with an empty allow list: it refuses everything`);
    }
    if (inForce !== "filter" && allow.length > 0) {
      risks.push(`security.${name}.allow has no effect: the mode is ${inForce}, and only filter looks at it`);
    }
    if (inForce === "disable" && deny.length > 0) {
      risks.push(`security.${name}.deny has no effect: the mode is disable, which refuses everything`);
    }
    const both = allow.filter((each) => deny.includes(each));
    if (inForce === "filter" && both.length > 0) {
      risks.push(`security.${name} both allows and denies ${both.join(", ")}: it is refused`);
    }
    return risks;
  });
};

const forceCommandRisks = (security: Security): readonly string[] => {
  if (security.forceCommand === "") return [];
  const risks: string[] = [];
  if (effective(security, security.subsystem.mode) === "enable") {
    risks.push(
      "security.forceCommand is set and subsystems are open: sftp clients reach the forced command, which must not trust SSH_ORIGINAL_COMMAND",
    );
  }
  if (effective(security, security.env.mode) === "enable") {
    risks.push(
      "security.forceCommand is set and clients may set any environment variable: one such as LD_PRELOAD or BASH_ENV changes what the command does",
    );
  }
  return risks;
};
