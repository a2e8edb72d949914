/** The `process` section: Berth's own backend, which runs the session's programs on this machine. */
import { Schema } from "effect";
import { defaulted, Flag, oneOf } from "../codecs.ts";

/**
 * - `shell`: path of the program for shells and commands (`shell -c command`); empty is the login shell of the user
 *   that runs Berth, or /bin/sh.
 * - `isolation`: `auto` uses bubblewrap where the host has it and says so where not; `bubblewrap` refuses to start
 *   without it; `none` never isolates.
 * - `network`: whether an isolated program shares the host's network.
 * - `home`: the working and home directory of programs; empty is a private, empty directory for each connection,
 *   removed with it.
 * - `subsystems`: subsystem name to the path of its program.
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
  environment: defaulted(Schema.Record(Schema.String, Schema.String), {}),
});

export type Process = typeof Process.Type;
