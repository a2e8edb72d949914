/** Walks machines/daemon.ts: daemons that start, cannot start, let clients in or not, and are told to stop, each in a process of its own. */
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import type { AnyMachineSnapshot } from "xstate";
import { daemonMachine } from "../../machines/daemon.ts";
import type { DaemonContext } from "../../machines/daemon-facts.ts";
import type { Refusal } from "../../machines/facts.ts";
import { Message } from "../../src/ssh/wire.ts";
import { certificateAuthority } from "../support/certificates.ts";
import type { Configuration } from "../support/daemon.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { openPortal, type Portal } from "../support/model/portal.ts";
import { type SilentDns, startSilentDns } from "../support/model/silent-dns.ts";
import { after, REFUSAL, walk } from "../support/model/walk.ts";
import {
  approveDevice,
  CLIENT_ID,
  CLIENT_SECRET,
  type OidcProvider,
  startOidcProvider,
} from "../support/oidc-provider.ts";
import { freePort } from "../support/ports.ts";
import { directory, eventually } from "../support/resources.ts";
import { closeListener, everything, listenersOf, rawSocket } from "../support/sockets.ts";
import { WireClient } from "../support/wire-client.ts";

interface DaemonWorld extends AsyncDisposable {
  /** Sections of the configuration besides the login's. */
  readonly sections: Record<string, Configuration>;
  dns: SilentDns | undefined;
  client: WireClient | undefined;
  /** The number of the client's session, on the daemon's side. */
  channel: number;
  /** What the daemon has said to the client at the end. */
  farewell: ReturnType<WireClient["disconnection"]> | undefined;
  /** What the log says of what takes the daemon down. */
  lack: string;
  /** What is to be given back at the end, last things first. */
  readonly owned: AsyncDisposable[];
}

/** Each connection that logs in holds a session, so that it does not end by itself when the daemon drains. */
const isIdle = ({ context }: AnyMachineSnapshot): boolean => (context as DaemonContext).unauthenticated === 0;
const hasClient = ({ context }: AnyMachineSnapshot): boolean => (context as DaemonContext).connections > 0;
const runs = ({ context }: AnyMachineSnapshot, service: string): boolean =>
  (context as DaemonContext).running[service] === true;
/** A client is logged in, and holds a session. */
const isServing = (snapshot: AnyMachineSnapshot): boolean =>
  snapshot.matches("running") && runs(snapshot, "ssh") && hasClient(snapshot) && isIdle(snapshot);
/** Why it is failing. */
const lacks = ({ context }: AnyMachineSnapshot, { code }: Refusal): boolean =>
  (context as DaemonContext).refusal?.code === code;
const uncaught = { type: "exception.uncaught", error: new Error("a bug") };
const ended = { type: "connection.ended", connectionId: "c1", wasAdmitted: true };
const offered = { type: "connection.offered", connectionId: "c1", remoteAddress: "", lot: 0 };

let portal: Portal;
let provider: OidcProvider;

beforeAll(async () => {
  portal = await openPortal();
  provider = await startOidcProvider();
  provider.amend("/device/auth", { interval: 0.2 });
  // A connection that ends waits for it, as long as the provider is waited for.
  provider.change("/token/revocation", () => new Promise(() => {}));
});
afterAll(async () => {
  await provider[Symbol.asyncDispose]();
  await portal[Symbol.asyncDispose]();
});

const clientOf = ({ client }: DaemonWorld): WireClient => {
  if (client === undefined) throw new Error("nobody has connected");
  return client;
};

/** Logs in with a browser, and keeps a program running. */
const logIn = async (world: DaemonWorld): Promise<void> => {
  const client = clientOf(world);
  await client.beginAuthentication();
  client.send(Message.USERAUTH_REQUEST, "jane", "ssh-connection", "keyboard-interactive", "", "");
  const question = (await client.next(Message.USERAUTH_INFO_REQUEST)).toString("latin1");
  client.send(Message.USERAUTH_INFO_RESPONSE, { uint32: 0 });
  const [link = ""] = /https?:\/\/[^\s\0]+/.exec(question) ?? [];
  const [, code = ""] = /code: (\S+)/.exec(question) ?? [];
  await approveDevice(link, code);
  await client.next(Message.USERAUTH_SUCCESS);
  world.channel = await client.openSession();
  expect(await client.request(world.channel, "exec", "echo begun; cat")).toBe(true);
  await client.next(Message.CHANNEL_DATA);
};

/** The program that the client has left running still answers. */
const isServed = async (world: DaemonWorld): Promise<void> => {
  const client = clientOf(world);
  client.send(Message.CHANNEL_DATA, { uint32: world.channel }, "are you there?");
  expect((await client.next(Message.CHANNEL_DATA)).toString()).toContain("are you there?");
};

/** The inspector with a certificate in files of its own. */
const certifyInspector = async (world: DaemonWorld): Promise<void> => {
  const home = await directory();
  world.owned.push(home);
  const authority = await certificateAuthority(home.path, "authority");
  const { cert, key } = await authority.issue("inspector");
  const files = { cert: join(home.path, "inspector.pem"), key: join(home.path, "inspector.key") };
  await writeFile(files.cert, cert);
  await writeFile(files.key, key, { mode: 0o600 });
  world.sections.inspect = { ...world.sections.inspect, ...files };
};

/** The address of the health service cannot be looked up: it neither starts nor fails. */
const silenceNames = async (world: DaemonWorld): Promise<void> => {
  if (world.dns !== undefined) return;
  world.dns = await startSilentDns();
  world.owned.push(world.dns);
  world.sections.health = { enable: true, listen: `health.test:${await freePort()}` };
};
const awaitsHealth = (snapshot: AnyMachineSnapshot): boolean =>
  snapshot.matches("starting") && runs(snapshot, "ssh");

const stop = (_: DaemonWorld, daemon: ObservedDaemon): void => daemon.signal("SIGTERM");

const isTold = async (world: DaemonWorld): Promise<void> => {
  world.farewell ??= clientOf(world).disconnection();
  const { text } = await world.farewell;
  expect(text).toContain("The server has been shut down.");
};

const throws = async (_: DaemonWorld, { log, signal }: ObservedDaemon): Promise<void> => {
  signal("SIGUSR2");
  await log.next("UNKNOWN_ERROR", ({ level, message }) => level === "crit" && message.endsWith("a bug"));
};

const leave = (world: DaemonWorld): void => void clientOf(world).socket.destroy();

const portOf = (service: Configuration | undefined): number => {
  const { listen } = service as { listen: string };
  return Number(listen.slice(listen.lastIndexOf(":") + 1));
};

const isHealthy = async ({ sections }: DaemonWorld): Promise<number> =>
  (await fetch(`http://${sections.health?.listen}/`)).status;

walk<DaemonWorld>("daemon", {
  input: {
    services: ["ssh", "health", "inspect"],
    lastServices: ["inspect"],
    startups: { start: 1, ratePercent: 100, full: 1 },
    connection: { closeTimeoutMillis: 0, releaseTimeoutMillis: 0 },
    drainMillis: 20_000,
  },
  key: ({ running, connections, unauthenticated }: DaemonContext) => [running, connections, unauthenticated],
  causes: {
    "ssh can be reached": { event: { type: "service.running", name: "ssh", address: "" } },
    "the inspector can be reached": { event: { type: "service.running", name: "inspect", address: "" } },
    "health can be reached": { event: { type: "service.running", name: "health", address: "" } },
    "a client connects": {
      event: offered,
      when: (snapshot) => snapshot.matches("running") && runs(snapshot, "ssh") && !hasClient(snapshot),
      cause: async (world, daemon) => {
        world.client = await WireClient.connect(daemon);
      },
    },
    "a client too many connects": {
      event: { ...offered, connectionId: "c2" },
      when: (snapshot) => snapshot.matches("running") && runs(snapshot, "ssh") && !isIdle(snapshot),
      cause: async (_, daemon) => {
        expect((await everything(await rawSocket(daemon))).toString()).toContain("Exceeded MaxStartups");
        await daemon.log.any("SSH_STARTUPS_EXCEEDED");
      },
    },
    "the client logs in": {
      event: { type: "connection.admitted", connectionId: "c1" },
      when: (snapshot) => hasClient(snapshot) && !isIdle(snapshot),
      cause: logIn,
    },
    "the client leaves before it has logged in": {
      event: { ...ended, wasAdmitted: false },
      when: (snapshot) => hasClient(snapshot) && !isIdle(snapshot),
      cause: leave,
    },
    "the client leaves": {
      event: ended,
      when: (snapshot) =>
        hasClient(snapshot) &&
        isIdle(snapshot) &&
        (snapshot.matches("running") || snapshot.matches("draining")),
      cause: leave,
    },
    "an operator stops it": {
      event: { type: "stop.requested" },
      when: (snapshot) => snapshot.matches("running") && isIdle(snapshot),
      cause: stop,
    },
    "a name server is silent, and a client comes early": {
      event: offered,
      when: awaitsHealth,
      arrange: silenceNames,
      cause: async (_, daemon) => {
        expect((await everything(await rawSocket(daemon))).toString()).toContain("The server is starting.");
        await daemon.log.any("SSH_STARTING_UP");
      },
    },
    "an operator stops what is still starting": {
      event: { type: "stop.requested" },
      when: awaitsHealth,
      arrange: silenceNames,
      cause: stop,
    },
    "the last connection is told to end": {
      event: ended,
      when: (snapshot) => snapshot.matches("closing"),
    },
    "an operator stops it again": {
      event: { type: "stop.requested" },
      when: (snapshot) => ["draining", "closing", "failing"].some((state) => snapshot.matches(state)),
      cause: stop,
    },
    "the time to drain is over": { event: after(daemonMachine, "daemon.draining") },
    "health cannot listen": {
      event: { type: "service.gaveUp", name: "health", refusal: REFUSAL },
      when: (snapshot) => snapshot.matches("starting"),
      arrange: async (world) => {
        const other = createServer().listen(0, "127.0.0.1");
        world.owned.push({ [Symbol.asyncDispose]: async () => void other.close() });
        await once(other, "listening");
        const { port } = other.address() as AddressInfo;
        world.sections.health = { enable: true, listen: `127.0.0.1:${port}` };
        world.lack = "HTTP_LISTEN_FAILED";
      },
    },
    "somebody closes the socket of ssh": {
      event: { type: "service.restarting", name: "ssh", refusal: REFUSAL },
      when: isServing,
      cause: async (world, { port, log }) => {
        await log.next("SSH_AVAILABLE");
        await closeListener(port);
        await log.any("SERVICE_LISTENER_LOST", { service: "ssh" });
        await log.next("SSH_AVAILABLE");
        await isServed(world);
      },
    },
    "the inspector loses its socket and its key": {
      event: { type: "service.gaveUp", name: "inspect", refusal: REFUSAL },
      when: isServing,
      arrange: certifyInspector,
      cause: async (world, { log }) => {
        const { inspect } = world.sections;
        await rm((inspect as { key: string }).key);
        await closeListener(portOf(inspect));
        world.lack = "CORE_CONFIG_ERROR";
        await log.any(world.lack, ({ level }) => level === "error");
        expect(await isHealthy(world)).toBe(503);
        await isServed(world);
      },
    },
    "something throws that nothing catches": {
      event: uncaught,
      when: isServing,
      cause: async (world, daemon) => {
        await throws(world, daemon);
        world.lack = "UNKNOWN_ERROR";
      },
    },
    "something throws when it is failing": {
      event: uncaught,
      when: (snapshot) => snapshot.matches("failing") && lacks(snapshot, REFUSAL),
      cause: throws,
    },
  },
  besides: () => ({
    "daemon|service.running|0":
      "which service can be reached first, and when one can be reached again, is open",
  }),
  world: async () => {
    const owned: AsyncDisposable[] = [];
    return {
      owned,
      sections: {
        health: { enable: true, listen: `127.0.0.1:${await freePort()}` },
        inspect: { enable: true, listen: `127.0.0.1:${await freePort()}` },
      },
      dns: undefined,
      client: undefined,
      channel: 0,
      farewell: undefined,
      lack: "",
      [Symbol.asyncDispose]: async () => {
        for (const each of owned.toReversed()) await each[Symbol.asyncDispose]();
      },
    };
  },
  daemon: async (world) => {
    const oauth2 = {
      provider: "oidc",
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      oidc: { url: `${provider.issuer}/` },
    };
    const daemon = await startObserved({
      config: {
        auth: { keyboardInteractive: { method: "oauth2", oauth2 } },
        ssh: { maxStartups: "1:100:1" },
        backend: "process",
        ...world.sections,
      },
      beforehand: world.dns?.beforehand ?? "true",
      // Of a daemon that cannot start, the log may end before the process does.
      ready: ({ log, ending }) => Promise.any([log.any("SSH_AVAILABLE"), ending]),
    });
    world.owned.push(daemon);
    return daemon;
  },
  looks: {
    "daemon.starting": async ({ dns, sections }, { log }) => {
      await log.any("SERVICE_POOL_STARTING");
      for (const service of ["ssh", "health", "inspect"]) await log.any("SERVICE_STARTING", { service });
      if (dns === undefined) return;
      // As long as a name server is silent, health is nowhere to be reached, and not all services run.
      expect(await listenersOf(portOf(sections.health))).toEqual([]);
      expect(log.all("SERVICE_POOL_RUNNING")).toEqual([]);
    },
    "daemon.running": async (world, { log }) => {
      await log.any("SERVICE_POOL_RUNNING");
      expect(await isHealthy(world)).toBe(200);
    },
    "daemon.draining": async ({ sections }, daemon) => {
      const { pid, port, log } = daemon;
      await log.any("SERVICE_POOL_STOPPING");
      // Nobody else gets in, and whoever looks still can.
      await eventually(async () => (await listenersOf(port)).length === 0, "ssh listens no more");
      expect(await listenersOf(portOf(sections.inspect))).toEqual([pid]);
    },
    "daemon.closing": isTold,
    "daemon.failing": isTold,
    "daemon.stopped": async ({ dns }, { ending }) => {
      // The process waits for its system calls.
      dns?.speak();
      expect(await ending).toEqual({ code: 0, signal: null });
    },
    "daemon.failed": async ({ lack }, { ending, log }) => {
      expect(await ending).toEqual({ code: 1, signal: null });
      await log.any(lack, ({ level }) => level === "crit");
    },
  },
  unreached: {
    "daemon|connection.offered|0":
      "what the system has not accepted when the daemon begins to stop is refused by the system: only a client whose socket was accepted in that very turn gets so far: test/unit/machines/daemon.test.ts",
    "daemon|connection.crashed|0":
      "a connection's actor that throws would be a bug: test/unit/connection-supervisor.test.ts",
    "daemon|xstate.error.actor.*|0":
      "what looks after a service or the connections would have to throw: test/unit/machines/daemon.test.ts",
    "daemon.closing|xstate.after.closeDeadline.daemon.closing|0":
      "each connection's own limits are shorter: only one that ignores them would be waited for so long",
    "daemon.failing|xstate.after.closeDeadline.daemon.failing|0": "as the one of closing",
  },
});
