/** The `process` section: Berth's own backend, which runs the session's programs on this machine. */
import { Schema } from "effect";
import { defaulted, Flag, oneOf, Secret } from "../codecs.ts";

/**
 * - `shell`: path of the program for shells and commands (`shell -c command`); empty is the login shell of the user
 *   that runs Berth, or /bin/sh. An isolated program sees /usr, /bin, /sbin and /lib of the host, read-only.
 * - `isolation`: `auto` uses bubblewrap where the host has it, says so where not, and refuses logins as long as neither
 *   is known; `bubblewrap` refuses logins without it; `none` never isolates.
 * - `network`: whether an isolated program shares the host's network.
 * - `home`: the working and home directory of programs, in which `%u` stands for the user's name (made safe for a
 *   file's name); it is created if missing and stays. Empty is a private, empty directory for each connection, removed
 *   with it.
 * - `subsystems`: subsystem name to the path of its program. The default for `sftp` stands for wherever the host's
 *   distribution has OpenSSH's sftp-server.
 * - `environment`: variables every program gets; those of the login win over these.
 */
export const Process = Schema.Struct({
  shell: defaulted(Schema.String, ""),
  isolation: defaulted(oneOf(["auto", "bubblewrap", "none"]), "auto"),
  network: defaulted(Flag, true),
  home: defaulted(Schema.String, ""),
  subsystems: defaulted(Schema.Record(Schema.String, Schema.String), {
    sftp: "/usr/lib/openssh/sftp-server",
  }),
  environment: defaulted(Schema.Record(Schema.String, Secret), {}),
});

export type Process = typeof Process.Type;
