/** The way to a server: one hop after another, no secret before the host key is known, retries until the time is over. */
import { describe, expect, it } from "vitest";
import { createActor, fromPromise, SimulatedClock } from "xstate";
import type { Environment } from "../../../machines/facts.ts";
import {
  type Dialing,
  type Hop,
  type Peer,
  type Route,
  sshProxyMachine,
} from "../../../machines/sshproxy.ts";
import { HandshakeFailed, ServerUnreachable } from "../../../src/backend/sshproxy/failures.ts";
import { defaults, settingsOf } from "../../../src/config/schema.ts";
import { identityOf } from "./values.ts";

/** Lets promises that are settled be noticed. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

const hop = (address: string, ...allowedFingerprints: readonly string[]) =>
  ({ address, allowedFingerprints }) as Hop;
const peer = (fingerprint: string) => ({ fingerprint }) as Peer;
const unreachable = () =>
  new ServerUnreachable({ message: "nobody answers", details: { error: "ECONNREFUSED" } });

const proxy = (
  hops: readonly Hop[],
  dial: (dialing: Dialing) => Promise<Peer>,
  logIn: () => Promise<void> = async () => {},
) => {
  const clock = new SimulatedClock();
  const events: string[] = [];
  const machine = sshProxyMachine.provide({
    actors: {
      planRoute: fromPromise(async () => ({ hops, timeoutMillis: 60_000 }) as Route),
      dial: fromPromise(({ input }) => {
        events.push(`dial ${input.hop.address} through ${input.through?.fingerprint ?? "nothing"}`);
        return dial(input);
      }),
      logIn: fromPromise(({ input }) => {
        events.push(`log in to ${input.peer.fingerprint}`);
        return logIn();
      }),
      openEnvironment: fromPromise(async ({ input }) => ({ description: input.hop.address }) as Environment),
    },
    actions: {
      log: (_, { line }) => void events.push(line.code),
      hangUp: (_, { peer: stranger }) => void events.push(`hang up on ${stranger.fingerprint}`),
    },
  });
  const input = { connectionId: "c1", identity: identityOf("jane"), settings: settingsOf(defaults) };
  const actor = createActor(machine, { input, clock });
  actor.start();
  const pass = async (millis: number, step = 250) => {
    for (let passed = 0; passed < millis; passed += step) {
      await settle();
      clock.increment(step);
    }
    await settle();
    await settle();
  };
  return { pass, events, clock, outcome: () => actor.getSnapshot().output };
};

describe("the way to a server", () => {
  it("dials, sees the host key, logs in", async () => {
    const { pass, events, outcome } = proxy([hop("a:22", "A", "B")], async () => peer("B"));
    await pass(250);
    expect(events).toEqual(["dial a:22 through nothing", "log in to B"]);
    expect(outcome()).toEqual({ kind: "ready", environment: { description: "a:22" } });
  });

  it("goes through one jump host after another, each by its own host key", async () => {
    const hops = [hop("j1:22", "J1"), hop("j2:22", "J2"), hop("a:22", "A")];
    const { pass, events, outcome } = proxy(hops, async ({ hop: { allowedFingerprints } }) =>
      peer(allowedFingerprints[0] ?? ""),
    );
    await pass(1_000);
    expect(events).toEqual([
      ...["dial j1:22 through nothing", "log in to J1"],
      ...["dial j2:22 through J1", "log in to J2"],
      ...["dial a:22 through J2", "log in to A"],
    ]);
    expect(outcome()).toMatchObject({ kind: "ready" });
  });

  it.each([[["A", "B"]], [[]]])("does not log in where the host key is none of %j", async (allowed) => {
    const { pass, events, outcome } = proxy([hop("a:22", ...allowed)], async () => peer("EVIL"));
    await pass(250);
    expect(events).toEqual(["dial a:22 through nothing", "hang up on EVIL"]);
    expect(outcome()).toMatchObject({
      kind: "refused",
      refusal: {
        code: "SSHPROXY_INVALID_FINGERPRINT",
        details: { server: "a:22", fingerprint: "EVIL", allowed: allowed.join(" ") },
      },
    });
  });

  it("dials again, less and less often, until the time is over, and says why it was in vain", async () => {
    const { pass, events, outcome, clock } = proxy([hop("a:22", "A")], () => Promise.reject(unreachable()));
    await pass(59_750);
    expect(outcome()).toBeUndefined();
    const dials = events.filter((event) => event.startsWith("dial")).length;
    expect([dials, clock.now()]).toEqual([11, 59_750]);
    await pass(250);
    expect(outcome()).toMatchObject({
      kind: "refused",
      refusal: {
        code: "SSHPROXY_BACKEND_FAILED",
        message: "nobody answers",
        details: { server: "a:22", error: "ECONNREFUSED", attempts: 11, timeoutSeconds: 60 },
      },
    });
  });

  it("reaches a server that comes up meanwhile", async () => {
    let left = 3;
    const { pass, events, outcome } = proxy([hop("a:22", "A")], () =>
      left-- > 0 ? Promise.reject(unreachable()) : Promise.resolve(peer("A")),
    );
    await pass(3_000);
    expect(events.filter((event) => event === "SSHPROXY_BACKEND_FAILED")).toHaveLength(3);
    expect(outcome()).toMatchObject({ kind: "ready" });
  });

  it("waits no longer than the time for a server that says nothing", async () => {
    const { pass, outcome } = proxy([hop("a:22", "A")], () => new Promise(() => {}));
    await pass(60_000, 1_000);
    expect(outcome()).toMatchObject({
      refusal: { code: "SSHPROXY_BACKEND_FAILED", details: { attempts: 0 } },
    });
  });

  it("does not try again to log in", async () => {
    const failure = new HandshakeFailed({ message: "the server hung up" });
    const { pass, events, outcome } = proxy(
      [hop("a:22", "A")],
      async () => peer("A"),
      () => Promise.reject(failure),
    );
    await pass(20_000);
    expect(events).toEqual(["dial a:22 through nothing", "log in to A"]);
    expect(outcome()).toMatchObject({ refusal: { code: "SSHPROXY_BACKEND_HANDSHAKE_FAILED" } });
  });
});
