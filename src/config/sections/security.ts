/** The `security` section (documentation of the reference: Security, Connection forwarding): what a user may do. */
import { Schema } from "effect";
import { defaulted, section } from "../codecs.ts";

/**
 * - `enable`: allowed, unless the `deny` list names it.
 * - `filter`: refused, unless the `allow` list names it; where there is no such list it is `disable`.
 * - `disable`: refused.
 * - empty: as `defaultMode` says, and `enable` when that is empty too.
 */
export const modes = ["", "enable", "filter", "disable"] as const;

const Mode = Schema.Literals(modes);

const names = defaulted(Schema.Array(Schema.String), []);

/** RFC 4254 section 6.10 without the `SIG`; the signals the reference delivers. */
export const signalNames = [
  "ABRT",
  "ALRM",
  "FPE",
  "HUP",
  "ILL",
  "INT",
  "KILL",
  "PIPE",
  "QUIT",
  "SEGV",
  "TERM",
  "USR1",
  "USR2",
] as const;

const signals = defaulted(Schema.Array(Schema.Literals(signalNames)), []);

/** Off by default, and not subject to `defaultMode` unless they are emptied on purpose. */
const forwardingMode = defaulted(Mode, "disable");

/**
 * - `forceCommand`: runs instead of whatever the client asked for, which it finds in `SSH_ORIGINAL_COMMAND`.
 * - `maxSessions`: session channels that may be open at once on a connection; -1 is any number.
 * - `command.allow`: commands by their exact text.
 */
export const Security = Schema.Struct({
  defaultMode: defaulted(Mode, ""),
  forceCommand: defaulted(Schema.String, ""),
  env: section(Schema.Struct({ mode: defaulted(Mode, ""), allow: names, deny: names })),
  command: section(Schema.Struct({ mode: defaulted(Mode, ""), allow: names })),
  shell: section(Schema.Struct({ mode: defaulted(Mode, "") })),
  subsystem: section(Schema.Struct({ mode: defaulted(Mode, ""), allow: names, deny: names })),
  forwarding: section(
    Schema.Struct({
      reverseForwardingMode: forwardingMode,
      forwardingMode,
      socketForwardingMode: forwardingMode,
      socketListenMode: forwardingMode,
      x11ForwardingMode: forwardingMode,
    }),
  ),
  tty: section(Schema.Struct({ mode: defaulted(Mode, "") })),
  signal: section(Schema.Struct({ mode: defaulted(Mode, ""), allow: signals, deny: signals })),
  maxSessions: defaulted(Schema.Int.check(Schema.isGreaterThanOrEqualTo(-1)), -1),
});

export type Security = typeof Security.Type;
