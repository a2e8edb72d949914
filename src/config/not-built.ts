/** The parts of the reference's configuration that Berth knows and has not built: to use one is an error. */
import type { Finding, Path } from "./diagnostic.ts";
import { isObject, type PlainObject } from "./form.ts";
import { isZero } from "./zero.ts";

interface NotBuilt {
  readonly path: Path;
  /** Whether this asks for something; a section that is switched off (as in a full dump) asks for nothing. */
  readonly inUse: (section: PlainObject, root: PlainObject) => boolean;
}

const enabled = (section: PlainObject) => section.enable === true;

const sections: ReadonlyArray<NotBuilt> = [
  { path: ["metrics"], inUse: enabled },
  { path: ["audit"], inUse: enabled },
  { path: ["geoip"], inUse: ({ provider }) => !isZero(provider) && provider !== "dummy" },
  { path: ["sshproxy"], inUse: ({ server }, { backend }) => !isZero(server) || backend === "sshproxy" },
];

const values: ReadonlyArray<{ readonly path: Path; readonly value: string }> = [
  { path: ["backend"], value: "sshproxy" },
];

/** Top-level sections that are known and not built. */
export const notBuiltSections: ReadonlySet<string> = new Set(
  sections.filter(({ path }) => path.length === 1).map(({ path }) => String(path[0])),
);

/** Takes what is not built out of a raw configuration: an error where it is in use, a warning where it is off. */
export const withoutNotBuilt = (
  root: PlainObject,
): { readonly root: PlainObject; readonly findings: ReadonlyArray<Finding> } => {
  const findings: Finding[] = [];
  let rest = root;
  for (const { path, value } of values) {
    if (at(root, path) === value) {
      findings.push({ path, message: `${value} is not built yet` });
      rest = without(rest, path);
    }
  }
  for (const { path, inUse } of sections) {
    const section = at(root, path);
    rest = without(rest, path);
    if (!isZero(section)) {
      const isOff = isObject(section) && !inUse(section, root);
      findings.push(
        isOff
          ? {
              path,
              message: "is not built yet; it is switched off, so nothing is missing",
              severity: "warning",
            }
          : { path, message: "is not built yet" },
      );
    }
  }
  return { root: rest, findings };
};

const at = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((current, key) => (isObject(current) ? current[key] : undefined), value);

const without = (root: PlainObject, [first, ...rest]: Path): PlainObject => {
  const key = String(first);
  const child = root[key];
  if (rest.length === 0) {
    return Object.fromEntries(Object.entries(root).filter(([name]) => name !== key));
  }
  return isObject(child) ? { ...root, [key]: without(child, rest) } : root;
};
