/** What the options of the `docker` section demand of each other: the reference's rules, and those of `persistent`. */
import { Duration, Redacted } from "effect";
import type { Finding } from "./diagnostic.ts";
import { unknownPlaceholders } from "./placeholders.ts";
import type { Docker } from "./sections/docker.ts";

/** Paths are relative to the section. */
export const dockerFindings = ({ connection, execution }: Docker): ReadonlyArray<Finding> => {
  const { mode, container, host, idleCommand, shellCommand, containerName } = execution;
  const { createMissingContainers, idleTimeout } = execution;
  const found: Finding[] = [];
  const wrong = (path: Finding["path"], message: string): void => void found.push({ path, message });
  const tls = { cacert: connection.cacert, cert: connection.cert, key: Redacted.value(connection.key) };
  if (Object.values(tls).some((field) => field !== "")) {
    for (const [key, field] of Object.entries(tls)) {
      if (field === "") wrong(["connection", key], "is missing: TLS needs cacert, cert and key");
    }
  }
  if (container.Image === undefined) wrong(["execution", "container", "Image"], "is missing");
  if (mode !== "session") {
    if (idleCommand.length === 0) wrong(["execution", "idleCommand"], `must not be empty in mode ${mode}`);
    if (shellCommand.length === 0) wrong(["execution", "shellCommand"], `must not be empty in mode ${mode}`);
  }
  const policy = host.RestartPolicy?.Name ?? "no";
  if (mode === "session" && policy !== "no") {
    wrong(["execution", "host", "RestartPolicy", "Name"], "containers of mode session may not restart");
  }
  if (mode === "persistent" && containerName === "") {
    wrong(["execution", "containerName"], "is missing: mode persistent finds the container by it");
  }
  found.push(...unknownPlaceholders(["execution", "containerName"], containerName));
  if (mode !== "persistent") {
    const meaningless = `has no meaning in mode ${mode}, only in persistent`;
    if (createMissingContainers) wrong(["execution", "createMissingContainers"], meaningless);
    if (Duration.toMillis(idleTimeout) > 0) wrong(["execution", "idleTimeout"], meaningless);
  }
  return found;
};
