/** Walks machines/service.ts: the health service of a daemon, as it starts, goes on, cannot start, or loses its socket. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { expect } from "vitest";
import type { AnyMachineSnapshot } from "xstate";
import { type ServiceContext, serviceMachine } from "../../machines/service.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { after, REFUSAL, walk } from "../support/model/walk.ts";
import { freePort } from "../support/ports.ts";
import { closeListener, listenersOf } from "../support/sockets.ts";
import { usersAuth } from "../support/users.ts";

interface ServiceWorld extends AsyncDisposable {
  port: number;
  /** Another program that has the port. */
  other: Server | undefined;
  daemon: ObservedDaemon | undefined;
}

/** It answers, at a socket of the daemon's. */
const answers = async ({ port }: ServiceWorld, { pid }: ObservedDaemon): Promise<void> => {
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
  expect(await listenersOf(port)).toEqual([pid]);
};

/** Each start is told, and there is one more of them than there were failures. */
const seesStart = async (_: ServiceWorld, { log }: ObservedDaemon): Promise<void> => {
  const linesOf = (code: string) => log.all(code).filter(({ details }) => details.service === "health");
  const starts = linesOf("SERVICE_LISTENER_LOST").length + 1;
  await expect.poll(() => linesOf("SERVICE_STARTING")).toHaveLength(starts);
};

const hasFailed = ({ context }: AnyMachineSnapshot): boolean => (context as ServiceContext).crashes > 0;
const hasRun = ({ context }: AnyMachineSnapshot): boolean => (context as ServiceContext).hasRun;

walk<ServiceWorld>("service", {
  input: { name: "health" },
  key: ({ hasRun, crashes }: ServiceContext) => [hasRun, crashes],
  causes: {
    "it listens": { event: { type: "service.ready", address: "" } },
    "a minute goes by": { event: after(serviceMachine, "service.up.running") },
    "another program has its port": {
      event: { type: "service.crashed", error: REFUSAL },
      when: (snapshot) => snapshot.matches({ up: "starting" }) && !hasRun(snapshot),
      arrange: async (world) => {
        world.other = createServer().listen(0, "127.0.0.1");
        await once(world.other, "listening");
        world.port = (world.other.address() as AddressInfo).port;
      },
    },
    "somebody closes its socket": {
      event: { type: "service.crashed", error: REFUSAL },
      when: (snapshot) => snapshot.matches({ up: "running" }) && !hasFailed(snapshot),
      cause: ({ port }) => closeListener(port),
    },
    "it has paused": { event: after(serviceMachine, "service.pausing") },
  },
  world: async () => {
    const world: ServiceWorld = {
      port: await freePort(),
      other: undefined,
      daemon: undefined,
      [Symbol.asyncDispose]: async () => {
        await world.daemon?.[Symbol.asyncDispose]();
        world.other?.close();
      },
    };
    return world;
  },
  daemon: async (world) => {
    world.daemon = await startObserved({
      config: {
        auth: await usersAuth({ name: "demo", password: "secret" }),
        backend: "process",
        health: { enable: true, listen: `127.0.0.1:${world.port}` },
      },
      // Of a daemon that cannot start, the log may end before the process does.
      ready: ({ log, ending }) => Promise.any([log.any("SSH_AVAILABLE"), ending]),
    });
    return world.daemon;
  },
  // After ssh.
  subject: 1,
  looks: {
    "service.up.starting": seesStart,
    "service.up.running": answers,
    "service.up.stable": answers,
    "service.pausing": async (_, { log }) => {
      const { level } = await log.any("SERVICE_LISTENER_LOST", { service: "health" });
      expect(level).toBe("error");
    },
    "service.gaveUp": async ({ port }, { ending, log }) => {
      await log.any("HTTP_LISTEN_FAILED", ({ level }) => level === "crit");
      expect(await ending).toEqual({ code: 1, signal: null });
      expect(await listenersOf(port)).toEqual([process.pid]);
      expect(log.all("HEALTH_AVAILABLE")).toEqual([]);
    },
  },
});
