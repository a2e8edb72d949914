/** Walks machines/connection.ts: clients that come, prove who they are or don't, open sessions, vanish and misbehave; webhooks, servers and operators that refuse them. */
import { afterAll, beforeAll, expect } from "vitest";
import type { AnyMachineSnapshot } from "xstate";
import { connectionMachine } from "../../machines/connection.ts";
import type { BackendName } from "../../machines/facts.ts";
import { Message } from "../../src/ssh/wire.ts";
import {
  type ConnectionContext,
  contextOf,
  enteringCauses,
  isInTime,
  isSlow,
  REFUSED,
} from "../support/model/connection-entering.ts";
import {
  begin,
  type ConnectionWorld,
  clientOf,
  connectionIn,
  connectionWorld,
  type Servers,
  startServers,
} from "../support/model/connection-world.ts";
import { seesGranted, seesRow } from "../support/model/login.ts";
import type { ObservedDaemon } from "../support/model/observed.ts";
import { firstThen } from "../support/model/portal.ts";
import { after, done, type Look, REFUSAL, walk } from "../support/model/walk.ts";
import { everything, listenersOf } from "../support/sockets.ts";
import { answer } from "../support/webhook-server.ts";

let servers: Servers;

beforeAll(async () => {
  servers = await startServers();
});
afterAll(() => servers[Symbol.asyncDispose]());

const opened = (count: number) => (snapshot: AnyMachineSnapshot) =>
  contextOf(snapshot).sessions.length === count;
/** An operator has ended it, and it waits for the provider. */
const isEnding = (snapshot: AnyMachineSnapshot): boolean =>
  snapshot.matches("closing") && isSlow(snapshot) && contextOf(snapshot).refusal !== undefined;
/** It waits for the client, or for who was told to wait: not for an answer that comes at once. */
const waits = (snapshot: AnyMachineSnapshot): boolean =>
  isInTime(snapshot) &&
  !["handshaking", "authorizing", "reportingMismatch", "configuring"].some((login) =>
    snapshot.matches({ entering: { login } }),
  ) &&
  !(snapshot.matches("provisioning") && contextOf(snapshot).settings?.backend === "process");
const takesClients = (snapshot: AnyMachineSnapshot): boolean =>
  snapshot.matches("provisioning") || snapshot.matches({ serving: "open" });

const openSession = async (world: ConnectionWorld): Promise<void> => {
  world.channels.push(await (await clientOf(world)).openSession(world.channels.length));
};

const closeSession = async (world: ConnectionWorld, channel: number): Promise<void> => {
  if (world.closed.has(channel)) return;
  world.closed.add(channel);
  (await clientOf(world)).send(Message.CHANNEL_CLOSE, { uint32: world.channels[channel] ?? 0 });
};

const READY = { kind: "ready", environment: {} };
const backendEnds = (backend: BackendName, output: object) => ({
  event: done(connectionMachine, "connection.provisioning", output),
  when: (snapshot: AnyMachineSnapshot) => contextOf(snapshot).settings?.backend === backend,
});

const stop = (world: ConnectionWorld): void => {
  world.kind.isStopped = true;
};
const disconnect = async (_: ConnectionWorld, daemon: ObservedDaemon): Promise<void> => {
  const path = `/api/connections/${connectionIn(daemon)}/disconnect`;
  expect((await (await daemon.inspector()).request(path, { method: "POST" })).status).toBe(200);
};

const connected: Look<ConnectionWorld> = async (_, daemon) => {
  await daemon.log.any("SSH_CONNECTED", { connectionId: connectionIn(daemon) });
};

/** The client has got such a message. */
const isAnswered =
  (type: number): Look<ConnectionWorld> =>
  async (world) => {
    const { received } = await clientOf(world);
    await expect.poll(() => received.map(([each]) => each)).toContain(type);
  };

/** A webhook was asked about the user. */
const isAsked =
  (path: string): Look<ConnectionWorld> =>
  ({ username }) =>
    expect.poll(() => servers.portal.asked(username)).toContain(path);

/** The client is told that it is over, unless it has gone itself. */
const isLeft: Look<ConnectionWorld> = async (world, daemon) => {
  const { socket } = world;
  if (socket !== undefined) {
    expect((await everything(socket)).toString("latin1")).toMatch(/^SSH-2\.0-/);
    return;
  }
  const client = await clientOf(world);
  if (!client.socket.destroyed) await isAnswered(Message.DISCONNECT)(world, daemon);
};

const CHANNEL_ENDS = "channels end with their connection, and their ends are told before what they lead to";
const IN_VAIN = "the logins before the one that is authorized are not";

walk<ConnectionWorld>("connection", {
  input: {
    connectionId: "",
    remoteAddress: "",
    methods: [],
    kerberosMethods: [],
    attemptLimit: 6,
    authorizes: true,
    loginGraceMillis: 0,
    interactiveGraceMillis: 0,
    reportMillis: 0,
    closeTimeoutMillis: 0,
    releaseTimeoutMillis: 0,
  },
  provide: {
    guards: {
      needsAuthorization: ({ context }: { context: ConnectionContext }) =>
        context.identity?.username !== "unauthorized",
      mayOpenSession: (_: unknown, { open }: { open: number }) => open < 2,
      mayForward: (_: unknown, { forwarding }: { forwarding: string }) => forwarding === "tcpip-forward",
    },
  },
  key: ({ sessions, identity: proven, settings, environment, refusal }: ConnectionContext) => [
    sessions,
    proven?.username,
    settings?.backend,
    environment !== undefined,
    refusal !== undefined,
  ],
  causes: {
    ...enteringCauses,
    "the environment is ready": {
      ...backendEnds("sshproxy", READY),
      cause: ({ gate }) => gate.open(),
    },
    "the place on this machine is ready": backendEnds("process", READY),
    "the Engine is gone": { ...backendEnds("docker", REFUSED), cause: ({ gate }) => gate.cut() },
    "a session is opened": {
      event: { type: "session.opened", channel: 0 },
      when: (snapshot) => opened(0)(snapshot) && (takesClients(snapshot) || snapshot.matches("refusing")),
      cause: openSession,
    },
    "a second session is opened": {
      event: { type: "session.opened", channel: 1 },
      when: (snapshot) => opened(1)(snapshot) && takesClients(snapshot),
      cause: openSession,
    },
    "a session too many is opened": {
      event: { type: "session.opened", channel: 2 },
      when: (snapshot) => opened(2)(snapshot) && takesClients(snapshot),
      cause: async (world) => {
        const client = await clientOf(world);
        client.send(Message.CHANNEL_OPEN, "session", { uint32: 9 }, { uint32: 1000 }, { uint32: 1000 });
        await client.next(Message.CHANNEL_OPEN_FAILURE);
      },
    },
    "a session asks for a variable": {
      event: {
        type: "session.requested",
        channel: 0,
        request: { type: "env.requested", name: "", value: "" },
      },
      // One that has been told why there is no environment is about to close.
      when: (snapshot) => opened(1)(snapshot) && takesClients(snapshot),
      cause: async (world) => {
        expect(await (await clientOf(world)).request(world.channels[0] ?? 0, "env", "LANG", "C")).toBe(true);
      },
    },
    "the client wants a port forwarded, which the policy allows": {
      event: { type: "forwarding.requested", forwarding: "tcpip-forward" },
      when: takesClients,
      cause: async (world) => {
        const client = await clientOf(world);
        client.send(Message.GLOBAL_REQUEST, "tcpip-forward", true, "127.0.0.1", { uint32: 0 });
        await client.next(Message.REQUEST_FAILURE);
      },
    },
    "the client wants to connect to a port, which the policy forbids": {
      event: { type: "forwarding.requested", forwarding: "direct-tcpip" },
      when: takesClients,
      cause: async (world) => {
        const client = await clientOf(world);
        const sizes = [{ uint32: 9 }, { uint32: 1000 }, { uint32: 1000 }];
        const [to, from] = [["127.0.0.1", { uint32: 1 }] as const, ["127.0.0.1", { uint32: 2 }] as const];
        client.send(Message.CHANNEL_OPEN, "direct-tcpip", ...sizes, ...to, ...from);
        await client.next(Message.CHANNEL_OPEN_FAILURE);
      },
    },
    "the client closes a session": {
      event: { type: "session.closed", channel: 0 },
      when: ({ context }) => context.sessions.includes(0),
      cause: (world) => closeSession(world, 0),
    },
    "a session ends": {
      event: { type: "session.ended", channel: 0 },
      when: ({ context }) => context.sessions.includes(0),
      cause: (world) => closeSession(world, 0),
    },
    "the last session ends": {
      event: { type: "session.ended", channel: 1 },
      when: ({ context }) => context.sessions.length === 1 && context.sessions[0] === 1,
      cause: (world) => closeSession(world, 1),
    },
    "the server behind is lost": {
      event: { type: "environment.lost", refusal: REFUSAL },
      when: (snapshot) => contextOf(snapshot).settings?.backend === "sshproxy",
      cause: ({ gate }) => gate.cut(),
    },
    "everything is given back": { event: done(connectionMachine, "connection.closing") },
    "the provider takes too long to revoke the tokens of four logins": {
      event: after(connectionMachine, "connection.closing"),
      when: isEnding,
      arrange: (world) => {
        world.grantsInVain = 3;
        for (let left = world.grantsInVain; left > 0; left--)
          world.answers.authorization = firstThen(answer({ success: false }), world.answers.authorization);
      },
    },
    "the client vanishes": {
      event: { type: "peer.disconnected" },
      // Where all are refused, the end of the last session comes first.
      when: (snapshot) =>
        waits(snapshot) &&
        !["closing", "refusing"].some((state) => snapshot.matches(state)) &&
        !snapshot.matches({ entering: { login: "handshaking" } }),
      cause: async (world) => void (await clientOf(world)).socket.destroy(),
    },
    "the client vanishes while its connection ends": {
      event: { type: "peer.disconnected" },
      when: (snapshot) => isEnding(snapshot),
      cause: async (world) => void (await clientOf(world)).socket.destroy(),
    },
    "the client speaks no SSH": {
      event: { type: "peer.failed", refusal: REFUSAL },
      when: (snapshot) => snapshot.matches({ entering: { login: "handshaking" } }),
      arrange: (world) => {
        world.isSilent = true;
      },
      cause: ({ socket }) => socket?.write("GET / HTTP/1.1\r\n\r\n"),
    },
    "the daemon is stopped": {
      event: { type: "drain.requested", notice: "" },
      when: waits,
      arrange: stop,
      cause: (_, daemon) => daemon.signal("SIGTERM"),
    },
    "an operator ends it": {
      event: { type: "disconnect.requested", refusal: REFUSAL },
      when: (snapshot) => snapshot.matches({ serving: "open" }),
      cause: disconnect,
    },
    "an operator ends it again": {
      event: { type: "disconnect.requested", refusal: REFUSAL },
      when: (snapshot) => isEnding(snapshot),
      cause: disconnect,
    },
    "the client opens no session to be told in": { event: after(connectionMachine, "connection.refusing") },
  },
  world: () => connectionWorld(servers),
  daemon: async (world) => {
    world.daemon = await servers.daemonFor(world.kind);
    return world.daemon;
  },
  begin,
  looks: {
    "connection.entering.login.handshaking": connected,
    "connection.entering.login.authenticating": isAnswered(Message.SERVICE_ACCEPT),
    "connection.entering.login.authorizing": isAsked("/authz"),
    "connection.entering.login.reportingMismatch": isAsked("/authz"),
    "connection.entering.login.configuring": isAsked("/config"),
    "connection.entering.patience.ordinary": connected,
    "connection.entering.patience.interactive": isAnswered(Message.USERAUTH_INFO_REQUEST),
    "connection.entering.patience.over": isAnswered(Message.DISCONNECT),
    "connection.provisioning": async (world, daemon) => {
      await isAnswered(Message.USERAUTH_SUCCESS)(world, daemon);
      await seesGranted(world, daemon);
    },
    "connection.serving.open": (world, daemon) => seesRow(world, daemon, { state: "serving.open" }),
    "connection.serving.draining": async (world, daemon) => {
      await expect.poll(() => listenersOf(daemon.port)).toEqual([]);
      await seesRow(world, daemon, { state: "serving.draining" });
    },
    "connection.refusing": async (world) => {
      const { socket, received } = await clientOf(world);
      expect(socket.readyState).toBe("open");
      expect(received.map(([type]) => type)).not.toContain(Message.DISCONNECT);
    },
    "connection.closing": isLeft,
    "connection.closed": async ({ grantsInVain }, daemon) => {
      const connectionId = connectionIn(daemon);
      await daemon.log.any("SSH_DISCONNECTED", { connectionId });
      if (grantsInVain > 0) await daemon.log.any("SSH_RELEASE_FAILED", { connectionId });
    },
  },
  besides: ({ grantsInVain }) => ({
    "connection.entering.login.authenticating|authentication.requested|0":
      "whoever proves who they are, or fails to, has asked to",
    "connection|session.closed|0": CHANNEL_ENDS,
    "connection|session.ended|0": CHANNEL_ENDS,
    "connection.closing|peer.disconnected|0": "who is told that it is over hangs up",
    ...(grantsInVain > 0 && {
      "connection.entering.login.authenticating|identity.verified|0": IN_VAIN,
      "connection.entering.login.authorizing|xstate.error.actor.0.connection.entering.login.authorizing|0":
        IN_VAIN,
    }),
  }),
  unreached: {
    "connection|forwarding.requested|0":
      "messages of the connection protocol before the login break the protocol, and with the login there are settings",
    "connection|xstate.error.actor.*|0":
      "an actor that breaks would be a bug: test/unit/machines/supervision.test.ts",
    "connection.closing|peer.failed|0":
      "once a connection is told to disconnect, nothing that its client says is read",
    "connection.closing|xstate.error.actor.0.connection.closing|0":
      "giving back cannot fail: what one resource says about its end is logged where it is",
  },
});
