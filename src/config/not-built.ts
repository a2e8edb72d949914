/** The sections of the reference's configuration that Berth knows and has not built: to use one is an error. */
import type { Finding } from "./diagnostic.ts";
import { isObject, type PlainObject } from "./form.ts";
import { isZero } from "./zero.ts";

/** The ways to say no in YAML, also of version 1.1: whatever else is said may be meant as a yes. */
const no: ReadonlyArray<unknown> = ["no", "off", "n"];

const enabled = ({ enable }: PlainObject) => !isZero(enable) && !no.includes(enable);

/** Whether a section asks for something; one that is switched off (as in a full dump) asks for nothing. */
const inUse: Readonly<Record<string, (section: PlainObject) => boolean>> = {
  metrics: enabled,
  audit: enabled,
  geoip: ({ provider }) => !isZero(provider) && provider !== "dummy",
};

/** Top-level sections that are known and not built. */
export const notBuiltSections: ReadonlySet<string> = new Set(Object.keys(inUse));

/** Takes what is not built out of a raw configuration: an error where it is in use, a warning where it is off. */
export const withoutNotBuilt = (
  root: PlainObject,
): { readonly root: PlainObject; readonly findings: ReadonlyArray<Finding> } => {
  const findings = Object.entries(inUse).flatMap(([name, isInUse]): Finding[] => {
    const section = root[name];
    if (isZero(section)) return [];
    return isObject(section) && !isInUse(section)
      ? [
          {
            path: [name],
            message: "is not built yet; it is switched off, so nothing is missing",
            severity: "warning",
          },
        ]
      : [{ path: [name], message: "is not built yet" }];
  });
  const built = Object.entries(root).filter(([name]) => !notBuiltSections.has(name));
  return { root: Object.fromEntries(built), findings };
};
