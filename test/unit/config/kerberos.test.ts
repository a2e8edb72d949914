import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duration } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorsOf, load } from "./support.ts";

const folder = await mkdtemp(join(tmpdir(), "berth-kerberos-"));
const [keytab, configPath] = [join(folder, "krb5.keytab"), join(folder, "krb5.conf")];

beforeAll(() => Promise.all([writeFile(keytab, ""), writeFile(configPath, "")]));
afterAll(() => rm(folder, { recursive: true }));

describe.each(["password", "gssapi"])("auth.%s by Kerberos", (method) => {
  const section = (options = "") =>
    `auth: {${method}: {method: kerberos, kerberos: {keytab: ${keytab}, configPath: ${configPath}${options}}}}`;

  it("has the reference's defaults", async () => {
    const { config } = await load(section());
    expect(config.auth[method === "gssapi" ? "gssapi" : "password"]).toMatchObject({
      method: "kerberos",
      kerberos: { acceptor: "any", enforceUsername: true, credentialCachePath: "/tmp/krb5cc" },
    });
  });

  it("takes a word for enforceUsername: false is not the default", async () => {
    const { config } = await load(section(", enforceUsername: false, clockSkew: 90s, acceptor: host"));
    expect(config.auth[method === "gssapi" ? "gssapi" : "password"].kerberos).toMatchObject({
      enforceUsername: false,
      clockSkew: Duration.seconds(90),
      acceptor: "host",
    });
  });

  it("warns of names that nobody checks", async () => {
    const { warnings } = await load(section(", enforceUsername: false"));
    expect(warnings).toMatchObject([
      { code: "KRB_USERNAME_NOT_ENFORCED", path: `auth.${method}.kerberos.enforceUsername` },
    ]);
    const decided = section(", enforceUsername: false").replace(
      /}$/,
      ", authz: {method: webhook, webhook: {url: 'http://a'}}}",
    );
    expect((await load(decided)).warnings).toEqual([]);
  });

  it.each([
    ["credentialCachePath: krb5cc", "credentialCachePath: expected an absolute path of a file"],
    ["credentialCachePath: /tmp/", "credentialCachePath: expected an absolute path of a file"],
    ["clockSkew: 999ms", "clockSkew: must be at least 1s"],
    ["clockSkew: -5m", "clockSkew: must be at least 1s"],
    ["enforceusername: false", "enforceusername: unknown key"],
  ])("refuses %s", async (options, message) => {
    const [first = ""] = await errorsOf(section(`, ${options}`));
    expect(first).toContain(`auth.${method}.kerberos.${message}`);
  });

  it("refuses files that cannot be read, and names them", async () => {
    const errors = await errorsOf(
      `auth: {${method}: {method: kerberos, kerberos: {keytab: /nowhere/keytab, configPath: "/nowhere/a:b"}}}`,
    );
    expect(errors.join("\n")).toContain(
      `auth.${method}.kerberos.keytab: cannot read /nowhere/keytab: ENOENT`,
    );
    expect(errors.join("\n")).toContain(`auth.${method}.kerberos.configPath: must not contain a colon`);
    expect(errors.join("\n")).toContain(
      `auth.${method}.kerberos.configPath: cannot read /nowhere/a:b: ENOENT`,
    );
  });

  it("does not look at a section that is not in use", async () => {
    const { config } = await load(
      `auth: {publicKey: {method: users}, users: [{name: a}], ${method}: {kerberos: {keytab: /nowhere}}}`,
    );
    expect(config.auth.publicKey.method).toBe("users");
  });
});
