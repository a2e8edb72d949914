/** Walks machines/connection.ts: clients that come, prove who they are or don't, open sessions, vanish and misbehave; webhooks, servers and operators that refuse them. */
import type { Socket } from "node:net";
import { afterAll, beforeAll, expect } from "vitest";
import type { AnyMachineSnapshot, SnapshotFrom } from "xstate";
import { connectionMachine } from "../../machines/connection.ts";
import type { BackendName } from "../../machines/facts.ts";
import type { Move, StateValue } from "../../src/inspect/format.ts";
import { Message, message, Reader, string } from "../../src/ssh/wire.ts";
import { KERBEROS } from "../support/gssapi-client.ts";
import { type GssapiInitiator, gssapiInitiator } from "../support/gssapi-initiator.ts";
import { type InspectorClient, inspectSection, openInspector } from "../support/inspector.ts";
import { type Kdc, startKdc } from "../support/kdc.ts";
import { type Gate, openGate } from "../support/model/gate.ts";
import { type LoginWorld, loginWorld } from "../support/model/login.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { askingPortal, firstThen, openPortal, type Portal } from "../support/model/portal.ts";
import { after, done, fails, REFUSAL, walk } from "../support/model/walk.ts";
import {
  approveDevice,
  CLIENT_ID,
  CLIENT_SECRET,
  type OidcProvider,
  startOidcProvider,
} from "../support/oidc-provider.ts";
import { rawSocket } from "../support/sockets.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { hopTo } from "../support/sshproxy.ts";
import { answer } from "../support/webhook-server.ts";
import { PASSWORD, WireClient } from "../support/wire-client.ts";

type ConnectionContext = SnapshotFrom<typeof connectionMachine>["context"];

/** A daemon that is to be stopped is a path's own; the others serve one path after another. */
interface Kind {
  authorizes: boolean;
  isImpatient: boolean;
  isStopped: boolean;
}

interface Watched {
  readonly daemon: ObservedDaemon;
  readonly inspector: InspectorClient;
}

/** Webhooks that may keep a login waiting. */
const slow = ["authorization", "configuration"] as const;

interface ConnectionWorld extends LoginWorld {
  readonly kind: Kind;
  readonly gate: Gate;
  /** Those that never answer, after the answers that were arranged to come first. */
  readonly silent: Set<(typeof slow)[number]>;
  /** The daemon was told to stop. */
  isStopping: boolean;
  /** Of a client that says nothing. */
  isSilent: boolean;
  socket: Socket | undefined;
  connecting: Promise<WireClient> | undefined;
  watched: Watched | undefined;
  /** How many logins with a browser the provider grants before one is authorized. */
  grantsInVain: number;
  /** The sessions' numbers on the server's side. */
  readonly channels: number[];
  readonly closed: Set<number>;
}

let portal: Portal;
let provider: OidcProvider;
let kdc: Kdc;
let stranger: GssapiInitiator;
let sshd: Sshd;
const shared = new Map<string, Watched>();

beforeAll(async () => {
  portal = await openPortal();
  provider = await startOidcProvider();
  provider.amend("/device/auth", { interval: 0.2 });
  // A connection that logged in with a browser does not end at once: it waits for this.
  provider.change("/token/revocation", () => new Promise(() => {}));
  kdc = await startKdc({ users: { stranger: "secret" } });
  stranger = gssapiInitiator(await kdc.kinit("stranger"));
  sshd = await startSshd();
});
afterAll(async () => {
  for (const { daemon } of shared.values()) await daemon[Symbol.asyncDispose]();
  await sshd[Symbol.asyncDispose]();
  await stranger[Symbol.asyncDispose]();
  await kdc[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
  await portal[Symbol.asyncDispose]();
});

const startWatched = async ({ authorizes, isImpatient }: Kind): Promise<Watched> => {
  const { auth, ...sections } = askingPortal(portal);
  const { authz, ...methods } = auth;
  const loginGraceTime = isImpatient ? "8s" : "60s";
  const daemon = await startObserved({
    config: {
      ...sections,
      auth: {
        ...methods,
        ...(authorizes && { authz }),
        gssapi: {
          method: "kerberos",
          kerberos: { keytab: kdc.keytab, configPath: kdc.configPath },
        },
        keyboardInteractive: {
          method: "oauth2",
          loginGraceTime,
          oauth2: {
            provider: "oidc",
            clientId: CLIENT_ID,
            clientSecret: CLIENT_SECRET,
            oidc: { url: `${provider.issuer}/` },
          },
        },
      },
      ssh: { loginGraceTime },
      security: { maxSessions: 2, forwarding: { reverseForwardingMode: "enable" } },
      inspect: inspectSection({ allowControl: true }),
      backend: "process",
    },
  });
  return { daemon, inspector: await openInspector(daemon) };
};

const watchedFor = async (kind: Kind): Promise<Watched> => {
  const name = JSON.stringify(kind);
  const watched = shared.get(name) ?? (await startWatched(kind));
  if (!kind.isStopped) shared.set(name, watched);
  return watched;
};

const clientOf = async ({ connecting }: ConnectionWorld): Promise<WireClient> => {
  if (connecting === undefined) throw new Error("nobody has connected");
  return await connecting;
};

/** The connection that began last. */
const connectionIn = ({ observed }: ObservedDaemon): string => {
  const { connection } =
    observed.steps.findLast(({ machine, event }) => machine === "connection" && event === "xstate.init") ??
    {};
  if (connection === undefined) throw new Error("there is no connection");
  return connection;
};

const inspectorOf = ({ watched }: ConnectionWorld): InspectorClient => {
  if (watched === undefined) throw new Error("there is no inspector");
  return watched.inspector;
};

/** What the inspector tells of the connection's own machine. */
const movesOf = async (world: ConnectionWorld, daemon: ObservedDaemon): Promise<readonly Move[]> => {
  const { lines } = await inspectorOf(world).trace(connectionIn(daemon));
  const [self] = lines.flatMap((line) =>
    line.type === "actor" && line.machine === "connection" ? [line.actor] : [],
  );
  return lines.flatMap((line) => (line.type === "step" && line.actor === self ? line.moves : []));
};

const isIn = (value: StateValue | undefined, [first, ...rest]: readonly string[]): boolean => {
  if (first === undefined) return true;
  if (typeof value === "string") return value === first && rest.length === 0;
  return value !== undefined && first in value && isIn(value[first], rest);
};

/** The inspector has seen the connection in the state; one of a daemon that stops may be gone by then. */
const reported = (state: string) => async (world: ConnectionWorld, daemon: ObservedDaemon) => {
  if (world.isStopping) {
    await daemon.log.any("SERVICE_POOL_STOPPING");
    return;
  }
  await expect
    .poll(async () => (await movesOf(world, daemon)).some(({ value }) => isIn(value, state.split("."))), {
      timeout: 20_000,
    })
    .toBe(true);
};

const contextOf = (snapshot: AnyMachineSnapshot): ConnectionContext => snapshot.context;
const opened = (count: number) => (snapshot: AnyMachineSnapshot) =>
  contextOf(snapshot).sessions.length === count;
const isSlow = (snapshot: AnyMachineSnapshot): boolean => contextOf(snapshot).identity?.username === "slow";
const isUnanswered = (snapshot: AnyMachineSnapshot): boolean =>
  contextOf(snapshot).identity?.username === "unanswered";
/** An operator has ended it, and it waits for the provider. */
const isEnding = (snapshot: AnyMachineSnapshot): boolean =>
  snapshot.matches("closing") && isSlow(snapshot) && contextOf(snapshot).refusal !== undefined;
const isConfigured = (snapshot: AnyMachineSnapshot): boolean => contextOf(snapshot).settings !== undefined;
const isTimeOver = (snapshot: AnyMachineSnapshot): boolean =>
  snapshot.matches({ entering: { patience: "over" } });
const takesClients = (snapshot: AnyMachineSnapshot): boolean =>
  snapshot.matches("provisioning") || snapshot.matches({ serving: "open" });

const identity = (username: string) => ({ username, authenticatedUsername: username });
const verified = (username: string) => ({
  type: "identity.verified",
  identity: identity(username),
  method: "password",
});

const ask = async (
  world: ConnectionWorld,
  method: string,
  ...fields: (string | boolean)[]
): Promise<WireClient> => {
  const client = await clientOf(world);
  client.send(Message.USERAUTH_REQUEST, world.username, "ssh-connection", method, ...fields);
  return client;
};

/** Proves to be somebody else than who is to be logged in. */
const proveToBeAnother = async (world: ConnectionWorld): Promise<void> => {
  const client = await clientOf(world);
  const { username } = world;
  const mechanisms = [{ uint32: 1 }, KERBEROS];
  client.send(Message.USERAUTH_REQUEST, username, "ssh-connection", "gssapi-with-mic", ...mechanisms);
  await client.next(Message.USERAUTH_GSSAPI_RESPONSE);
  client.send(Message.USERAUTH_GSSAPI_TOKEN, await stranger.begin());
  await stranger.step(new Reader(await client.next(Message.USERAUTH_GSSAPI_TOKEN)).string());
  const request = message(Message.USERAUTH_REQUEST, username, "ssh-connection", "gssapi-with-mic");
  const mic = await stranger.sign(Buffer.concat([string(client.sessionId), request]));
  client.send(Message.USERAUTH_GSSAPI_MIC, mic);
};

const questionFor = async (world: ConnectionWorld): Promise<string> =>
  (await (await clientOf(world)).next(Message.USERAUTH_INFO_REQUEST)).toString("latin1");

/** Says yes in the browser to the question at hand. */
const approve = async (world: ConnectionWorld): Promise<void> => {
  const question = await questionFor(world);
  (await clientOf(world)).send(Message.USERAUTH_INFO_RESPONSE, { uint32: 0 });
  const [link = ""] = /https?:\/\/[^\s\0]+/.exec(question) ?? [];
  const [, code = ""] = /code: (\S+)/.exec(question) ?? [];
  await approveDevice(link, code);
};

const openSession = async (world: ConnectionWorld): Promise<void> => {
  world.channels.push(await (await clientOf(world)).openSession(world.channels.length));
};

const closeSession = async (world: ConnectionWorld, channel: number): Promise<void> => {
  if (world.closed.has(channel)) return;
  world.closed.add(channel);
  (await clientOf(world)).send(Message.CHANNEL_CLOSE, { uint32: world.channels[channel] ?? 0 });
};

const configured = (backend: BackendName, more: (world: ConnectionWorld) => unknown = () => {}) => ({
  event: done(connectionMachine, "connection.entering.login.configuring", {
    identity: identity("walker"),
    settings: { backend },
  }),
  when: (snapshot: AnyMachineSnapshot) => !isConfigured(snapshot) && !isSlow(snapshot),
  arrange: (world: ConnectionWorld) => {
    world.overlay.backend = backend;
    more(world);
  },
});

const REFUSED = { kind: "refused", refusal: REFUSAL };
const READY = { kind: "ready", environment: {} };
const backendEnds = (backend: BackendName, output: object) => ({
  event: done(connectionMachine, "connection.provisioning", output),
  when: (snapshot: AnyMachineSnapshot) => contextOf(snapshot).settings?.backend === backend,
});

const stop = (world: ConnectionWorld): void => {
  world.kind.isStopped = true;
};
const disconnect = async (world: ConnectionWorld, daemon: ObservedDaemon): Promise<void> => {
  const path = `/api/connections/${connectionIn(daemon)}/disconnect`;
  expect((await inspectorOf(world).request(path, { method: "POST" })).status).toBe(200);
};

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
    "keys are exchanged": {
      event: { type: "handshake.completed", clientVersion: "", algorithms: "" },
      cause: clientOf,
    },
    "a password is tried": {
      event: { type: "authentication.requested", username: "", method: "password", credential: undefined },
      // The first that is tried is the wrong one.
      when: (snapshot) => contextOf(snapshot).identity === undefined && !isTimeOver(snapshot),
      arrange: ({ answers }) => {
        answers.password = firstThen(answer({ success: false }), answers.password);
      },
      cause: async (world) => void (await ask(world, "password", false, PASSWORD)),
    },
    "the password is right": {
      event: verified("walker"),
      cause: async (world) => void (await ask(world, "password", false, PASSWORD)),
    },
    "the password is right, and nobody is to be asked about the user": {
      event: verified("unauthorized"),
      arrange: (world) => {
        world.kind.authorizes = false;
      },
      cause: async (world) => void (await ask(world, "password", false, PASSWORD)),
    },
    "the password is right, and nobody answers what is asked about the user": {
      event: verified("unanswered"),
      when: ({ context }) => context.identity === undefined,
      arrange: ({ kind, silent }) => {
        kind.isImpatient = true;
        silent.add("authorization");
      },
      cause: async (world) => void (await ask(world, "password", false, PASSWORD)),
    },
    "the grace time is over while authorization is asked": {
      event: after(connectionMachine, "connection.entering.patience.ordinary"),
      when: isUnanswered,
    },
    "authorization agrees": {
      event: done(connectionMachine, "connection.entering.login.authorizing", identity("walker")),
      when: (snapshot) => !isSlow(snapshot) && !isUnanswered(snapshot),
    },
    "authorization agrees to a login with a browser": {
      event: done(connectionMachine, "connection.entering.login.authorizing", identity("slow")),
      when: isSlow,
    },
    "authorization refuses": {
      event: fails(connectionMachine, "connection.entering.login.authorizing"),
      when: (snapshot) => snapshot.matches({ entering: { login: "authorizing" } }) && !isUnanswered(snapshot),
      arrange: ({ answers }) => {
        answers.authorization = firstThen(answer({ success: false }), answers.authorization);
      },
    },
    "the client proves to be another user": {
      event: { type: "identity.mismatched", identity: identity("walker") },
      cause: proveToBeAnother,
    },
    "the client proves to be another user, and nobody is to be told": {
      event: { type: "identity.mismatched", identity: identity("unauthorized") },
      arrange: (world) => {
        world.kind.authorizes = false;
      },
      cause: proveToBeAnother,
    },
    "authorization has nothing against another user": {
      event: done(connectionMachine, "connection.entering.login.reportingMismatch", identity("walker")),
    },
    "authorization is against another user": {
      event: fails(connectionMachine, "connection.entering.login.reportingMismatch"),
      when: (snapshot) => snapshot.matches({ entering: { login: "reportingMismatch" } }),
      arrange: ({ answers }) => {
        answers.authorization = firstThen(answer({ success: false }), answers.authorization);
      },
    },
    "authorization says nothing about another user": {
      event: after(connectionMachine, "connection.entering.login.reportingMismatch"),
      arrange: ({ answers }) => {
        answers.authorization = firstThen(() => {}, answers.authorization);
      },
    },
    "the user's backend is sshproxy": configured("sshproxy", ({ overlay, gate }) => {
      overlay.sshproxy = { ...hopTo(sshd), port: gate.port };
    }),
    "the user's backend is process": configured("process"),
    "the user's backend is docker, and its Engine is slow to answer": configured(
      "docker",
      ({ overlay, gate }) => {
        overlay.docker = { connection: { host: `tcp://127.0.0.1:${gate.port}` } };
      },
    ),
    "the configuration has a wrong key": {
      event: fails(connectionMachine, "connection.entering.login.configuring"),
      when: (snapshot) => snapshot.matches({ entering: { login: "configuring" } }) && !isConfigured(snapshot),
      arrange: ({ answers }) => {
        answers.configuration = firstThen(
          answer({ config: { process: { shel: "" } } }),
          answers.configuration,
        );
      },
    },
    "a login with a browser is configured": {
      event: done(connectionMachine, "connection.entering.login.configuring", {
        identity: identity("slow"),
        settings: { backend: "process" },
      }),
      when: (snapshot) => isSlow(snapshot) && !isConfigured(snapshot),
    },
    "the login is granted": {
      event: { type: "xstate.done.actor.authentication", output: { kind: "granted" } },
      when: isConfigured,
    },
    "six attempts fail": {
      event: { type: "xstate.done.actor.authentication", output: REFUSED },
      when: (snapshot) =>
        snapshot.matches({ entering: { login: "authenticating" } }) && !isTimeOver(snapshot),
      cause: async (world) => {
        for (let attempt = 0; attempt < 6; attempt++) await ask(world, "hostbased", "", "", "", "", "");
      },
    },
    "a login with a browser begins": {
      event: { type: "interaction.began" },
      when: (snapshot) => snapshot.matches({ entering: { login: "authenticating" } }),
      cause: async (world) => {
        const client = await clientOf(world);
        if (client.received.every(([type]) => type !== Message.SERVICE_ACCEPT))
          await client.beginAuthentication();
        await ask(world, "keyboard-interactive", "", "");
      },
    },
    "the client begins another attempt": {
      event: { type: "authentication.abandoned" },
      when: (snapshot) => snapshot.matches({ entering: { patience: "interactive" } }),
      cause: async (world) => {
        await questionFor(world);
        await ask(world, "none");
      },
    },
    "everything is granted in the browser": {
      event: verified("slow"),
      when: (snapshot) => snapshot.matches({ entering: { patience: "interactive" } }),
      cause: async (world) => {
        for (let left = world.grantsInVain; left > 0; left--) {
          await approve(world);
          await (await clientOf(world)).next(Message.USERAUTH_FAILURE);
          await ask(world, "keyboard-interactive", "", "");
        }
        await approve(world);
      },
    },
    "the grace time is over": {
      event: after(connectionMachine, "connection.entering.patience.ordinary"),
      arrange: (world) => {
        world.kind.isImpatient = true;
        world.isSilent = true;
      },
      when: (snapshot) => snapshot.matches({ entering: { login: "handshaking" } }),
    },
    "the grace time of a login with a browser is over": {
      event: after(connectionMachine, "connection.entering.patience.interactive"),
      when: (snapshot) => snapshot.matches({ entering: { login: "authenticating" } }),
      arrange: (world) => {
        world.kind.isImpatient = true;
      },
    },
    "the time is over for what was asked of the client": {
      event: { type: "xstate.done.actor.authentication", output: REFUSED },
      when: isTimeOver,
    },
    "the grace time is over while the configuration server is asked": {
      event: after(connectionMachine, "connection.entering.patience.ordinary"),
      when: (snapshot) => snapshot.matches({ entering: { login: "configuring" } }) && !isSlow(snapshot),
      arrange: (world) => {
        world.kind.isImpatient = true;
        world.silent.add("configuration");
      },
    },
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
      arrange: stop,
      cause: (world, daemon) => {
        world.isStopping = true;
        daemon.signal("SIGTERM");
      },
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
  world: async () => {
    const gate = await openGate(sshd.target);
    const login = loginWorld(portal);
    for (const question of slow) {
      const usual = login.answers[question];
      login.answers[question] = (...exchange) => {
        if (!world.silent.has(question)) usual(...exchange);
      };
    }
    const world: ConnectionWorld = Object.assign(login, {
      kind: { authorizes: true, isImpatient: false, isStopped: false },
      gate,
      silent: new Set<(typeof slow)[number]>(),
      isStopping: false,
      isSilent: false,
      socket: undefined,
      connecting: undefined,
      watched: undefined,
      grantsInVain: 0,
      channels: [],
      closed: new Set<number>(),
      [Symbol.asyncDispose]: async () => {
        await gate[Symbol.asyncDispose]();
        if (world.kind.isStopped) await world.watched?.daemon[Symbol.asyncDispose]();
      },
    });
    return world;
  },
  daemon: async (world) => {
    world.watched = await watchedFor(world.kind);
    return world.watched.daemon;
  },
  begin: async (world, daemon) => {
    if (world.isSilent) {
      world.socket = await rawSocket(daemon);
      return;
    }
    world.connecting = (async () => {
      const client = await WireClient.connect(daemon);
      await client.beginAuthentication();
      return client;
    })();
  },
  looks: {
    "connection.entering.login.handshaking": reported("entering.login.handshaking"),
    "connection.entering.login.authenticating": reported("entering.login.authenticating"),
    "connection.entering.login.authorizing": reported("entering.login.authorizing"),
    "connection.entering.login.reportingMismatch": reported("entering.login.reportingMismatch"),
    "connection.entering.login.configuring": reported("entering.login.configuring"),
    "connection.entering.patience.ordinary": reported("entering.patience.ordinary"),
    "connection.entering.patience.interactive": reported("entering.patience.interactive"),
    "connection.entering.patience.over": reported("entering.patience.over"),
    "connection.provisioning": reported("provisioning"),
    "connection.serving.open": reported("serving.open"),
    "connection.serving.draining": reported("serving.draining"),
    "connection.refusing": reported("refusing"),
    "connection.closing": reported("closing"),
    "connection.closed": async (world, daemon) => {
      const connectionId = connectionIn(daemon);
      await daemon.log.any("SSH_DISCONNECTED", { connectionId });
      if (world.grantsInVain > 0) await daemon.log.any("SSH_RELEASE_FAILED", { connectionId });
      if (world.kind.isStopped) return;
      // What the inspector tells is what was: every step, in order, none left out.
      const steps = daemon.observed.steps.filter(
        ({ connection, machine, event }) =>
          connection === connectionId && machine === "connection" && event !== "xstate.init",
      );
      const told = (await movesOf(world, daemon)).map(({ transitions }) => transitions);
      expect(told.slice(1)).toEqual(steps.map(({ transitions }) => transitions));
    },
  },
  stepSeconds: 45,
  unreached: {
    "connection|forwarding.requested|0":
      "messages of the connection protocol before the login break the protocol, and with the login there are settings",
    "connection|xstate.error.actor.*|0":
      "an actor that breaks would be a bug: test/unit/machines/supervision.test.ts",
    "connection.entering.login.reportingMismatch|grace.expired|0":
      "a report takes two seconds at most, and both clocks at once are turned in test/unit/machines/login-grace.test.ts",
    "connection.closing|peer.failed|0":
      "once a connection is told to disconnect, nothing that its client says is read",
    "connection.closing|xstate.error.actor.0.connection.closing|0":
      "giving back cannot fail: what one resource says about its end is logged where it is",
  },
});
