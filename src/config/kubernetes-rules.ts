/** What the options of the `kubernetes` section demand of each other: the reference's rules, and those of `persistent`. */
import { existsSync } from "node:fs";
import { Duration, Redacted } from "effect";
import type { Finding } from "./diagnostic.ts";
import { isObject } from "./form.ts";
import { unknownPlaceholders } from "./placeholders.ts";
import type { Kubernetes, KubernetesConnection, KubernetesPod } from "./sections/kubernetes.ts";
import type { Findings } from "./validate-http.ts";
import { prefixed } from "./validate-http.ts";

/** Paths are relative to the section. */
export const kubernetesFindings = ({ connection, pod }: Kubernetes): Findings => [
  ...prefixed("connection", connectionFindings(connection)),
  ...prefixed("pod", podFindings(pod)),
];

const connectionFindings = (connection: KubernetesConnection): Findings => {
  const { kubeconfig, username, bearerToken, bearerTokenFile, cert, certFile, key, keyFile } = connection;
  const paths = ["kubeconfig", "bearerTokenFile", "certFile", "keyFile", "cacertFile"] as const;
  const found: Finding[] = paths
    .filter((name) => connection[name] !== "" && !existsSync(connection[name]))
    // Not an error: it may be there where Berth will run, and is read anew for every request.
    .map((name) => ({ path: [name], severity: "warning", message: "there is no such file here" }));
  if (kubeconfig !== "") return found;
  const hasCertificate = cert !== "" || certFile !== "";
  const hasKey = Redacted.value(key) !== "" || keyFile !== "";
  if (hasCertificate !== hasKey) {
    const [missing, present] = hasCertificate ? ["key", "certificate"] : ["cert", "key"];
    found.push({ path: [missing], message: `is missing: there is a client ${present} without it` });
  }
  if (username !== "" && (bearerTokenFile !== "" || Redacted.value(bearerToken) !== "")) {
    found.push({ path: ["username"], message: "basic authentication and a bearer token exclude each other" });
  }
  return found;
};

/** The reference's own default, which its configuration servers may send along in every mode. */
const GENERATE_NAME = "containerssh-";

const podFindings = (pod: KubernetesPod): Findings => {
  const { mode, metadata, spec, createMissingPods, idleTimeout, recreateOutdated } = pod;
  const found: Finding[] = [];
  const wrong = (path: Finding["path"], message: string): void => void found.push({ path, message });
  if (createMissingPods && mode !== "persistent") {
    wrong(["createMissingPods"], `has no meaning in mode ${mode}, only in persistent`);
  }
  if (mode !== "persistent" || !createMissingPods) {
    const meaningless = "has no meaning without mode persistent and createMissingPods";
    if (Duration.toMillis(idleTimeout) > 0) wrong(["idleTimeout"], meaningless);
    if (recreateOutdated !== "never") wrong(["recreateOutdated"], meaningless);
  }
  if (mode === "persistent" && metadata.name === "") {
    wrong(["metadata", "name"], "is missing: mode persistent finds the pod by it");
  }
  if (mode === "persistent") found.push(...unknownPlaceholders(["metadata", "name"], metadata.name));
  if (mode === "persistent" && !["", GENERATE_NAME].includes(metadata.generateName)) {
    wrong(["metadata", "generateName"], "a pod of mode persistent is found by its name: set metadata.name");
  }
  if (mode === "session" && !["", "Never", undefined, null].includes(spec.restartPolicy as string)) {
    wrong(["spec", "restartPolicy"], 'pods of mode session may not restart: only "Never" is possible');
  }
  const creates = mode !== "persistent" || createMissingPods;
  if (pod.shellCommand.length === 0) wrong(["shellCommand"], "must not be empty");
  if (pod.idleCommand.length === 0 && creates && mode !== "session") {
    wrong(["idleCommand"], `must not be empty in mode ${mode}`);
  }
  if (!pod.disableAgent && pod.agentPath === "") {
    wrong(["agentPath"], "must not be empty: disableAgent switches the agent off");
  }
  if (creates) found.push(...prefixed("spec", containerFindings(pod)));
  return found;
};

/** Of pods that Berth creates. */
const containerFindings = ({ spec: { containers }, consoleContainerNumber }: KubernetesPod): Findings => {
  if (!Array.isArray(containers) || containers.length === 0) {
    return [{ path: ["containers"], message: "at least one container is needed" }];
  }
  const imageless: Findings = containers.flatMap((container: unknown, index) =>
    isObject(container) && typeof container.image === "string" && container.image !== ""
      ? []
      : [{ path: ["containers", index, "image"], message: "is missing" }],
  );
  return consoleContainerNumber < containers.length
    ? imageless
    : [
        ...imageless,
        {
          path: ["containers"],
          message: `there is no container number ${consoleContainerNumber}, which consoleContainerNumber asks for (counted from 0)`,
        },
      ];
};
