/** The permissions that README says are enough for each mode, as Roles. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { projectRoot } from "./root.ts";

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

export type RoleName = "persistent" | "persistent with createMissingPods" | "connection" | "session";

/** The rules of README's table in the line of this mode. */
export const readmeRules = async (mode: RoleName): Promise<readonly Rule[]> => {
  const lines = (await readFile(join(projectRoot, "README.md"), "utf8")).split("\n");
  const table = lines.slice(lines.findIndex((line) => line.startsWith("| `kubernetes.pod.mode` |")));
  const cells = (line: string | undefined) =>
    (line ?? "")
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
  const [, ...resources] = cells(table[0]).map((cell) => cell.replaceAll("`", ""));
  const row = table.find((line) => cells(line)[0]?.replaceAll("`", "") === mode);
  if (row === undefined) throw new Error(`README has no permissions for ${mode}`);
  const [, ...verbs] = cells(row);
  return resources.flatMap((resource, column) => {
    const listed = verbs[column] ?? "";
    return listed === "" ? [] : [{ apiGroups: [""], resources: [resource], verbs: listed.split(", ") }];
  });
};

/** A namespace in which user `berth` may do what the rules say and nothing else. */
export const namespaceWith = (namespace: string, rules: readonly Rule[]): readonly object[] => [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "Role",
    metadata: { name: "berth", namespace },
    rules,
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: { name: "berth", namespace },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "berth" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "berth" }],
  },
];
