/**
 * The environment variables of a program. Nothing of the daemon's own is inherited: a clean base, then the
 * configuration's, then what the client asked for, then the login's own, which win.
 */
import { Record, Redacted } from "effect";
import type { Identity } from "../../../machines/facts.ts";

/** The usual places, as in Debian's login.defs. */
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface VariableSources {
  readonly identity: Identity;
  readonly userName: string;
  readonly home: string;
  readonly shell: string;
  /** `address:port` of the server's end. */
  readonly localAddress: string;
  readonly terminal: { readonly term: string; readonly path: string } | undefined;
  readonly configured: Readonly<Record<string, Redacted.Redacted<string>>>;
  readonly requested: Readonly<Record<string, string>>;
  readonly isolated: boolean;
}

export interface Variables {
  readonly variables: Readonly<Record<string, string>>;
  /** Names that the client asked for and doesn't get. */
  readonly refused: readonly string[];
}

export const variablesOf = (sources: VariableSources): Variables => {
  const { identity, userName, home, shell, localAddress, terminal, configured, requested, isolated } =
    sources;
  const entries = Object.entries(requested);
  const granted = entries.filter(([name, value]) => mayRequest(name, isolated) && isPossible(name, value));
  const own = Object.entries(identity.environment).map(([name, { value }]) => [name, Redacted.value(value)]);
  const client = addressFields(identity.remoteAddress);
  const server = addressFields(localAddress);
  return {
    variables: {
      HOME: home,
      USER: userName,
      LOGNAME: userName,
      SHELL: shell,
      PATH,
      SSH_CLIENT: [...client, server[1]].join(" "),
      SSH_CONNECTION: [...client, ...server].join(" "),
      ...Record.map(configured, Redacted.value),
      ...Object.fromEntries(granted),
      ...(terminal === undefined ? {} : { SSH_TTY: terminal.path, TERM: terminal.term || "dumb" }),
      ...Object.fromEntries(own),
    },
    refused: entries.filter((entry) => !granted.includes(entry)).map(([name]) => name),
  };
};

/** `1.2.3.4:22` or `[::1]:22` as address and port. */
const addressFields = (endpoint: string): readonly [string, string] => {
  const colon = endpoint.lastIndexOf(":");
  return [endpoint.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), endpoint.slice(colon + 1)];
};

/** Who somebody is and how they came in is not theirs to say; what they had asked for is the policy's (src/policy.ts). */
const reserved = /^(HOME|USER|LOGNAME|SHELL|SSH_(?!ORIGINAL_COMMAND$).*|BERTH_.*)$/;

/**
 * What makes a loader, a shell or an interpreter run something else than it was told to. In a sandbox that is the
 * user's own business.
 */
const steering = new RegExp(
  "^(LD_.*|DYLD_.*|GLIBC_TUNABLES|GCONV_PATH|LOCPATH|NLSPATH|HOSTALIASES|PATH|IFS|ENV|BASH_ENV|BASH_FUNC_.*|" +
    "BASHOPTS|SHELLOPTS|CDPATH|GLOBIGNORE|PS4|PROMPT_COMMAND|ZDOTDIR|FPATH|PYTHON.*|PERL5?(LIB|OPT|DB)|" +
    "RUBY(LIB|OPT)|NODE_.*|JAVA_TOOL_OPTIONS|GIT_.*|TERMINFO.*|TERMCAP)$",
);

const mayRequest = (name: string, isolated: boolean): boolean =>
  !reserved.test(name) && (isolated || !steering.test(name));

const isPossible = (name: string, value: string): boolean =>
  name !== "" && !/[=\0]/.test(name) && !value.includes("\0");
