/**
 * The section `security`: every option of the schema against every kind of request. What is allowed reaches the program,
 * what is not gets the failure answer and its code, and nothing else changes.
 */
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defaults } from "../../src/config/schema.ts";
import { modes } from "../../src/config/sections/security.ts";
import { Message, Reader } from "../../src/ssh/wire.ts";
import { run, transcriptOf } from "../support/command.ts";
import { type Configuration, ENTRY } from "../support/daemon.ts";
import { freePort } from "../support/ports.ts";
import { directory } from "../support/resources.ts";
import { SshClient } from "../support/ssh.ts";
import { startTenants, type Tenant, type Tenants } from "../support/tenants.ts";
import { ed25519Key, signedRequest, WireClient } from "../support/wire-client.ts";

let tenants: Tenants;
beforeAll(async () => {
  tenants = await startTenants({ backend: "process", process: { isolation: "none" } });
});
afterAll(async () => tenants[Symbol.asyncDispose]());

const ECHO = 'echo "probe=$PROBE"; test -t 0 && echo terminal; exit 0';
const TRAP = "trap 'echo caught; exit 0' USR1; echo ready; while :; do sleep 0.1; done";

/** A kind of request, the code of its refusal, and what the probe below asks for. */
const requests = {
  env: { code: "SECURITY_ENV_REJECTED", asked: ["PROBE"] },
  tty: { code: "SECURITY_TTY_REJECTED", asked: [] },
  command: { code: "SECURITY_EXEC_REJECTED", asked: [ECHO, TRAP] },
  shell: { code: "SECURITY_SHELL_REJECTED", asked: [] },
  subsystem: { code: "SECURITY_SUBSYSTEM_REJECTED", asked: ["sftp"] },
  signal: { code: "SECURITY_SIGNAL_REJECTED", asked: ["USR1"] },
  sessions: { code: "SECURITY_MAX_SESSIONS", asked: [] },
  forwardingMode: { code: "SECURITY_FORWARDING_REJECTED", asked: [] },
  socketForwardingMode: { code: "SECURITY_FORWARDING_REJECTED", asked: [] },
  reverseForwardingMode: { code: "SECURITY_REVERSE_FORWARDING_REJECTED", asked: [] },
  socketListenMode: { code: "SECURITY_REVERSE_FORWARDING_REJECTED", asked: [] },
  x11ForwardingMode: { code: "SECURITY_X11_FORWARDING_REJECTED", asked: [] },
} as const;
type Request = keyof typeof requests;

const names = Object.keys(requests) as readonly Request[];
const filtered = ["env", "tty", "command", "shell", "subsystem", "signal"] as const;
const forwardings = Object.keys(defaults.security.forwarding) as readonly Request[];

/** An option with a value, and which kinds of requests it refuses that the defaults allow, or the other way round. */
interface Row {
  readonly option: string;
  readonly security: Configuration;
  readonly changes: readonly Request[];
}

const refuses = (mode: string): boolean => mode === "filter" || mode === "disable";
/** Something of the right kind that the probe does not ask for. */
const other = { env: "OTHER", command: "true", subsystem: "other", signal: "HUP" } as const;

/** The rows of a list: whether it lets the probe through in a mode. */
const listRows = (request: keyof typeof other, list: "allow" | "deny"): readonly Row[] => {
  const { asked } = requests[request];
  const row = (section: Configuration, isRefused: boolean): Row => ({
    option: `${request}: ${JSON.stringify(section).slice(0, 60)}`,
    security: { [request]: section },
    changes: isRefused ? [request] : [],
  });
  return list === "allow"
    ? [
        row({ mode: "filter", allow: asked }, false),
        row({ mode: "filter", allow: [other[request]] }, true),
        row({ mode: "enable", allow: [other[request]] }, false),
        row({ mode: "disable", allow: asked }, true),
      ]
    : [
        row({ mode: "enable", deny: asked }, true),
        row({ mode: "enable", deny: [other[request]] }, false),
        row({ mode: "filter", allow: asked, deny: asked }, true),
        row({ mode: "disable", deny: [other[request]] }, true),
      ];
};

/** For every leaf of the schema its rows: an option that is new and has none fails the first test. */
const rowsOf = (path: string): readonly Row[] => {
  const [section = "", key = ""] = path.split(".");
  if (path === "defaultMode") {
    return modes.map((mode) => ({
      option: `${path}: ${mode}`,
      security: { defaultMode: mode },
      changes: refuses(mode) ? filtered : [],
    }));
  }
  if (section === "forwarding") {
    return modes.map((mode) => ({
      option: `${path}: ${mode}`,
      security: { forwarding: { [key]: mode } },
      // An empty mode in a file is the default, as in the reference: off.
      changes: mode === "enable" ? [key as Request] : [],
    }));
  }
  if (key === "mode") {
    return modes.map((mode) => ({
      option: `${path}: ${mode}`,
      security: { [section]: { mode } },
      changes: refuses(mode) ? [section as Request] : [],
    }));
  }
  if (key === "allow" || key === "deny") return listRows(section as keyof typeof other, key);
  if (path === "maxSessions") {
    return [1, 2, -1].map((maxSessions) => ({
      option: `${path}: ${maxSessions}`,
      security: { maxSessions },
      changes: maxSessions === 1 ? ["sessions"] : [],
    }));
  }
  // What it changes is not whether something runs, but what: it has tests of its own.
  if (path === "forceCommand") return [{ option: path, security: { forceCommand: "" }, changes: [] }];
  return [];
};

const leaves = (value: object, path = ""): readonly string[] =>
  Object.entries(value).flatMap(([key, child]) =>
    typeof child === "object" && !Array.isArray(child) && child !== null
      ? leaves(child, `${path}${key}.`)
      : [`${path}${key}`],
  );

const options = leaves(defaults.security);
const table = options.flatMap(rowsOf);

describe("every option against every kind of request", () => {
  it("is in the table", () => {
    expect(options.filter((path) => rowsOf(path).length === 0)).toEqual([]);
    expect(table.length).toBeGreaterThan(50);
  });

  it.each(table.map((row) => [row.option, row] as const))("%s", async (_, { security, changes }) => {
    const tenant = tenants.tenant({ security });
    const allowed = Object.fromEntries(
      names.map((name) => [name, forwardings.includes(name) === changes.includes(name)]),
    ) as Readonly<Record<Request, boolean>>;
    const found = await probe(tenant, allowed);
    expect(found.answers).toEqual(found.expected);
    expect(found.codes.toSorted()).toEqual(
      found.asked.flatMap((name) => (allowed[name] ? [] : [requests[name].code])).toSorted(),
    );
  });
});

interface Probed {
  /** What came back, and what should have. */
  readonly answers: Readonly<Record<string, unknown>>;
  readonly expected: Readonly<Record<string, unknown>>;
  /** What was asked for. */
  readonly asked: readonly Request[];
  /** The codes of refusals that the log has. */
  readonly codes: readonly string[];
}

/** Asks for everything over one connection. */
const probe = async (tenant: Tenant, allowed: Readonly<Record<Request, boolean>>): Promise<Probed> => {
  const asked: Request[] = [];
  const answers: Record<string, unknown> = {};
  const expected: Record<string, unknown> = {};
  const seen = (name: Request, answer: unknown, wanted: unknown = allowed[name]): void => {
    asked.push(name);
    answers[name] = answer;
    expected[name] = wanted;
  };
  const client = await login(tenant);
  let next = 0;
  const open = async (): Promise<{ readonly us: number; readonly them: number }> => {
    const us = next++;
    return { us, them: await client.openSession(us) };
  };

  const one = await open();
  seen("env", await client.request(one.them, "env", "PROBE", "here"));
  const terminal = [
    "xterm",
    { uint32: 80 },
    { uint32: 24 },
    { uint32: 0 },
    { uint32: 0 },
    Buffer.of(0),
  ] as const;
  seen("tty", await client.request(one.them, "pty-req", ...terminal));
  const x11 = [true, "MIT-MAGIC-COOKIE-1", "00", { uint32: 0 }] as const;
  const isX11Granted = await client.request(one.them, "x11-req", ...x11);
  seen("x11ForwardingMode", isX11Granted, false);
  // While the first is open, another one is a second session.
  client.send(Message.CHANNEL_OPEN, "session", { uint32: 99 }, { uint32: 2 ** 20 }, { uint32: 2 ** 15 });
  const opened = await client.next(Message.CHANNEL_OPEN_CONFIRMATION, Message.CHANNEL_OPEN_FAILURE);
  seen("sessions", opened[0] === Message.CHANNEL_OPEN_CONFIRMATION);
  if (opened[0] === Message.CHANNEL_OPEN_CONFIRMATION) {
    const second = new Reader(opened, 5).uint32();
    client.send(Message.CHANNEL_CLOSE, { uint32: second });
    await client.next(Message.CHANNEL_CLOSE);
  }
  seen("command", await client.request(one.them, "exec", ECHO));
  if (allowed.command) {
    const output = await outputOf(client, one.us);
    answers.seenByProgram = output;
    expected.seenByProgram = [
      `probe=${allowed.env ? "here" : ""}`,
      ...(allowed.tty ? ["terminal"] : []),
    ].join("\n");
  }
  client.send(Message.CHANNEL_CLOSE, { uint32: one.them });

  const two = await open();
  seen("shell", await client.request(two.them, "shell"));
  if (allowed.shell) {
    client.send(Message.CHANNEL_DATA, { uint32: two.them }, "echo shell $((40 + 2)); exit\n");
    answers.saidByShell = await outputOf(client, two.us);
    expected.saidByShell = "shell 42";
  }
  client.send(Message.CHANNEL_CLOSE, { uint32: two.them });

  const three = await open();
  seen("subsystem", await client.request(three.them, "subsystem", "sftp"));
  if (allowed.subsystem) {
    // SSH_FXP_INIT of version 3 is answered by SSH_FXP_VERSION, number 2.
    client.send(Message.CHANNEL_DATA, { uint32: three.them }, Buffer.of(0, 0, 0, 5, 1, 0, 0, 0, 3));
    const data = new Reader(await client.next(Message.CHANNEL_DATA), 5).string();
    answers.saidBySftp = data[4];
    expected.saidBySftp = 2;
  }
  client.send(Message.CHANNEL_CLOSE, { uint32: three.them });

  const four = await open();
  if (allowed.command && (await client.request(four.them, "exec", TRAP))) {
    await client.next(Message.CHANNEL_DATA);
    seen("signal", await client.request(four.them, "signal", "USR1"));
    if (allowed.signal) {
      answers.saidByTrap = new Reader(await client.next(Message.CHANNEL_DATA), 5).string().toString();
      expected.saidByTrap = "caught\n";
    }
  }
  client.send(Message.CHANNEL_CLOSE, { uint32: four.them });

  for (const [name, type] of [
    ["forwardingMode", "direct-tcpip"],
    ["socketForwardingMode", "direct-streamlocal@openssh.com"],
  ] as const) {
    const fields =
      type === "direct-tcpip"
        ? ["127.0.0.1", { uint32: 9 }, "127.0.0.1", { uint32: 9 }]
        : ["/nowhere", "", { uint32: 0 }];
    const channel = [{ uint32: next++ }, { uint32: 2 ** 20 }, { uint32: 2 ** 15 }];
    client.send(Message.CHANNEL_OPEN, type, ...channel, ...fields);
    await client.next(Message.CHANNEL_OPEN_FAILURE);
    seen(name, false, false);
  }
  for (const [name, type, ...fields] of [
    ["reverseForwardingMode", "tcpip-forward", "127.0.0.1", { uint32: 0 }],
    ["socketListenMode", "streamlocal-forward@openssh.com", "/tmp/nowhere"],
  ] as const) {
    client.send(Message.GLOBAL_REQUEST, type, true, ...fields);
    await client.next(Message.REQUEST_FAILURE);
    seen(name, false, false);
  }
  client.socket.end();
  await tenant.next("SSH_DISCONNECTED", ({ message }) => message.includes("closed"));
  const codes = tenant.lines().flatMap(({ code }) => (code.startsWith("SECURITY_") ? [code] : []));
  return { answers, expected, asked, codes };
};

const login = async ({ target }: Tenant): Promise<WireClient> => {
  const client = await WireClient.connect(target);
  await client.beginAuthentication();
  client.sendRaw(signedRequest(client.sessionId, target.username, ed25519Key()));
  await client.next(Message.USERAUTH_SUCCESS);
  return client;
};

/** What a program wrote to its standard output until its channel was closed, without the ends of lines. */
const outputOf = async (client: WireClient, channel: number): Promise<string> => {
  while ((await client.next(Message.CHANNEL_CLOSE)).readUInt32BE(1) !== channel);
  return client.received
    .filter((message) => message[0] === Message.CHANNEL_DATA && message.readUInt32BE(1) === channel)
    .map((message) => new Reader(message, 5).string().toString())
    .join("")
    .trim()
    .replaceAll("\r", "");
};

describe("real clients", () => {
  const clientOf = (tenant: Tenant): Promise<SshClient> => SshClient.to(tenant.target);

  it("read what a policy lets through, and why the rest is not there", async () => {
    const tenant = tenants.tenant({
      security: {
        defaultMode: "filter",
        env: { allow: ["LC_GOOD"] },
        command: { allow: ["echo $LC_GOOD$LC_BAD"] },
        subsystem: { allow: ["sftp"] },
      },
    });
    await using client = await clientOf(tenant);
    const sending = { env: { LC_GOOD: "good", LC_BAD: "bad" }, options: { SendEnv: "LC_*" } };
    expect(await client.run("echo $LC_GOOD$LC_BAD", sending)).toMatchObject({ code: 0, stdout: "good\n" });
    expect(await client.run("echo $LC_GOOD$LC_BAD ", sending)).toMatchObject({ code: 255, stdout: "" });
    expect(await client.run(undefined, { stdin: "echo in\n" })).toMatchObject({ code: 255, stdout: "" });
    expect((await client.sftp(["pwd"])).stdout).toContain("working directory");
    expect((await client.subsystem("other")).code).toBe(255);
    const terminal = await client.run("echo $LC_GOOD$LC_BAD", { ...sending, terminal: true });
    expect(terminal).toMatchObject({
      code: 255,
      stderr: expect.stringContaining("PTY allocation request failed"),
    });
    await tenant.next("SECURITY_ENV_REJECTED", { name: "LC_BAD", option: "security.env" });
    for (const code of ["EXEC", "SHELL", "SUBSYSTEM", "TTY"]) await tenant.next(`SECURITY_${code}_REJECTED`);
  });

  it("get no forwarding by default, and their sessions go on", async () => {
    const tenant = tenants.tenant({});
    await using client = await clientOf(tenant);
    const port = await freePort();
    const options = { RemoteForward: `${await freePort()} 127.0.0.1:${port}`, ExitOnForwardFailure: "no" };
    const remote = await client.run("echo in", { options });
    expect(remote).toMatchObject({ code: 0, stdout: "in\n" });
    expect(remote.stderr).toContain("remote port forwarding failed");
    await tenant.next("SECURITY_REVERSE_FORWARDING_REJECTED", {
      option: "security.forwarding.reverseForwardingMode",
    });
    const here = await freePort();
    await using local = client.start("echo in; cat", {
      options: { LocalForward: `${here} 127.0.0.1:${port}` },
    });
    await transcriptOf(local.stdout).waitFor("in");
    connect({ host: "127.0.0.1", port: here }).on("error", () => {});
    await transcriptOf(local.stderr).waitFor("administratively prohibited");
    await tenant.next("SECURITY_FORWARDING_REJECTED", { option: "security.forwarding.forwardingMode" });
  });

  it("run the forced command whatever they ask for, and cannot write what it reads", async () => {
    const forceCommand = 'echo "forced [$SSH_ORIGINAL_COMMAND]"';
    const tenant = tenants.tenant({ security: { forceCommand } });
    await using client = await clientOf(tenant);
    const lying = { env: { SSH_ORIGINAL_COMMAND: "a lie" }, options: { SendEnv: "SSH_ORIGINAL_COMMAND" } };
    expect((await client.run("rm -r /", lying)).stdout).toBe("forced [rm -r /]\n");
    expect((await client.run(undefined, lying)).stdout).toBe("forced []\n");
    expect((await client.subsystem("sftp", lying)).stdout).toBe("forced [sftp]\n");
    expect((await client.run("true", { terminal: true })).stdout).toBe("forced [true]\r\n");
    await tenant.next("SECURITY_ENV_REJECTED", { option: "security.forceCommand" });
    await tenant.next("SECURITY_EXEC_FORCING_COMMAND");
  });

  it("may open as many sessions as are allowed, and one more when one has ended", async () => {
    const tenant = tenants.tenant({ security: { maxSessions: 2 } });
    await using client = await clientOf(tenant);
    await using shared = await client.multiplexed();
    await using first = shared.start("cat");
    await using second = shared.start("echo second; cat");
    await transcriptOf(second.stdout).waitFor("second");
    first.stdin.write("first\n");
    await transcriptOf(first.stdout).waitFor("first");
    expect((await shared.run("echo third")).stderr).toContain("refused by peer");
    await tenant.next("SECURITY_MAX_SESSIONS", { maxSessions: 2 });
    second.stdin.end();
    await second.ending;
    expect((await shared.run("echo third")).stdout).toBe("third\n");
    first.stdin.end();
    expect(await first.ending).toEqual({ code: 0, signal: null });
  });
});

describe("--check-config", () => {
  it("warns of policies that look safe", async () => {
    await using home = await directory();
    const file = join(home.path, "berth.yaml");
    const security = { forceCommand: "/bin/menu", command: { mode: "filter" } };
    const auth = { publicKey: { method: "users" }, users: [{ name: "jane" }] };
    await writeFile(file, JSON.stringify({ auth, backend: "process", security }));
    const { code, stdout } = await run(process.execPath, [ENTRY, "--config", file, "--check-config"]);
    expect(code).toBe(0);
    expect(stdout).toContain("warning: security.forceCommand is set and subsystems are open");
    expect(stdout).toContain("warning: security.command is in filter mode with an empty allow list");
    expect(stdout).toContain("warning: security.defaultMode is not set");
  });
});

describe("the configuration server", () => {
  it("tightens and loosens for a user what the file says", async () => {
    await using strict = await startTenants({
      backend: "process",
      process: { isolation: "none" },
      security: { defaultMode: "disable", command: { mode: "filter", allow: ["echo listed"] } },
    });
    const outcomes = async (security: Configuration) => {
      await using client = await SshClient.to(strict.tenant({ security }).target);
      const codes = [];
      for (const command of ["echo listed", "echo other"]) codes.push((await client.run(command)).code);
      return codes;
    };
    expect(await outcomes({})).toEqual([0, 255]);
    expect(await outcomes({ command: { mode: "enable" } })).toEqual([0, 0]);
    expect(await outcomes({ command: { mode: "disable" } })).toEqual([255, 255]);
    expect(await outcomes({ command: { allow: ["echo other"] } })).toEqual([255, 0]);
  });

  it.each([
    [{ defaultMode: "deny" }, "security.defaultMode"],
    [{ env: { mode: "allow" } }, "security.env.mode"],
    [{ signal: { mode: "filter", allow: ["SIGTERM"] } }, "security.signal.allow[0]"],
    [{ command: { deny: ["ls"] } }, "security.command.deny"],
    [{ maxSessions: -2 }, "security.maxSessions"],
  ])("that answers %j lets nobody in", async (security, path) => {
    const tenant = tenants.tenant({ security });
    await using client = await SshClient.to(tenant.target);
    expect(await client.run("echo in")).toMatchObject({ code: 255, stdout: "" });
    const { message } = await tenant.next("BACKEND_CONFIG_ERROR");
    expect(message).toContain(path);
  });
});
