/** What a newcomer does: `npm start`, paste the printed line, be in a shell, press Ctrl-C. */
import { once } from "node:events";
import { createServer } from "node:net";
import { type IPty, spawn } from "@lydell/node-pty";
import { describe, expect, it } from "vitest";
import type { Row } from "../../src/inspect/format.ts";
import type { Ending } from "../support/command.ts";
import { type Directory, directory, eventually } from "../support/resources.ts";
import { projectRoot } from "../support/root.ts";
import { SshClient, type SshTarget } from "../support/ssh.ts";
import { Transcript, within } from "../support/transcript.ts";

interface Started extends AsyncDisposable {
  readonly output: Transcript;
  /** Presses Ctrl-C in its terminal. */
  readonly interrupt: () => void;
  /** As closing a terminal's window does. */
  readonly closeTerminal: () => void;
  readonly signal: (name: NodeJS.Signals) => void;
  readonly ending: Promise<Ending>;
  readonly logIn: () => Promise<SshClient>;
  /** Whom `logIn` logged in, and where. */
  readonly target: () => SshTarget;
}

/** `npm start` in a terminal, with a home directory in which nothing was before. */
const npmStart = async (home: Directory): Promise<Started> => {
  const { HOME: _, XDG_STATE_HOME: __, ...env } = process.env;
  const npm = spawn("npm", ["start"], {
    cwd: projectRoot,
    env: { ...env, HOME: home.path },
    cols: 200,
    rows: 50,
  });
  const output = new Transcript();
  npm.onData((text) => output.append(text));
  const ending = new Promise<Ending>((resolve) => {
    npm.onExit(({ exitCode, signal }) => {
      output.end();
      resolve({ code: signal ? null : exitCode, signal: null });
    });
  });
  let target: SshTarget | undefined;
  const started: Started = {
    output,
    interrupt: () => npm.write("\u0003"),
    // The pty's own type leaves out that it can be closed.
    closeTerminal: () => (npm as IPty & { readonly destroy: () => void }).destroy(),
    signal: (name) => npm.kill(name),
    ending,
    logIn: async () => {
      const [, port, username, host] = await output.waitFor(/ssh -p (\d+) (\w+)@(\S+)/);
      const [, password] = await output.waitFor(/password of this run is: (\S+)/);
      await output.waitFor("Ctrl-C");
      target = {
        host: `${host}`,
        port: Number(port),
        username: `${username}`,
        password: `${password}`,
      };
      return SshClient.to(target);
    },
    target: () => {
      if (target === undefined) throw new Error("nobody has logged in yet");
      return target;
    },
    [Symbol.asyncDispose]: async () => {
      // Its terminal goes with it: a third time ends whatever still drains.
      npm.kill("SIGTERM");
      npm.kill("SIGTERM");
      await ending;
    },
  };
  return started;
};

describe("npm start", () => {
  it("prints a line that leads into a shell; Ctrl-C drains and exits 0", async () => {
    await using home = await directory();
    await using npm = await npmStart(home);
    await using ssh = await npm.logIn();
    const terminal = ssh.terminal();
    terminal.write("echo I am i''n\n");
    await terminal.waitFor("I am in");
    terminal.write("exit 7\n");
    expect(await terminal.ending).toEqual({ code: 7, signal: null });
    npm.interrupt();
    expect(await npm.ending).toEqual({ code: 0, signal: null });
  });

  it("prints a link to the inspector, where two logins and a refused one appear", async () => {
    await using home = await directory();
    await using npm = await npmStart(home);
    await using ssh = await npm.logIn();
    const [, url = "", token = ""] = /(http:\S+)\/#token=(\S+)/.exec(npm.output.text) ?? [];
    await using one = ssh.terminal();
    await using other = ssh.terminal();
    for (const terminal of [one, other]) {
      terminal.write("echo I am i''n\n");
      await terminal.waitFor("I am in");
    }
    await using stranger = await SshClient.to({ ...npm.target(), password: "wrong" });
    const { stderr } = await stranger.run("true");
    expect((await fetch(url)).headers.get("content-type")).toContain("text/html");
    // A refusal is there when its client has gone.
    const connections = await eventually(async () => {
      const answer = await fetch(`${url}/api/connections`, { headers: { authorization: `Bearer ${token}` } });
      const rows = ((await answer.json()) as { connections: readonly Row[] }).connections;
      return rows.some(({ code }) => code === "AUTH_FAILED") && rows;
    }, "the refused login is there");
    const shown = connections.map(({ username, state, code }) => [username, state, code]);
    expect(shown).toEqual(
      expect.arrayContaining([
        ["demo", "serving.open", undefined],
        ["demo", "serving.open", undefined],
        ["demo", expect.any(String), "AUTH_FAILED"],
      ]),
    );
    expect(connections).toHaveLength(3);
    expect(stderr).toContain(
      `(reference ${connections.find(({ code }) => code === "AUTH_FAILED")?.reference})`,
    );
  });

  it("takes the next free port when its own is taken, and says so", async () => {
    await using home = await directory();
    // Whoever else has the port, it is taken.
    const holder = createServer().listen(2222, "127.0.0.1");
    await Promise.race([once(holder, "listening"), once(holder, "error")]);
    try {
      await using npm = await npmStart(home);
      const [, port] = await npm.output.waitFor(/Port 2222 is taken, so it is port (\d+)\./);
      await using ssh = await npm.logIn();
      expect(`${npm.target().port}`).toBe(port);
      expect(await ssh.run("echo in")).toMatchObject({ code: 0, stdout: "in\n" });
    } finally {
      holder.close();
    }
  });

  it("keeps its host key", async () => {
    await using home = await directory();
    const keys: string[] = [];
    for (const run of ["first", "second"]) {
      await using npm = await npmStart(home);
      await using ssh = await npm.logIn();
      const { stderr, stdout } = await ssh.run(`echo ${run}`, { options: { LogLevel: "DEBUG1" } });
      expect(stdout).toBe(`${run}\n`);
      keys.push(`${/Server host key: (.*)/.exec(stderr)?.[1]}`);
      npm.signal("SIGTERM");
      expect(await npm.ending).toEqual({ code: 0, signal: null });
    }
    expect(keys[0]).toMatch(/^ssh-ed25519 SHA256:/);
    expect(keys[1]).toBe(keys[0]);
  });

  it("stops when its terminal is closed", async () => {
    await using home = await directory();
    await using npm = await npmStart(home);
    await using ssh = await npm.logIn();
    expect((await ssh.run("echo in")).stdout).toBe("in\n");
    npm.closeTerminal();
    await eventually(
      async () => (await ssh.run("echo in")).stderr.includes("Connection refused"),
      "nothing listens any more",
    );
  });

  it("lets a session finish after the first Ctrl-C and ends it at the second", async () => {
    await using home = await directory();
    await using npm = await npmStart(home);
    await using ssh = await npm.logIn();
    await using terminal = ssh.terminal();
    terminal.write("echo I am i''n\n");
    await terminal.waitFor("I am in");
    npm.interrupt();
    await npm.output.waitFor(/no new connections/);
    terminal.write("echo sti''ll in\n");
    await terminal.waitFor("still in");
    // Two presses within half a second are one to it; whoever wants it to end keeps pressing.
    const pressing = setInterval(npm.interrupt, 100);
    // By itself it would end 20 s after the first.
    await within(15, npm.ending, () => "it did not end at once");
    clearInterval(pressing);
    expect((await terminal.ending).code).toBe(255);
  });
});
