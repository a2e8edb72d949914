/** How programs are started in a container, be it Docker's or a pod's (documentation of the reference: guest image). */
import { Schema } from "effect";
import { defaulted, Flag } from "../codecs.ts";

/**
 * - `idleCommand`: what runs in the container while programs are started by exec.
 * - `shellCommand`: what a request for a shell starts.
 * - `agentPath`: the guest agent in the image; `disableAgent` does without it.
 * - `subsystems`: subsystem name to the path of its program in the container.
 */
export const guest = {
  idleCommand: defaulted(Schema.Array(Schema.String), [
    "/usr/bin/containerssh-agent",
    "wait-signal",
    "--signal",
    "INT",
    "--signal",
    "TERM",
  ]),
  shellCommand: defaulted(Schema.Array(Schema.String), ["/bin/bash"]),
  agentPath: defaulted(Schema.String, "/usr/bin/containerssh-agent"),
  disableAgent: defaulted(Flag, false),
  subsystems: defaulted(Schema.Record(Schema.String, Schema.String), {
    sftp: "/usr/lib/openssh/sftp-server",
  }),
};
