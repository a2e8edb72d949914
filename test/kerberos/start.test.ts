/** Configurations that cannot work are refused when the daemon starts, with what to mend. */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { stringify } from "yaml";
import { type Result, run } from "../support/command.ts";
import { ENTRY } from "../support/daemon.ts";
import { type Kdc, REALM, SERVICE, startKdc } from "../support/kdc.ts";
import { eventually, processTree } from "../support/resources.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { daemonForTest, kerberosAuth, scratchOf } from "./world.ts";

let kdc: Kdc;

beforeAll(async () => {
  kdc = await startKdc({ users: {} });
});
afterAll(() => kdc[Symbol.asyncDispose]());

/** Starts a daemon that must not start. */
const refused = async (auth: object, wrapper: readonly string[] = []): Promise<Result> => {
  const file = join(await temporaryDirectory(), "berth.yaml");
  const ssh = { listen: "127.0.0.1:0" };
  await writeFile(file, stringify({ auth, ssh, backend: "process" }));
  const [program = "", ...args] = [...wrapper, process.execPath, ENTRY, "--config", file];
  return await run(program, args);
};

it("without the libraries, the Debian package to install is named", async () => {
  // A mount namespace in which the libraries are empty files: nothing else of the machine changes.
  const empty = join(await temporaryDirectory(), "empty");
  await writeFile(empty, "");
  const hidden = ["libgssapi_krb5.so.2", "libkrb5.so.3"].map(
    (name) => `"$(ldconfig -p | sed -n "s/.*${name} .*=> //p")"`,
  );
  const hide = hidden.map((library) => `mount --bind ${empty} "$(readlink -f ${library})"`).join(" && ");
  const inNamespace = ["unshare", "--mount", "sh", "-c", `PATH=$PATH:/sbin; ${hide} && exec "$@"`, "-"];
  for (const method of ["password", "gssapi"] as const) {
    const result = await refused({ [method]: kerberosAuth(kdc)[method] }, inNamespace);
    expect(result).toMatchObject({ code: 1 });
    expect(result.stderr).toContain("KRB_LIBRARY_MISSING");
    expect(result.stderr).toContain("install the Debian package libgssapi-krb5-2");
  }
});

it("a keytab without a key for the acceptor is refused", async () => {
  const result = await refused(kerberosAuth(kdc, { acceptor: "host/elsewhere" }));
  expect(result).toMatchObject({ code: 1 });
  expect(result.stderr).toMatch(
    /AUTH_CONFIG_ERROR: auth\.password\.kerberos can't be used: .*host\/elsewhere/,
  );
});

it("a keytab that is none is refused", async () => {
  const keytab = join(await temporaryDirectory(), "keytab");
  await writeFile(keytab, "this is no keytab");
  const result = await refused(kerberosAuth({ ...kdc, keytab }));
  expect(result).toMatchObject({ code: 1 });
  expect(result.stderr).toContain("AUTH_CONFIG_ERROR: auth.password.kerberos can't be used");
});

it.each([
  ["without a default realm", (text: string) => text.replace(/^ *default_realm.*$/m, ""), "realm"],
  ["that is malformed", (text: string) => text.replace("[realms]", "[realms\n  x = {"), "configuration"],
])("a Kerberos configuration %s is refused", async (_, spoil, word) => {
  const configPath = join(await temporaryDirectory(), "krb5.conf");
  await writeFile(configPath, spoil(await readFile(kdc.configPath, "utf8")));
  const result = await refused(kerberosAuth({ ...kdc, configPath }));
  expect(result).toMatchObject({ code: 1 });
  expect(result.stderr).toMatch(/AUTH_CONFIG_ERROR: auth\.password\.kerberos can't be used/);
  expect(result.stderr).toContain(word);
});

it.each([
  [
    "gssapi",
    "the replay cache can't be written (/proc/krb5_0.rcache2: ENOENT, /dev/shm/krb5_0.rcache2: EROFS)",
  ],
  [
    "password",
    "there is no directory for files on their way: ENOENT: no such file or directory, mkdtemp '/proc/berth-kerberos-",
  ],
] as const)(
  "without a directory to write to, one for %s is refused with what to mend",
  async (method, reason) => {
    const readOnly = [
      "unshare",
      "--mount",
      "sh",
      "-c",
      'mount -t tmpfs -o ro tmpfs /dev/shm && exec "$@"',
      "-",
    ];
    const result = await refused({ [method]: kerberosAuth(kdc)[method] }, [
      ...readOnly,
      "env",
      "TMPDIR=/proc",
    ]);
    expect(result).toMatchObject({ code: 1 });
    expect(result.stderr).toContain(`AUTH_CONFIG_ERROR: auth.${method}.kerberos can't be used: ${reason}`);
  },
);

/** Waits until neither the process nor its directory is there. */
const gone = (library: number): Promise<unknown> =>
  eventually(async () => !existsSync(`/proc/${library}`), `the process ${library} is gone`);

it("a daemon that was killed leaves no library and no file behind", async () => {
  const daemon = await daemonForTest(kerberosAuth(kdc));
  const scratch = await scratchOf(daemon);
  const [, library = 0] = await processTree(daemon.pid);
  await daemon.kill9();
  await gone(library);
  expect(existsSync(scratch)).toBe(false);
});

it("the log tells whose keys there are, and the daemon ends with its library", async () => {
  const daemon = await daemonForTest(kerberosAuth(kdc));
  expect(await daemon.log.next("KRB_AVAILABLE", { section: "auth.gssapi.kerberos" })).toMatchObject({
    level: "info",
    details: { keytab: kdc.keytab, principals: `${SERVICE}@${REALM}` },
  });
  const [, library = 0] = await processTree(daemon.pid);
  expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  await gone(library);
});
