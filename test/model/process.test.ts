/** Walks machines/process.ts: logins whose programs run on this machine, where it can give what is asked, and where not. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { type Host, processMachine } from "../../machines/process.ts";
import {
  type LoginWorld,
  loginWorld,
  seesGranted,
  seesProgram,
  seesRefusal,
} from "../support/model/login.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { askingPortal, openPortal, type Portal } from "../support/model/portal.ts";
import { done, fails, walk } from "../support/model/walk.ts";
import { type Directory, directory } from "../support/resources.ts";

/** What a daemon's machine lacks, and how it is taken from that daemon alone. */
const lacks = {
  nothing: "true",
  bubblewrap: "mount --bind /dev/null $(command -v bwrap)",
  koffi: "mount -t tmpfs none node_modules/koffi",
} as const;

interface ProcessWorld extends LoginWorld {
  lack: keyof typeof lacks;
}

let home: Directory;
let portal: Portal;
const daemons = new Map<ProcessWorld["lack"], ObservedDaemon>();

beforeAll(async () => {
  home = await directory();
  await writeFile(join(home.path, "file"), "");
  portal = await openPortal();
});
afterAll(async () => {
  for (const daemon of daemons.values()) await daemon[Symbol.asyncDispose]();
  await portal[Symbol.asyncDispose]();
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

walk<ProcessWorld>("process", {
  input: { connectionId: "", identity: {}, settings: {} },
  causes: {
    "bubblewrap works": { event: host({}) },
    "no isolation is wanted": {
      event: host({ wanted: "none" }),
      arrange: (world) => configured(world, { isolation: "none", home: join(home.path, "%u") }),
    },
    "isolation is demanded and bubblewrap is missing": {
      event: host({ wanted: "bubblewrap", sandbox: { usable: false, reason: "" } }),
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
        world.files["/tmp/greeting"] = "";
        world.files["/tmp/greeting/below"] = "";
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
  world: async () => Object.assign(loginWorld(portal), { lack: "nothing" as const }),
  daemon: async ({ lack }) => {
    const daemon =
      daemons.get(lack) ??
      (await startObserved({
        config: { ...askingPortal(portal), backend: "process" },
        beforehand: lacks[lack],
      }));
    daemons.set(lack, daemon);
    return daemon;
  },
  begin: (world, daemon) => world.logIn(daemon),
  looks: {
    "process.inspectingHost": seesGranted,
    "process.preparingHome": seesGranted,
    "process.writingFiles": seesGranted,
    "process.opening": seesGranted,
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
