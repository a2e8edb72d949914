/**
 * Walks machines/process.ts: logins whose programs run on this machine, where it can give what is asked, and where not.
 * The client opens its session at the end: until then, what was made for its connection can be looked at.
 */
import { chmod, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { type Host, processMachine } from "../../machines/process.ts";
import { Message } from "../../src/ssh/wire.ts";
import {
  type LoginWorld,
  loginWorld,
  type RefusalWords,
  seesGranted,
  seesTold,
} from "../support/model/login.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { askingPortal, openPortal, type Portal } from "../support/model/portal.ts";
import { done, fails, walk } from "../support/model/walk.ts";
import { type Directory, directory, eventually, processTree } from "../support/resources.ts";
import { WireClient } from "../support/wire-client.ts";

/** What a daemon's machine lacks, and how it is taken from that daemon alone. */
const lacks = {
  nothing: "true",
  bubblewrap: "mount --bind /dev/null $(command -v bwrap)",
  koffi: "mount -t tmpfs none node_modules/koffi",
} as const;

const GREETING = "Good morning.";

interface ProcessWorld extends LoginWorld {
  lack: keyof typeof lacks;
  isolated: boolean;
  /** Of the login, as programs see it. */
  file: string;
  /** It is there once the walk begins. */
  client: WireClient;
}

let home: Directory;
/** The daemons' directory for temporary files. */
let temporary: Directory;
let portal: Portal;
const daemons = new Map<ProcessWorld["lack"], ObservedDaemon>();

beforeAll(async () => {
  home = await directory();
  await writeFile(join(home.path, "file"), "");
  temporary = await directory();
  // Sandboxes belong to another user.
  await chmod(temporary.path, 0o755);
  portal = await openPortal();
});
afterAll(async () => {
  for (const daemon of daemons.values()) await daemon[Symbol.asyncDispose]();
  await portal[Symbol.asyncDispose]();
  await temporary[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

const host = (facts: Partial<Host>) =>
  done(processMachine, "process.inspectingHost", {
    wanted: "auto",
    sandbox: { usable: true },
    shell: "/bin/sh",
    shellsTried: "",
    ...facts,
  } satisfies Host);

const configured = (world: ProcessWorld, section: Record<string, unknown>): void => {
  world.overlay.process = section;
};

/** What this machine has of connections, by path; only one is there at a time. */
const workspaces = async (): Promise<readonly string[]> =>
  (await readdir(temporary.path))
    .filter((name) => name.startsWith("berth-connection-"))
    .map((name) => join(temporary.path, name));

const workspace = (): Promise<string> =>
  eventually(async () => (await workspaces())[0], "something was made for the connection");

const areRemoved = (): Promise<boolean> =>
  eventually(async () => (await workspaces()).length === 0, "what was made for the connection is removed");

const homeOf = async ({ isolated, username }: ProcessWorld): Promise<string> =>
  isolated ? join(await workspace(), "home") : join(home.path, username);

/** The login's file, as this machine sees it. */
const fileOf = async ({ isolated, file }: ProcessWorld): Promise<string> =>
  isolated ? join(await workspace(), file) : file;

const reads = (path: string, text: string): Promise<boolean> =>
  eventually(
    async () => (await readFile(path, "utf8").catch(() => "")).includes(text),
    `${path} has ${text}`,
  );

const wordsOf = async (pid: number): Promise<readonly string[]> =>
  (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");

/** A program runs on this machine, in a sandbox or in none, and reads the login's file. */
const seesProgram = async (world: ProcessWorld, { pid }: ObservedDaemon): Promise<void> => {
  const { client, file, isolated } = world;
  const channel = await client.openSession();
  expect(await client.request(channel, "exec", `cat ${file}; cat`)).toBe(true);
  expect((await client.next(Message.CHANNEL_DATA)).toString()).toContain(GREETING);
  const programs = await eventually(async () => {
    const found = await Promise.all((await processTree(pid)).map(wordsOf));
    return found.some(([program]) => program === "cat") && found;
  }, "the program that waits for its input is one of the daemon's processes");
  expect(programs.some(([program = ""]) => basename(program) === "bwrap")).toBe(isolated);
  client.send(Message.CHANNEL_EOF, { uint32: channel });
  expect(await client.outcome()).toMatchObject({ status: 0 });
  client.socket.destroy();
  await areRemoved();
};

/** The user reads one of these sentences in the place of a program. */
const seesRefusal =
  (...refusals: readonly RefusalWords[]) =>
  async (world: ProcessWorld, daemon: ObservedDaemon): Promise<void> => {
    const { client } = world;
    const channel = await client.openSession();
    expect(await client.request(channel, "exec", "echo in")).toBe(true);
    const { stdout, stderr, status } = await client.outcome();
    expect({ stdout, status }).toEqual({ stdout: "", status: 255 });
    await seesTold(world, daemon, stderr, refusals);
    client.send(Message.CHANNEL_CLOSE, { uint32: channel });
    await areRemoved();
  };

walk<ProcessWorld>("process", {
  input: { connectionId: "", identity: {}, settings: {} },
  causes: {
    "bubblewrap works": {
      event: host({}),
      arrange: (world) => {
        world.isolated = true;
        world.file = "/tmp/greeting";
      },
    },
    "no isolation is wanted": {
      event: host({ wanted: "none" }),
      arrange: (world) => {
        configured(world, { isolation: "none", home: join(home.path, "%u") });
        world.file = join(home.path, world.username, "greeting");
      },
    },
    "isolation is demanded and bubblewrap is missing": {
      event: host({ wanted: "bubblewrap", sandbox: { usable: false, reason: "", isCertain: true } }),
      arrange: (world) => {
        world.lack = "bubblewrap";
        configured(world, { isolation: "bubblewrap" });
      },
    },
    "the configured shell does not exist": {
      event: host({ shell: undefined }),
      arrange: (world) => configured(world, { shell: "/usr/bin/no-such-shell" }),
    },
    "the home is made": { event: done(processMachine, "process.preparingHome", {}) },
    "the home is a file": {
      event: fails(processMachine, "process.preparingHome"),
      arrange: (world) =>
        configured(world, { ...(world.overlay.process as object), home: join(home.path, "file", "below") }),
    },
    "the login's files are written": {
      event: done(processMachine, "process.writingFiles"),
    },
    "a file of the login is in another's way": {
      event: fails(processMachine, "process.writingFiles"),
      arrange: (world) => {
        world.files[`${world.file}/below`] = "";
      },
    },
    "the environment opens": { event: done(processMachine, "process.opening", {}) },
    "the C library cannot be reached": {
      event: fails(processMachine, "process.opening"),
      arrange: (world) => {
        world.lack = "koffi";
      },
    },
  },
  world: async () => {
    const world: ProcessWorld = Object.assign(loginWorld(portal), {
      lack: "nothing" as const,
      isolated: false,
      file: "",
      client: undefined as unknown as WireClient,
      [Symbol.asyncDispose]: async () => {
        world.client.socket.destroy();
        await areRemoved();
      },
    });
    return world;
  },
  daemon: async ({ lack, files, file }) => {
    if (file !== "") files[file] = GREETING;
    const daemon =
      daemons.get(lack) ??
      (await startObserved({
        config: { ...askingPortal(portal), backend: "process" },
        env: { TMPDIR: temporary.path },
        beforehand: lacks[lack],
      }));
    daemons.set(lack, daemon);
    return daemon;
  },
  begin: async (world, daemon) => {
    world.client = await WireClient.login(daemon, world.username);
  },
  looks: {
    "process.inspectingHost": seesGranted,
    "process.preparingHome": workspace,
    "process.writingFiles": async (world) => {
      const path = await homeOf(world);
      await eventually(async () => (await stat(path).catch(() => undefined))?.isDirectory(), path);
      if (world.isolated) await reads(join(await workspace(), "etc/passwd"), world.username);
    },
    "process.opening": async (world) => {
      await reads(await fileOf(world), GREETING);
    },
    "process.ready": seesProgram,
    "process.refused": seesRefusal(
      ["PROCESS_ISOLATION_UNAVAILABLE", "Your environment cannot be isolated on this server."],
      ["PROCESS_SHELL_NOT_FOUND", "There is no shell for you on this server."],
    ),
    "process.failed": seesRefusal(
      ["PROCESS_HOME_FAILED", "Your home directory could not be prepared."],
      ["PROCESS_FILE_WRITE_FAILED", "The files of your login could not be prepared."],
      ["PROCESS_LIBRARY_UNAVAILABLE", "Programs cannot be run on this server."],
    ),
  },
});
