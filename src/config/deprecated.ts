/**
 * Moves the options of older ContainerSSH configurations to where they are now: `listen` (0.3), the single
 * authentication server of 0.4 (`auth.url` and its HTTP options, `auth.password: true`, `auth.pubkey`). What was
 * removed for good (`dockerrun`, `kuberun`) is an error that says what to do.
 */

import type { Finding, Path } from "./diagnostic.ts";
import { isObject, type PlainObject } from "./form.ts";
import { httpClientFields } from "./http.ts";
import { isZero } from "./zero.ts";

export interface Modernized {
  readonly root: PlainObject;
  readonly findings: ReadonlyArray<Finding>;
  /** What was moved: errors in the new place are shown at the old one. */
  readonly moved: ReadonlyArray<{ readonly from: Path; readonly to: Path }>;
}

const LISTEN_DEPRECATED = "CONFIG_LISTEN_DEPRECATED";
const AUTH_URL_DEPRECATED = "CONFIG_AUTH_URL_DEPRECATED";

export const modernize = (root: PlainObject): Modernized => {
  const steps = [moveListen, moveAuthUrl, refuseRemoved];
  return steps.reduce<Modernized>(
    (done, step) => {
      const next = step(done.root);
      return {
        root: next.root,
        findings: [...done.findings, ...next.findings],
        moved: [...done.moved, ...next.moved],
      };
    },
    { root, findings: [], moved: [] },
  );
};

const unchanged = (root: PlainObject): Modernized => ({ root, findings: [], moved: [] });

const moveListen = (root: PlainObject): Modernized => {
  const { listen, ...rest } = root;
  const ssh = rest.ssh ?? {};
  if (listen === undefined || !isObject(ssh)) {
    return unchanged(root);
  }
  const path = ["listen"];
  const replaced = !isZero(ssh.listen);
  return {
    root: replaced || isZero(listen) ? rest : { ...rest, ssh: { ...ssh, listen } },
    findings: [
      {
        path,
        severity: "warning",
        code: LISTEN_DEPRECATED,
        message: replaced
          ? "is deprecated since ContainerSSH 0.4, and ssh.listen, which is there too, takes precedence"
          : "is deprecated since ContainerSSH 0.4: write it as ssh.listen",
      },
    ],
    moved: [{ from: path, to: ["ssh", "listen"] }],
  };
};

const legacyHttpKeys: ReadonlySet<string> = new Set([
  ...Object.keys(httpClientFields),
  "curve",
  "authTimeout",
]);

const moveAuthUrl = (root: PlainObject): Modernized => {
  const { auth } = root;
  if (!isObject(auth)) {
    return unchanged(root);
  }
  const entries = Object.entries(auth);
  const http = Object.fromEntries(
    entries.filter(([key, value]) => legacyHttpKeys.has(key) && !isZero(value)),
  );
  const { password, pubkey, ...current } = Object.fromEntries(
    entries.filter(([key]) => !legacyHttpKeys.has(key)),
  );
  const isFlag = typeof password === "boolean";
  const modern: PlainObject = isFlag || password === undefined ? current : { ...current, password };
  const used = [
    ...Object.keys(http),
    ...(isFlag ? ["password"] : []),
    ...(typeof pubkey === "boolean" ? ["pubkey"] : []),
  ];
  if (pubkey !== undefined && pubkey !== null && typeof pubkey !== "boolean") {
    return {
      ...unchanged({ ...root, auth: modern }),
      findings: [{ path: ["auth", "pubkey"], message: "expected true or false", suggestion: "publicKey" }],
    };
  }
  if (http.url === undefined) {
    return {
      ...unchanged({ ...root, auth: modern }),
      findings:
        used.length === 0
          ? []
          : [
              {
                path: ["auth", used[0] ?? ""],
                severity: "warning",
                code: AUTH_URL_DEPRECATED,
                message: `the 0.4 options of auth (here ${used.join(", ")}) do nothing without auth.url`,
              },
            ],
    };
  }
  const methods = [
    { name: "password", wanted: password !== false },
    { name: "publicKey", wanted: pubkey !== false },
  ].filter(({ wanted }) => wanted);
  const taken = methods.filter(({ name }) => isConfigured(modern[name]));
  if (taken.length > 0) {
    return {
      ...unchanged({ ...root, auth: modern }),
      findings: [
        {
          path: ["auth", "url"],
          message: `configures what auth.${taken.map(({ name }) => name).join(" and auth.")} configures too: remove the 0.4 form`,
        },
      ],
    };
  }
  const moved = methods.map(({ name }) => ({ from: ["auth"], to: ["auth", name, "webhook"] }));
  const webhooks = Object.fromEntries(
    methods.map(({ name }) => [name, { method: "webhook", webhook: http }]),
  );
  return {
    root: { ...root, auth: { ...modern, ...webhooks } },
    findings: [
      {
        path: ["auth", "url"],
        severity: "warning",
        code: AUTH_URL_DEPRECATED,
        message:
          "is deprecated since ContainerSSH 0.5: write it as auth.password.webhook.url and auth.publicKey.webhook.url",
      },
    ],
    moved,
  };
};

const isConfigured = (section: unknown): boolean =>
  isObject(section) &&
  (!isZero(section.method) || (isObject(section.webhook) && !isZero(section.webhook.url)));

const removed: Readonly<Record<string, string>> = { dockerrun: "docker", kuberun: "kubernetes" };

const refuseRemoved = (root: PlainObject): Modernized => {
  const findings: Finding[] = [];
  let rest = root;
  for (const [old, successor] of Object.entries(removed)) {
    const message = `the ${old} backend was removed in ContainerSSH 0.5: move its options to ${successor}, see https://containerssh.io/deprecations/${old}`;
    const { [old]: section, ...others } = rest;
    if (!isZero(section)) {
      findings.push({ path: [old], message });
    }
    rest = others;
    if (rest.backend === old) {
      findings.push({ path: ["backend"], message });
      rest = { ...rest, backend: undefined };
    }
  }
  return { ...unchanged(rest), findings };
};
