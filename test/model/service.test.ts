/** Walks machines/service.ts: the health service of a daemon, as it starts, goes on, or cannot start. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { expect } from "vitest";
import { serviceMachine } from "../../machines/service.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { after, REFUSAL, walk } from "../support/model/walk.ts";
import { freePort } from "../support/ports.ts";
import { usersAuth } from "../support/users.ts";

interface ServiceWorld extends AsyncDisposable {
  port: number;
  /** Another program that has the port. */
  other: Server | undefined;
  daemon: ObservedDaemon | undefined;
}

const answers = async ({ port }: ServiceWorld): Promise<void> =>
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);

const NEVER_FAILS =
  "no service of today can fail once it has run: Node.js tells of a listening socket only that a client could not be accepted, which is logged";

walk<ServiceWorld>("service", {
  input: { name: "health" },
  causes: {
    "it listens": { event: { type: "service.ready", address: "" } },
    "a minute goes by": { event: after(serviceMachine, "service.up.running") },
    "another program has its port": {
      event: { type: "service.crashed", error: REFUSAL },
      when: (snapshot) => snapshot.matches({ up: "starting" }),
      arrange: async (world) => {
        world.other = createServer().listen(0, "127.0.0.1");
        await once(world.other, "listening");
        world.port = (world.other.address() as AddressInfo).port;
      },
    },
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
      ready: async ({ log, ending }) => {
        await Promise.race([log.any("SSH_AVAILABLE"), ending]);
      },
    });
    return world.daemon;
  },
  // After ssh.
  subject: 1,
  looks: {
    "service.up.starting": (_, { pid }) => expect(pid).toBeGreaterThan(0),
    "service.up.running": answers,
    "service.up.stable": answers,
    "service.gaveUp": async (_, { ending, log }) => {
      await log.any("HTTP_LISTEN_FAILED", ({ level }) => level === "crit");
      expect(await ending).toEqual({ code: 1, signal: null });
    },
  },
  stepSeconds: 90,
  unreached: {
    "service.up|xstate.error.actor.0.service.up|0":
      "a service that throws in place of failing would be a bug",
    "service.up|xstate.error.actor.0.service.up|1": "as the one before it",
    "service.up|service.crashed|1": NEVER_FAILS,
    "service.pausing": NEVER_FAILS,
    "service.pausing|xstate.after.pause.service.pausing|0": NEVER_FAILS,
  },
});
