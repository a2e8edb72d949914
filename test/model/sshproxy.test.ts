/** Walks machines/sshproxy.ts: logins whose programs run on a real sshd, straight or through another one, behind gates that obey. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterAll, beforeAll, expect } from "vitest";
import type { AnyMachineSnapshot } from "xstate";
import { type Hop, type Route, type SshProxyContext, sshProxyMachine } from "../../machines/sshproxy.ts";
import type { Configuration } from "../support/daemon.ts";
import { generateKey, type Key } from "../support/keys.ts";
import {
  type LoginWorld,
  loginWorld,
  seesGranted,
  seesProgram,
  seesRefusal,
} from "../support/model/login.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { askingPortal, openPortal, type Portal } from "../support/model/portal.ts";
import { after, done, fails, REFUSAL, walk } from "../support/model/walk.ts";
import { type Directory, directory } from "../support/resources.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { hopTo } from "../support/sshproxy.ts";

/** What becomes of a connection on its way to a server. */
type Behaviour = "passes" | "is hung up" | "is broken off" | "is kept waiting";

interface ProxyWorld extends LoginWorld {
  /** In the order in which servers are dialed. */
  readonly behaviours: Behaviour[];
  readonly hops: Configuration[];
  timeout: string;
  /** Somebody was dialed. */
  readonly dialed: Promise<unknown>;
  readonly triesBefore: number;
}

const KNOWN = "SHA256:known";
let home: Directory;
let portal: Portal;
let stranger: Key;
let sshds: readonly [Sshd, Sshd];
let daemon: ObservedDaemon;

beforeAll(async () => {
  home = await directory();
  portal = await openPortal();
  stranger = await generateKey(home.path, "stranger");
  sshds = [await startSshd({ LogLevel: "VERBOSE" }), await startSshd({ LogLevel: "VERBOSE" })];
  daemon = await startObserved({ config: { ...askingPortal(portal), backend: "sshproxy" } });
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  for (const sshd of sshds) await sshd[Symbol.asyncDispose]();
  await portal[Symbol.asyncDispose]();
  await home[Symbol.asyncDispose]();
});

/** How often somebody has tried to log in to a server with a key. */
const triesOf = (log: string): number => log.match(/(Accepted|Failed|Postponed) publickey/g)?.length ?? 0;
const tries = (): number => sshds.reduce((sum, { log }) => sum + triesOf(log.text), 0);

/** Gates before both servers; each connection meets the next behaviour. */
const openWorld = async (): Promise<ProxyWorld> => {
  const login = loginWorld(portal);
  const behaviours: Behaviour[] = [];
  const sockets = new Set<Socket>();
  let tell: () => void = () => {};
  const dialed = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const meet = (socket: Socket, { target }: Sshd): void => {
    sockets.add(socket.on("error", () => socket.destroy()));
    tell();
    switch (behaviours.shift()) {
      case "is hung up":
        socket.end();
        break;
      case "is broken off":
        socket.end("SSH-2.0-broken\r\n");
        break;
      case "passes": {
        const server = connect(target);
        sockets.add(server.on("error", () => socket.destroy()));
        socket.pipe(server).pipe(socket);
        break;
      }
      default:
        socket.resume();
    }
  };
  const gates = await Promise.all(
    sshds.map(async (sshd) => {
      const gate = createServer((socket) => meet(socket, sshd)).listen(0, "127.0.0.1");
      await once(gate, "listening");
      return { gate, hop: { ...hopTo(sshd), port: (gate.address() as AddressInfo).port } };
    }),
  );
  return Object.assign(login, {
    behaviours,
    hops: gates.map(({ hop }) => hop),
    timeout: "60s",
    dialed,
    triesBefore: tries(),
    [Symbol.asyncDispose]: async () => {
      await login.ended;
      for (const socket of sockets) socket.destroy();
      for (const { gate } of gates) gate.close();
    },
  });
};

const routeOf = (...addresses: readonly string[]) =>
  done(sshProxyMachine, "sshproxy.planning", {
    hops: addresses.map((address) => ({ address, allowedFingerprints: [KNOWN] }) as unknown as Hop),
    timeoutMillis: 60_000,
  } as unknown as Route);

const shows = (fingerprint: string) => done(sshProxyMachine, "sshproxy.connecting.dialing", { fingerprint });
const contextOf = (snapshot: AnyMachineSnapshot): SshProxyContext => snapshot.context;
const isFirstHop = (snapshot: AnyMachineSnapshot): boolean => contextOf(snapshot).reached === 0;
const meets = (behaviour: Behaviour) => (world: ProxyWorld) => void world.behaviours.push(behaviour);
/** Changes how the first server is dealt with; it is the only one, or the jump host. */
const first =
  (change: Configuration, behaviour?: Behaviour) =>
  ({ hops, behaviours }: ProxyWorld): void => {
    hops[0] = { ...hops[0], ...change };
    if (behaviour !== undefined) behaviours.push(behaviour);
  };

walk<ProxyWorld>("sshproxy", {
  input: { connectionId: "", identity: {}, settings: {} },
  key: ({ route, reached }: SshProxyContext) => [route?.hops.length, reached],
  causes: {
    "the way is straight": { event: routeOf("a:22"), arrange: ({ hops }) => void hops.pop() },
    "the way leads over a jump host": { event: routeOf("jump:22", "a:22") },
    "the key's file is missing": {
      event: fails(sshProxyMachine, "sshproxy.planning"),
      arrange: first({ privateKey: "/no/such/key" }),
    },
    "the server shows its host key": { event: shows(KNOWN), arrange: meets("passes") },
    "the server shows another host key": {
      event: shows("SHA256:strange"),
      when: isFirstHop,
      arrange: first({ allowedHostKeyFingerprints: [`SHA256:${"A".repeat(43)}`] }, "passes"),
    },
    "nobody answers": {
      event: fails(sshProxyMachine, "sshproxy.connecting.dialing", {
        ...REFUSAL,
        code: "SSHPROXY_BACKEND_FAILED",
      }),
      arrange: meets("is hung up"),
    },
    "the server breaks off": {
      event: fails(sshProxyMachine, "sshproxy.connecting.dialing"),
      arrange: meets("is broken off"),
    },
    "the pause is over": { event: after(sshProxyMachine, "sshproxy.connecting.waiting") },
    "the time is over": {
      event: after(sshProxyMachine, "sshproxy.connecting"),
      when: (snapshot) => isFirstHop(snapshot) && snapshot.matches({ connecting: "dialing" }),
      arrange: (world) => {
        world.behaviours.push("is kept waiting");
        world.timeout = "1500ms";
      },
    },
    "the login is accepted": { event: done(sshProxyMachine, "sshproxy.connecting.authenticating") },
    "the login is refused": {
      event: fails(sshProxyMachine, "sshproxy.connecting.authenticating"),
      when: isFirstHop,
      arrange: (world) => first({ privateKey: stranger.file })(world),
    },
    "the environment opens": { event: done(sshProxyMachine, "sshproxy.opening", { description: "" }) },
  },
  world: openWorld,
  daemon: async ({ overlay, hops, timeout }) => {
    const jumpHosts = hops.slice(0, -1);
    overlay.sshproxy = { ...hops.at(-1), timeout, ...(jumpHosts.length > 0 && { jumpHosts }) };
    return daemon;
  },
  begin: (world) => world.logIn(daemon),
  looks: {
    "sshproxy.planning": seesGranted,
    "sshproxy.connecting.dialing": ({ dialed }) => dialed,
    "sshproxy.connecting.waiting": async (_, { log }) => {
      await log.any("SSHPROXY_BACKEND_FAILED", ({ level }) => level === "debug");
    },
    "sshproxy.connecting.authenticating": ({ triesBefore }) =>
      expect.poll(tries).toBeGreaterThan(triesBefore),
    "sshproxy.opening": async (_, { log }) => {
      await log.any("SSHPROXY_CONNECTED");
    },
    "sshproxy.ready": seesProgram,
    "sshproxy.refused": seesRefusal(
      ["SSHPROXY_KEY_UNUSABLE", "Your environment is not configured correctly."],
      ["SSHPROXY_INVALID_FINGERPRINT", "The server behind this one has changed its identity"],
      ["SSHPROXY_BACKEND_FAILED", "The server behind this one does not answer."],
      ["SSHPROXY_BACKEND_HANDSHAKE_FAILED", "The server behind this one broke off the connection."],
      ["SSHPROXY_BACKEND_HANDSHAKE_FAILED", "The server behind this one does not let you in."],
    ),
  },
});
