import { Redacted } from "effect";
import { describe, expect, it } from "vitest";
import { processesWith } from "../../../support/resources.ts";
import { isolations, openPlace, run, start, terminalOf, until } from "./place.ts";

const parsed = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    text
      .split("\0")
      .filter((line) => line.includes("="))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );

const SECRET = "s3cr3t-of-the-login";

describe.each(isolations)("variables, isolation %s", (isolation) => {
  const settings = { isolation };

  it("are a clean base without anything of the daemon's", async () => {
    process.env.BERTH_TEST_OF_THE_DAEMON = "leaked";
    const place = await openPlace({ settings: { ...settings, shell: "/bin/bash" } });
    const { _, SHLVL, PWD, OLDPWD, ...variables } = parsed((await run(place, "env -0")).stdout);
    delete process.env.BERTH_TEST_OF_THE_DAEMON;
    expect(variables).toEqual({
      HOME: PWD,
      USER: "jane",
      LOGNAME: "jane",
      SHELL: "/bin/bash",
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      SSH_CLIENT: "192.0.2.7 40000 2222",
      SSH_CONNECTION: "192.0.2.7 40000 ::1 2222",
    });
  });

  it("know the terminal", async () => {
    const place = await openPlace({ settings });
    const { stdout } = await run(place, "env -0", { terminal: terminalOf({ term: "screen" }) });
    const variables = parsed(stdout);
    expect(variables.TERM).toBe("screen");
    expect(variables.SSH_TTY).toMatch(isolation === "none" ? /^\/dev\/pts\/\d+$/ : /^\/dev\/console$/);
  });

  it("of the login win over the client's, and these over the configuration's", async () => {
    const configured = Redacted.make("configured");
    const place = await openPlace({
      settings: { ...settings, environment: { ONE: configured, TWO: configured, THREE: configured } },
      environment: { THREE: "login", LOGIN: 'it\'s a\nmultiline "value" $HOME', POSIXLY_CORRECT: "1" },
    });
    const environment = { TWO: "client", THREE: "client", EMPTY: "", "odd-name": "odd" };
    const variables = parsed((await run(place, "env -0", { environment })).stdout);
    expect(variables).toMatchObject({
      ONE: "configured",
      TWO: "client",
      THREE: "login",
      EMPTY: "",
      LOGIN: 'it\'s a\nmultiline "value" $HOME',
      POSIXLY_CORRECT: "1",
    });
    expect(Object.keys(variables).filter((name) => name.startsWith("BERTH"))).toEqual([]);
  });

  it("don't let a client say who it is or what a loader does", async () => {
    const place = await openPlace({ settings });
    const environment = {
      HOME: "/",
      USER: "root",
      SSH_CLIENT: "1.1.1.1 1 1",
      LD_DEBUG: "libs",
      BASH_ENV: "/x",
      A: "1\0",
    };
    const { stdout } = await run(place, "env -0", { environment });
    const variables = parsed(stdout);
    expect(variables).toMatchObject({ USER: "jane", SSH_CLIENT: "192.0.2.7 40000 2222" });
    expect(variables.HOME).not.toBe("/");
    expect(variables.A).toBeUndefined();
    expect("LD_DEBUG" in variables).toBe(isolation === "bubblewrap");
    expect("BASH_ENV" in variables).toBe(isolation === "bubblewrap");
    const refused = String(
      place.log.entries.find(({ code }) => code === "PROCESS_VARIABLES_REFUSED")?.details.names,
    );
    expect(refused.split(" ")).toEqual(
      expect.arrayContaining([
        "HOME",
        "USER",
        "SSH_CLIENT",
        "A",
        ...(isolation === "none" ? ["LD_DEBUG"] : []),
      ]),
    );
  });

  it.each([undefined, terminalOf()])(
    "that are secret are on no command line and in no log, terminal %#",
    async (terminal) => {
      const place = await openPlace({ settings, environment: { TOKEN: SECRET } });
      const program = await start(place, 'echo "[$TOKEN]"; cat', { terminal });
      await until(program.stdout, new RegExp(`\\[${SECRET}\\]`));
      expect(await processesWith(SECRET)).toEqual([]);
      expect(place.log.text()).not.toContain(SECRET);
    },
  );
});

describe("variables of a sandbox", () => {
  it("reach nothing outside: bwrap itself runs without them", async () => {
    const place = await openPlace({ settings: { isolation: "bubblewrap" } });
    const environment = { LD_PRELOAD: "/home/jane/evil.so" };
    const { stderr } = await run(place, "true", { environment });
    expect(stderr).toContain("/home/jane/evil.so");
    expect(place.log.text()).not.toContain("bubblewrap could not");
  });

  it("cannot smuggle arguments in", async () => {
    const place = await openPlace({ settings: { isolation: "bubblewrap" } });
    const terminal = terminalOf({ term: "xterm\0--bind\0/\0/mnt" });
    await expect(run(place, "ls /mnt", { terminal })).rejects.toMatchObject({ code: "PROCESS_START_FAILED" });
  });
});
