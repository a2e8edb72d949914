/**
 * One connection, as a world for walks: a client that does what it is told, the servers that are asked about it, and a
 * daemon that asks them. The servers are the same for all paths, and so are daemons that are not to be stopped.
 */
import type { Socket } from "node:net";
import { type GssapiInitiator, gssapiInitiator } from "../gssapi-initiator.ts";
import { type Kdc, startKdc } from "../kdc.ts";
import { CLIENT_ID, CLIENT_SECRET, type OidcProvider, startOidcProvider } from "../oidc-provider.ts";
import { rawSocket } from "../sockets.ts";
import { type Sshd, startSshd } from "../sshd.ts";
import { WireClient } from "../wire-client.ts";
import { type Gate, openGate } from "./gate.ts";
import { type LoginWorld, loginWorld } from "./login.ts";
import { type ObservedDaemon, startObserved } from "./observed.ts";
import { askingPortal, openPortal, type Portal } from "./portal.ts";

/** A daemon that is to be stopped is a path's own; the others serve one path after another. */
interface Kind {
  authorizes: boolean;
  /** `ssh.loginGraceTime`, and that of logins with a browser. */
  loginGraceTime: string;
  isStopped: boolean;
}

/** Webhooks that may keep a login waiting. */
const slow = ["authorization", "configuration"] as const;

export interface Servers extends AsyncDisposable {
  readonly portal: Portal;
  readonly provider: OidcProvider;
  /** Has a ticket that is nobody's who logs in. */
  readonly stranger: GssapiInitiator;
  readonly sshd: Sshd;
  readonly daemonFor: (kind: Kind) => Promise<ObservedDaemon>;
}

export interface ConnectionWorld extends LoginWorld {
  readonly servers: Servers;
  readonly kind: Kind;
  readonly gate: Gate;
  /** Those that never answer, after the answers that were arranged to come first. */
  readonly silent: Set<(typeof slow)[number]>;
  /** Of a client that says nothing. */
  isSilent: boolean;
  /** Whether who proves to be somebody else does so when the time for the login is nearly over. */
  provesLate: boolean;
  socket: Socket | undefined;
  connecting: Promise<WireClient> | undefined;
  /** When the client began to connect, by `performance.now()`. */
  begunAtMillis: number;
  daemon: ObservedDaemon | undefined;
  /** How many logins with a browser the provider grants before one is authorized. */
  grantsInVain: number;
  /** The sessions' numbers on the server's side. */
  readonly channels: number[];
  readonly closed: Set<number>;
}

export const startServers = async (): Promise<Servers> => {
  const portal = await openPortal();
  const provider = await startOidcProvider();
  provider.amend("/device/auth", { interval: 0.2 });
  // A connection that logged in with a browser does not end at once: it waits for this.
  provider.change("/token/revocation", () => new Promise(() => {}));
  const kdc = await startKdc({ users: { stranger: "secret" } });
  const stranger = gssapiInitiator(await kdc.kinit("stranger"));
  const sshd = await startSshd();
  const shared = new Map<string, ObservedDaemon>();
  return {
    portal,
    provider,
    stranger,
    sshd,
    daemonFor: async (kind) => {
      const name = JSON.stringify(kind);
      const daemon = shared.get(name) ?? (await startDaemon(kind, { portal, provider, kdc }));
      if (!kind.isStopped) shared.set(name, daemon);
      return daemon;
    },
    [Symbol.asyncDispose]: async () => {
      for (const each of [...shared.values(), sshd, stranger, kdc, provider, portal])
        await each[Symbol.asyncDispose]();
    },
  };
};

const startDaemon = (
  { authorizes, loginGraceTime }: Kind,
  { portal, provider, kdc }: { portal: Portal; provider: OidcProvider; kdc: Kdc },
): Promise<ObservedDaemon> => {
  const { auth, ...sections } = askingPortal(portal);
  const { authz, ...methods } = auth;
  return startObserved({
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
      inspect: { allowControl: true },
      backend: "process",
    },
  });
};

export const connectionWorld = async (servers: Servers): Promise<ConnectionWorld> => {
  const gate = await openGate(servers.sshd.target);
  const login = loginWorld(servers.portal);
  for (const question of slow) {
    const usual = login.answers[question];
    login.answers[question] = (...exchange) => {
      if (!world.silent.has(question)) usual(...exchange);
    };
  }
  const world: ConnectionWorld = Object.assign(login, {
    servers,
    kind: { authorizes: true, loginGraceTime: "60s", isStopped: false },
    gate,
    silent: new Set<(typeof slow)[number]>(),
    isSilent: false,
    provesLate: false,
    socket: undefined,
    connecting: undefined,
    begunAtMillis: Number.NaN,
    daemon: undefined,
    grantsInVain: 0,
    channels: [],
    closed: new Set<number>(),
    [Symbol.asyncDispose]: async () => {
      await gate[Symbol.asyncDispose]();
      if (world.kind.isStopped) await world.daemon?.[Symbol.asyncDispose]();
    },
  });
  return world;
};

/** A client comes to the daemon. */
export const begin = async (world: ConnectionWorld, daemon: ObservedDaemon): Promise<void> => {
  if (world.isSilent) {
    world.socket = await rawSocket(daemon);
    return;
  }
  world.begunAtMillis = performance.now();
  world.connecting = (async () => {
    const client = await WireClient.connect(daemon);
    await client.beginAuthentication();
    return client;
  })();
};

export const clientOf = async ({ connecting }: ConnectionWorld): Promise<WireClient> => {
  if (connecting === undefined) throw new Error("nobody has connected");
  return await connecting;
};

/** The connection that began last. */
export const connectionIn = ({ observed }: ObservedDaemon): string => {
  const { connection } =
    observed.steps.findLast(({ machine, event }) => machine === "connection" && event === "xstate.init") ??
    {};
  if (connection === undefined) throw new Error("there is no connection");
  return connection;
};
