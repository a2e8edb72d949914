/** What happens to a connection before the login, as causes for walks: of machines/connection-entering.ts. */
import type { AnyMachineSnapshot, SnapshotFrom } from "xstate";
import { connectionMachine } from "../../../machines/connection.ts";
import type { BackendName } from "../../../machines/facts.ts";
import { Message, message, Reader, string } from "../../../src/ssh/wire.ts";
import { KERBEROS } from "../gssapi-client.ts";
import { approveDevice } from "../oidc-provider.ts";
import { hopTo } from "../sshproxy.ts";
import { answer } from "../webhook-server.ts";
import { PASSWORD, type WireClient } from "../wire-client.ts";
import { type ConnectionWorld, clientOf } from "./connection-world.ts";
import { firstThen } from "./portal.ts";
import { after, type Cause, done, fails, REFUSAL } from "./walk.ts";

export type ConnectionContext = SnapshotFrom<typeof connectionMachine>["context"];

export const contextOf = (snapshot: AnyMachineSnapshot): ConnectionContext => snapshot.context;
export const isSlow = (snapshot: AnyMachineSnapshot): boolean =>
  contextOf(snapshot).identity?.username === "slow";
const isUnanswered = (snapshot: AnyMachineSnapshot): boolean =>
  contextOf(snapshot).identity?.username === "unanswered";
const isConfigured = (snapshot: AnyMachineSnapshot): boolean => contextOf(snapshot).settings !== undefined;
const isTimeOver = (snapshot: AnyMachineSnapshot): boolean =>
  snapshot.matches({ entering: { patience: "over" } });

export const isInTime = (snapshot: AnyMachineSnapshot): boolean => !isTimeOver(snapshot);

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

/** Proves to be somebody else than who is to be logged in; shortly before the time for that is over, if it is to be. */
const proveToBeAnother = async (world: ConnectionWorld): Promise<void> => {
  const client = await clientOf(world);
  const { username, servers } = world;
  const mechanisms = [{ uint32: 1 }, KERBEROS];
  client.send(Message.USERAUTH_REQUEST, username, "ssh-connection", "gssapi-with-mic", ...mechanisms);
  await client.next(Message.USERAUTH_GSSAPI_RESPONSE);
  client.send(Message.USERAUTH_GSSAPI_TOKEN, await servers.stranger.begin());
  await servers.stranger.step(new Reader(await client.next(Message.USERAUTH_GSSAPI_TOKEN)).string());
  const request = message(Message.USERAUTH_REQUEST, username, "ssh-connection", "gssapi-with-mic");
  const mic = await servers.stranger.sign(Buffer.concat([string(client.sessionId), request]));
  if (world.provesLate) {
    const dueMillis = world.begunAtMillis + SHORT_MILLIS - LATE_MILLIS;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMillis - performance.now())));
  }
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

export const REFUSED = { kind: "refused", refusal: REFUSAL };

/** Long enough to come to where a login is to be out of time. */
const SHORT_MILLIS = 8000;
const SHORT = `${SHORT_MILLIS}ms`;
/** Shorter than the two seconds that a report of a mismatch may take, and longer than it takes until it begins. */
const LATE_MILLIS = 1400;

export const enteringCauses: Readonly<Record<string, Cause<ConnectionWorld>>> = {
  "keys are exchanged": {
    event: { type: "handshake.completed", clientVersion: "", algorithms: "" },
    cause: clientOf,
  },
  "a password is tried": {
    event: { type: "authentication.requested", username: "", method: "password", credential: undefined },
    // The first that is tried is the wrong one.
    when: (snapshot) => contextOf(snapshot).identity === undefined && isInTime(snapshot),
    arrange: ({ answers }) => {
      answers.password = firstThen(answer({ success: false }), answers.password);
    },
    cause: async (world) => void (await ask(world, "password", false, PASSWORD)),
  },
  "the password is right": {
    event: verified("walker"),
    when: isInTime,
    cause: async (world) => void (await ask(world, "password", false, PASSWORD)),
  },
  "the password is right, and nobody is to be asked about the user": {
    event: verified("unauthorized"),
    when: isInTime,
    arrange: (world) => {
      world.kind.authorizes = false;
    },
    cause: async (world) => void (await ask(world, "password", false, PASSWORD)),
  },
  "the password is right, and nobody answers what is asked about the user": {
    event: verified("unanswered"),
    when: ({ context }) => context.identity === undefined,
    arrange: ({ kind, silent }) => {
      kind.loginGraceTime = SHORT;
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
    when: isInTime,
    cause: proveToBeAnother,
  },
  "the client proves to be another user, and nobody is to be told": {
    event: { type: "identity.mismatched", identity: identity("unauthorized") },
    when: isInTime,
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
  "the grace time is over while another user is reported": {
    event: after(connectionMachine, "connection.entering.patience.ordinary"),
    when: (snapshot) => snapshot.matches({ entering: { login: "reportingMismatch" } }),
    arrange: (world) => {
      world.kind.loginGraceTime = SHORT;
      world.provesLate = true;
      world.silent.add("authorization");
    },
  },
  "the user's backend is sshproxy": configured("sshproxy", ({ overlay, gate, servers }) => {
    overlay.sshproxy = { ...hopTo(servers.sshd), port: gate.port };
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
      answers.configuration = firstThen(answer({ config: { process: { shel: "" } } }), answers.configuration);
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
    when: (snapshot) => snapshot.matches({ entering: { login: "authenticating" } }) && isInTime(snapshot),
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
      world.kind.loginGraceTime = SHORT;
      world.isSilent = true;
    },
    when: (snapshot) => snapshot.matches({ entering: { login: "handshaking" } }),
  },
  "the grace time of a login with a browser is over": {
    event: after(connectionMachine, "connection.entering.patience.interactive"),
    when: (snapshot) => snapshot.matches({ entering: { login: "authenticating" } }),
    arrange: (world) => {
      world.kind.loginGraceTime = SHORT;
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
      world.kind.loginGraceTime = SHORT;
      world.silent.add("configuration");
    },
  },
};
