/** What a connection and a session make of every event in every state: they go on or end, and no actor breaks. */
import { describe, expect, it } from "vitest";
import { type AnyActorRef, assign, createActor, fromCallback, fromPromise, waitFor } from "xstate";
import { authenticationMachine } from "../../../machines/authentication.ts";
import { connectionMachine } from "../../../machines/connection.ts";
import type { ConnectionEvent } from "../../../machines/connection-facts.ts";
import type { Environment, Refusal, Settings } from "../../../machines/facts.ts";
import { type Home, type Host, processMachine } from "../../../machines/process.ts";
import { provisioningMachine } from "../../../machines/provisioning.ts";
import { sessionMachine } from "../../../machines/session.ts";
import { defaults, settingsOf } from "../../../src/config/schema.ts";
import { identityOf, passwordOf } from "./values.ts";

const never = () => new Promise<never>(() => {});
const ignore = (): void => {};
const refusal: Refusal = { code: "TEST", userMessage: "Sorry.", message: "", details: {}, level: "notice" };
const identity = identityOf("jane");
const settings: Settings = { ...settingsOf(defaults), backend: "process" };
const host: Host = {
  wanted: "none",
  sandbox: { usable: false, reason: "", isCertain: true },
  shell: "/bin/sh",
  shellsTried: "/bin/sh",
};
const environment = { description: "a test" } as Environment;

/** Up to where the outside world answers. */
type Patience = "password" | "authorize" | "configure" | "backend" | "refused" | "release" | "all";
const steps: readonly Patience[] = ["password", "authorize", "configure", "backend", "refused", "release"];

const connect = (until: Patience) => {
  const logged: string[] = [];
  const said: string[] = [];
  const answers = (step: Patience): boolean => until === "all" || steps.indexOf(until) > steps.indexOf(step);
  const log = (_: unknown, { line }: { line: { code: string } }) => void logged.push(line.code);
  const authentication = authenticationMachine.provide({
    actors: { checkPassword: fromPromise(() => (answers("password") ? Promise.resolve(identity) : never())) },
    actions: { log, answerFailure: ignore, answerSuccess: ignore, showBanner: ignore },
  });
  const process = processMachine.provide({
    actors: {
      inspectHost: fromPromise(async () => (answers("backend") ? host : never())),
      prepareHome: fromPromise(async (): Promise<Home> => ({ directory: "/" }) as Home),
      writeFiles: fromPromise(async () => {}),
      openEnvironment: fromPromise(async () => {
        if (until === "refused") throw refusal;
        return environment;
      }),
    },
    actions: { warnOfNoIsolation: ignore },
  });
  const session = sessionMachine.provide({
    actors: { runProgram: fromCallback(ignore) },
    guards: { isAllowed: () => true },
    actions: {
      log,
      acceptRequest: ignore,
      openStreams: ignore,
      showFailure: (_, { text }) => void said.push(text),
      closeChannel: ignore,
      logRequestRefusal: ignore,
      keepProgram: assign((_, { program }) => ({ program })),
    },
  });
  const connection = connectionMachine.provide({
    guards: { mayOpenSession: () => true, mayForward: () => false },
    actors: {
      authentication,
      provisioning: provisioningMachine.provide({ actors: { process } }),
      session,
      authorize: fromPromise(() => (answers("authorize") ? Promise.resolve(identity) : never())),
      configure: fromPromise(() =>
        answers("configure") ? Promise.resolve({ identity, settings }) : never(),
      ),
      release: fromPromise(() => (until === "release" ? never() : Promise.resolve())),
    },
    actions: {
      log,
      acceptChannel: ignore,
      logSessionRefusal: ignore,
      logForwardingRefusal: ignore,
      notifyTerminals: ignore,
      disconnect: (_, { text }) => void said.push(text),
    },
  });
  const actor = createActor(connection, {
    input: {
      connectionId: "c1",
      remoteAddress: "127.0.0.1:1",
      methods: ["password"],
      kerberosMethods: [],
      attemptLimit: 6,
      authorizes: true,
      loginGraceMillis: 60_000,
      interactiveGraceMillis: 60_000,
      reportMillis: 1000,
      closeTimeoutMillis: 60_000,
      releaseTimeoutMillis: 60_000,
    },
  }).start();
  return { actor, logged, said };
};

const handshake: ConnectionEvent = {
  type: "handshake.completed",
  clientVersion: "SSH-2.0-test",
  algorithms: "",
};
const request: ConnectionEvent = {
  type: "authentication.requested",
  username: "jane",
  method: "password",
  credential: passwordOf("secret"),
};
const opened: ConnectionEvent = { type: "session.opened", channel: 0 };
const shell: ConnectionEvent = {
  type: "session.requested",
  channel: 0,
  request: { type: "program.requested", program: { kind: "shell" } },
};
const drain: ConnectionEvent = { type: "drain.requested", notice: "The server stops." };

const events: readonly ConnectionEvent[] = [
  handshake,
  request,
  { ...request, method: "none", credential: undefined },
  { type: "authentication.abandoned" },
  { type: "interaction.began" },
  opened,
  { type: "session.opened", channel: 1 },
  shell,
  { type: "session.requested", channel: 7, request: { type: "signal.requested", signal: "TERM" } },
  { type: "forwarding.requested", forwarding: "direct-tcpip" },
  { type: "session.closed", channel: 0 },
  { type: "session.closed", channel: 7 },
  { type: "session.ended", channel: 7 },
  { type: "environment.lost", refusal },
  drain,
  { type: "disconnect.requested", refusal },
  { type: "peer.failed", refusal },
  { type: "peer.disconnected" },
];

interface Place {
  readonly until: Patience;
  readonly state: object | string;
  readonly sent?: readonly ConnectionEvent[];
  readonly afterwards?: readonly ConnectionEvent[];
}

/** How to come into a state. */
const places: Readonly<Record<string, Place>> = {
  handshaking: { until: "password", state: { entering: { login: "handshaking" } }, sent: [] },
  authenticating: { until: "password", state: { entering: { login: "authenticating" } } },
  authorizing: { until: "authorize", state: { entering: { login: "authorizing" } } },
  "reporting a mismatch": {
    until: "password",
    state: { entering: { login: "authenticating" } },
    afterwards: [{ type: "identity.mismatched", identity }],
  },
  configuring: { until: "configure", state: { entering: { login: "configuring" } } },
  provisioning: { until: "backend", state: "provisioning" },
  "serving nobody": { until: "all", state: { serving: "open" } },
  "serving a session": { until: "all", state: { serving: "open" }, afterwards: [opened, shell] },
  draining: { until: "all", state: { serving: "open" }, afterwards: [opened, shell, drain] },
  "refusing nobody": { until: "refused", state: "refusing" },
  "refusing a session": { until: "refused", state: "refusing", afterwards: [opened] },
  closing: { until: "release", state: { serving: "open" }, afterwards: [{ type: "peer.disconnected" }] },
};

const reach = async ({ until, state, sent = [handshake, request], afterwards = [] }: Place) => {
  const reached = connect(until);
  for (const event of sent) reached.actor.send(event);
  await waitFor(reached.actor, (snapshot) => snapshot.matches(state as never));
  for (const event of afterwards) reached.actor.send(event);
  return reached;
};

const statusOf = (actor: AnyActorRef): string => (actor.getSnapshot() as { status: string }).status;

describe("a connection", () => {
  it.each(Object.keys(places))("%s takes every event, twice", async (name) => {
    for (const event of events) {
      const { actor, logged } = await reach(places[name] as Place);
      actor.send(event);
      actor.send(event);
      expect([name, event.type, statusOf(actor)]).not.toContain("error");
      expect(logged, `${event.type} while ${name}`).not.toContain("UNKNOWN_ERROR");
    }
  });

  it.each([
    "handshaking",
    "authenticating",
    "authorizing",
    "reporting a mismatch",
    "configuring",
    "provisioning",
  ])("that is %s when the daemon stops is told so, and the log says it", async (name) => {
    const { actor, logged, said } = await reach(places[name] as Place);
    actor.send(drain);
    expect(logged).toContain("SSH_SHUTTING_DOWN");
    for (const event of [opened, shell]) actor.send(event);
    expect(said).toEqual(["The server is shutting down. Please connect again in a moment."]);
  });

  it("without an environment tells every program why, and the log once", async () => {
    const { actor, logged, said } = await reach(places["refusing nobody"] as Place);
    for (const event of [opened, shell]) {
      actor.send(event);
      actor.send({ ...event, channel: 1 });
    }
    expect(said).toEqual([refusal.userMessage, refusal.userMessage]);
    expect(logged.filter((code) => code === refusal.code)).toHaveLength(1);
  });
});
