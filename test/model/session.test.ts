/** Walks machines/session.ts: one channel of a client that does what it is told, whose programs run on a real sshd behind a gate. */
import { afterAll, beforeAll, expect } from "vitest";
import { type AnyMachineSnapshot, assign } from "xstate";
import type { Program } from "../../machines/facts.ts";
import { type JudgedRequest, type SessionContext, sessionMachine } from "../../machines/session.ts";
import { Message } from "../../src/ssh/wire.ts";
import { type Gate, openGate } from "../support/model/gate.ts";
import { type LoginWorld, loginWorld, seesRow } from "../support/model/login.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { askingPortal, openPortal, type Portal } from "../support/model/portal.ts";
import { after, REFUSAL, walk } from "../support/model/walk.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { hopTo } from "../support/sshproxy.ts";
import { WireClient } from "../support/wire-client.ts";

const ALLOWED = {
  variable: "LANG",
  command: "echo begun; cat; head -c 1000000 /dev/zero",
  signal: "TERM",
} as const;
/** More than any program here prints. */
const LARGE_WINDOW_BYTES = 2 ** 21;
const BEGUN = "begun\n";
const SIZE = { columns: 80, rows: 24, widthPixels: 0, heightPixels: 0 };

interface SessionWorld extends LoginWorld {
  readonly gate: Gate;
  /** How much the client takes before it says that it can take more. */
  windowBytes: number;
  client: WireClient;
  /** The channel's number on the server's side. */
  channel: number;
  /** How many programs the server behind had been asked for before. */
  programsBefore: number;
}

let portal: Portal;
let sshd: Sshd;
let shared: ObservedDaemon;

beforeAll(async () => {
  portal = await openPortal();
  sshd = await startSshd({ LogLevel: "VERBOSE" });
  shared = await startObserved({
    config: {
      ...askingPortal(portal),
      backend: "sshproxy",
      security: {
        env: { mode: "filter", allow: [ALLOWED.variable] },
        command: { mode: "filter", allow: [ALLOWED.command] },
        signal: { mode: "filter", allow: [ALLOWED.signal] },
      },
    },
  });
});
afterAll(async () => {
  await shared[Symbol.asyncDispose]();
  await sshd[Symbol.asyncDispose]();
  await portal[Symbol.asyncDispose]();
});

const contextOf = (snapshot: AnyMachineSnapshot): SessionContext => snapshot.context;
const asked = (program: Program) => ({ type: "program.requested", program });
const runs = (kind: Program["kind"]) => (snapshot: AnyMachineSnapshot) =>
  contextOf(snapshot).program?.kind === kind;
/** A program that starts is soon one that runs. */
const rests = (snapshot: AnyMachineSnapshot): boolean => !snapshot.matches({ active: "starting" });
const waits = (snapshot: AnyMachineSnapshot): boolean =>
  contextOf(snapshot).environment === undefined && contextOf(snapshot).refusal === undefined;

/** How many sessions of the server behind have been closed by both sides. */
const countOf = (log: string): number => log.split("Close session").length;

/** How many programs it has been asked for. */
const programsOf = (log: string): number =>
  log.match(/Starting session: command|subsystem request for/g)?.length ?? 0;

/** Nothing came on the channel but answers. */
const isSilent = ({ client }: SessionWorld): void => {
  const sent = client.received.map(([type]) => type);
  for (const type of [Message.CHANNEL_DATA, Message.CHANNEL_EXTENDED_DATA, Message.CHANNEL_CLOSE])
    expect(sent).not.toContain(type);
};

/** Asks for something on the channel, and reads the answer. */
const isGranted =
  (
    granted: boolean,
    ...request: Parameters<WireClient["request"]> extends [number, ...infer Rest] ? Rest : never
  ) =>
  async ({ client, channel }: SessionWorld): Promise<void> => {
    expect(await client.request(channel, ...request)).toBe(granted);
  };

const terminal = ["pty-req", "xterm", ...[80, 24, 0, 0].map((uint32) => ({ uint32 })), ""] as const;
const size = ["window-change", ...[120, 40, 0, 0].map((uint32) => ({ uint32 }))] as const;

walk<SessionWorld>("session", {
  input: { connectionId: "", channel: 0, environment: undefined, settings: {}, closeTimeoutMillis: 0 },
  provide: {
    guards: {
      isAllowed: (_: unknown, { request }: JudgedRequest) =>
        (request.type === "env.requested" && request.name === ALLOWED.variable) ||
        (request.type === "signal.requested" && request.signal === ALLOWED.signal) ||
        (request.type === "pty.requested" && request.terminal.term !== "forbidden") ||
        (request.type === "program.requested" &&
          (request.program.kind === "subsystem" ||
            (request.program.kind === "exec" && request.program.command === ALLOWED.command))),
    },
    actions: { keepProgram: assign((_, { program }: { program: Program }) => ({ program })) },
  },
  key: ({ environment, terminal, program, refusal }: SessionContext) => [
    environment !== undefined,
    terminal !== undefined,
    program?.kind,
    refusal !== undefined,
  ],
  causes: {
    "the client closes the channel": {
      event: { type: "channel.closed" },
      when: rests,
      cause: ({ client, channel }) => client.send(Message.CHANNEL_CLOSE, { uint32: channel }),
    },
    "a variable": {
      event: { type: "env.requested", name: ALLOWED.variable, value: "C" },
      cause: isGranted(true, "env", ALLOWED.variable, "C"),
    },
    "a forbidden variable": {
      event: { type: "env.requested", name: "LD_PRELOAD", value: "" },
      cause: isGranted(false, "env", "LD_PRELOAD", "/tmp/x.so"),
    },
    "a terminal": {
      event: { type: "pty.requested", terminal: { term: "xterm", modes: {}, ...SIZE } },
      when: (snapshot) => contextOf(snapshot).terminal === undefined,
      cause: isGranted(true, ...terminal),
    },
    "a second terminal": {
      event: { type: "pty.requested", terminal: { term: "xterm", modes: {}, ...SIZE } },
      when: (snapshot) => contextOf(snapshot).terminal !== undefined,
      cause: isGranted(false, ...terminal),
    },
    "a forbidden terminal": {
      event: { type: "pty.requested", terminal: { term: "forbidden", modes: {}, ...SIZE } },
      when: (snapshot) => contextOf(snapshot).terminal === undefined,
      arrange: ({ overlay }) => {
        overlay.security = { tty: { mode: "disable" } };
      },
      cause: isGranted(false, ...terminal),
    },
    "a new size": {
      event: { type: "window.changed", size: SIZE },
      when: rests,
      cause: isGranted(true, ...size),
    },
    "a command": {
      event: asked({ kind: "exec", command: ALLOWED.command }),
      cause: isGranted(true, "exec", ALLOWED.command),
    },
    "a forbidden command": {
      event: asked({ kind: "exec", command: "id" }),
      cause: isGranted(false, "exec", "id"),
    },
    "a subsystem that the server lacks": {
      event: asked({ kind: "subsystem", name: "nothing" }),
      cause: isGranted(true, "subsystem", "nothing"),
    },
    "the environment is ready": {
      event: { type: "environment.ready", environment: {} },
      when: waits,
      cause: ({ gate }) => gate.open(),
    },
    "the environment is refused": {
      event: { type: "environment.refused", refusal: REFUSAL },
      when: waits,
      arrange: ({ overlay }) => {
        overlay.sshproxy = {
          ...(overlay.sshproxy as object),
          allowedHostKeyFingerprints: [sshd.userKey.fingerprint],
        };
      },
      cause: ({ gate }) => gate.open(),
    },
    "a signal": {
      event: { type: "signal.requested", signal: ALLOWED.signal },
      when: (snapshot) => runs("exec")(snapshot) && rests(snapshot),
      cause: isGranted(true, "signal", ALLOWED.signal),
    },
    "a forbidden signal": {
      event: { type: "signal.requested", signal: "USR1" },
      when: (snapshot) => runs("exec")(snapshot) && rests(snapshot),
      cause: isGranted(false, "signal", "USR1"),
    },
    "the program starts": { event: { type: "program.started" }, when: runs("exec") },
    "the program ends": {
      event: { type: "program.exited", exit: { kind: "status", status: 0 } },
      when: (snapshot) => snapshot.matches({ active: "running" }),
      cause: ({ client, channel }) => client.send(Message.CHANNEL_EOF, { uint32: channel }),
    },
    "the server behind is lost when its program has ended, and the client has not read everything": {
      event: { type: "environment.refused", refusal: REFUSAL },
      when: (snapshot) => snapshot.matches({ active: "running" }),
      arrange: (world) => {
        world.windowBytes = BEGUN.length;
      },
      cause: async ({ client, channel, gate }) => {
        const before = countOf(sshd.log.text);
        client.send(Message.CHANNEL_EOF, { uint32: channel });
        await expect.poll(() => countOf(sshd.log.text)).toBeGreaterThan(before);
        gate.cut();
      },
    },
    "the program cannot be started": {
      event: { type: "program.failed", error: REFUSAL },
      when: runs("subsystem"),
    },
    "the client leaves the channel open": { event: after(sessionMachine, "session.finishing") },
  },
  world: async () => {
    const gate = await openGate(sshd.target);
    const login = loginWorld(portal);
    login.overlay.sshproxy = { ...hopTo(sshd), port: gate.port };
    return Object.assign(login, {
      gate,
      windowBytes: LARGE_WINDOW_BYTES,
      // Both are there once the walk begins.
      client: undefined as unknown as WireClient,
      channel: -1,
      programsBefore: programsOf(sshd.log.text),
      [Symbol.asyncDispose]: () => gate[Symbol.asyncDispose](),
    });
  },
  daemon: async () => shared,
  begin: async (world, daemon) => {
    world.client = await WireClient.login(daemon, world.username);
    world.channel = await world.client.openSession(0, world.windowBytes);
  },
  looks: {
    "session.preparing": async (world, daemon) => {
      await seesRow(world, daemon, { sessions: 1 });
      isSilent(world);
      expect(programsOf(sshd.log.text)).toBe(world.programsBefore);
    },
    "session.awaitingEnvironment": async (world, daemon) => {
      await seesRow(world, daemon, { sessions: 1, state: "provisioning" });
      isSilent(world);
    },
    "session.active.starting": ({ programsBefore }) =>
      expect.poll(() => programsOf(sshd.log.text)).toBe(programsBefore + 1),
    "session.active.running": async ({ client }) => {
      if (client.received.some((payload) => payload.includes("begun"))) return;
      expect((await client.next(Message.CHANNEL_DATA)).toString()).toContain("begun");
    },
    "session.finishing": async ({ client, channel, windowBytes }) => {
      // Who reads nothing does not read the end, either.
      if (windowBytes === BEGUN.length)
        client.send(Message.CHANNEL_WINDOW_ADJUST, { uint32: channel }, { uint32: LARGE_WINDOW_BYTES });
      const end = await client.next(Message.CHANNEL_REQUEST);
      expect(end.toString("latin1")).toMatch(/exit-(status|signal)/);
      await client.next(Message.CHANNEL_CLOSE);
    },
    "session.closed": async (world, daemon) => {
      const { client } = world;
      if (client.received.every(([type]) => type !== Message.CHANNEL_CLOSE))
        await client.next(Message.CHANNEL_CLOSE);
      await seesRow(world, daemon, { sessions: 0 });
    },
  },
  unreached: {
    "session.active|xstate.error.actor.program|0":
      "the source reports what fails as an event; that it throws itself would be a bug",
  },
});
