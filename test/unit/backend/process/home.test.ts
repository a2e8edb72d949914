import { chmod, chown, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { safeUserName } from "../../../../src/backend/process/user-name.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";
import { isolations, openPlace, provision, run, status } from "./place.ts";

const shared = async (): Promise<string> => {
  const directory = await temporaryDirectory();
  await chmod(directory, 0o755);
  return directory;
};

describe.each(isolations)("home, isolation %s", (isolation) => {
  const settings = { isolation };

  it("is empty, private, writable, the working directory, and the connection's", async () => {
    const place = await openPlace({ settings });
    const { stdout } = await run(place, "ls -A; stat -c %a .; test $PWD = $HOME && touch kept && echo mine");
    expect(stdout).toBe("700\nmine\n");
    expect((await run(place, "ls; touch /tmp/x-$$ && rm /tmp/x-$$")).stdout).toBe("kept\n");
    expect((await run(await openPlace({ settings }), "ls -A")).stdout).toBe("");
  });

  it("stays with its user where the configuration says so", async () => {
    const home = join(await shared(), "homes", "%u");
    const options = { settings: { ...settings, home }, username: "jane/../doe" };
    await run(await openPlace(options), "echo remembered > note");
    const later = await openPlace(options);
    expect((await run(later, "cat note")).stdout).toBe("remembered\n");
    await later.close();
    expect(await readFile(join(home.replace("%u", "jane%2F..%2Fdoe"), "note"), "utf8")).toBe("remembered\n");
    const other = await openPlace({ ...options, username: "jane" });
    expect((await run(other, "cat note")).exit).toEqual(status(1));
  });

  it("gets the login's files, private to the user", async () => {
    const home = join(await shared(), "jane");
    const prefix = isolation === "none" ? home : "/home/jane";
    const files = { [`${prefix}/.config/tool/key`]: "s3cr3t", [`${prefix}/.netrc`]: "new" };
    await mkdir(home);
    await writeFile(join(home, ".netrc"), "old", { mode: 0o644 });
    if (process.getuid?.() === 0 && isolation === "bubblewrap") {
      await chown(home, 65534, 65534);
    }
    const place = await openPlace({ settings: { ...settings, home }, files });
    const { stdout } = await run(
      place,
      "cat .config/tool/key .netrc; stat -c ' %a %u' .config/tool .config/tool/key .netrc; id -u; echo >> .netrc",
    );
    const uid = stdout.trim().split("\n").at(-1);
    expect(stdout).toBe(`s3cr3tnew 700 ${uid}\n 600 ${uid}\n 600 ${uid}\n${uid}\n`);
    expect(place.log.text()).not.toContain("s3cr3t");
    expect((await readdir(home)).sort()).toEqual([".config", ".netrc"]);
  });

  it("follows no link that a user left for the daemon to write through", async () => {
    const base = await shared();
    const home = join(base, "jane");
    const victim = join(base, "victim");
    await mkdir(home);
    await mkdir(victim);
    await writeFile(join(victim, "file"), "untouched");
    await symlink(victim, join(home, ".ssh"));
    await symlink(join(victim, "file"), join(home, "note"));
    const prefix = isolation === "none" ? home : "/home/jane";
    const through = await provision({
      settings: { ...settings, home },
      files: { [`${prefix}/.ssh/keys`]: "x" },
    });
    expect(through.outcome).toMatchObject({
      kind: "refused",
      refusal: { code: "PROCESS_FILE_WRITE_FAILED" },
    });
    expect(await readdir(victim)).toEqual(["file"]);
    await openPlace({ settings: { ...settings, home }, files: { [`${prefix}/note`]: "mine" } });
    expect(await readFile(join(victim, "file"), "utf8")).toBe("untouched");
    expect(await readFile(join(home, "note"), "utf8")).toBe("mine");
    expect((await stat(join(home, "note"))).mode & 0o777).toBe(0o600);
  });

  it.each([
    "relative",
    "/home/jane/../../etc/x",
    "/home//x",
    "/home/jane/./x",
    "/usr/bin/x",
    "/etc",
    "/proc/1/mem",
    "/dev/x",
    "/",
    "/home/jane",
  ])("refuses to write a file to %s", async (path) => {
    const { outcome } = await provision({ settings, files: { [path]: "x" } });
    expect(outcome).toMatchObject({
      kind: "refused",
      refusal: { code: "PROCESS_FILE_WRITE_FAILED", details: { path } },
    });
  });

  it("refuses a login whose home cannot be made", async () => {
    const file = join(await temporaryDirectory(), "file");
    await writeFile(file, "");
    for (const home of [join(file, "home"), "relative"]) {
      const { outcome } = await provision({ settings: { ...settings, home } });
      expect(outcome).toMatchObject({ kind: "refused", refusal: { code: "PROCESS_HOME_FAILED" } });
    }
  });
});

describe("files of a login", () => {
  it("are where a sandbox sees them, /tmp and places outside its home included", async () => {
    const files = {
      "/tmp/krb5cc_1000": "ticket",
      "/run/secrets/token": "token",
      "/etc/hosts": "192.0.2.1 example\n",
      "/opt/a/b": "b",
    };
    const place = await openPlace({ settings: { isolation: "bubblewrap" }, files });
    const { stdout, stderr } = await run(
      place,
      `cat ${Object.keys(files).join(" ")}; stat -c %a ${Object.keys(files).join(" ")}`,
    );
    expect(stderr).toBe("");
    expect(stdout).toBe("tickettoken192.0.2.1 example\nb600\n600\n600\n600\n");
    expect((await run(place, "cat /run/secrets/token")).stdout).toBe("token");
  });

  it("are wiped out of the daemon's memory once they are there", async () => {
    const ticket = Buffer.from("ticket");
    const files = { "/tmp/krb5cc_1000": ticket };
    const place = await openPlace({ settings: { isolation: "bubblewrap" }, files });
    expect(ticket).toEqual(Buffer.alloc(6));
    expect((await run(place, "cat /tmp/krb5cc_1000")).stdout).toBe("ticket");
  });

  it("have to be in the home without isolation", async () => {
    const { outcome } = await provision({
      settings: { isolation: "none" },
      files: { "/tmp/krb5cc_1000": "x" },
    });
    expect(outcome).toMatchObject({ refusal: { code: "PROCESS_FILE_WRITE_FAILED" } });
  });
});

describe("safeUserName", () => {
  it("keeps usual names", () => {
    for (const name of ["jane", "j.doe", "jane@example.com", "a-b_c+d"])
      expect(safeUserName(name)).toBe(name);
  });

  it("makes every other name one that is safe, and different from others", () => {
    const names = [
      "",
      ".",
      "..",
      "../x",
      "-rf",
      "a/b",
      "a:b",
      "a\nb",
      "a\0b",
      "%",
      "ü",
      "a".repeat(500),
      `${"a".repeat(500)}b`,
    ];
    const safe = names.map(safeUserName);
    expect(new Set(safe).size).toBe(names.length);
    for (const name of safe) expect(name).toMatch(/^[A-Za-z0-9_%][A-Za-z0-9_.@+%~-]{0,200}$/);
  });
});
