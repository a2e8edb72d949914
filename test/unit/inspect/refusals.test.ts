/** Which refusals count, and how often: a client tries its keys by itself, a person reads each sentence. */
import { describe, expect, it } from "vitest";
import { createActor, fromCallback, fromPromise, setup, waitFor } from "xstate";
import { authenticationMachine } from "../../../machines/authentication.ts";
import { connectionMachine } from "../../../machines/connection.ts";
import type { ConnectionAdmitted } from "../../../machines/connection-facts.ts";
import type {
  Attempt,
  AuthenticationMethod,
  Credential,
  Identity,
  Provisioning,
  PublicKeyCredential,
  Settings,
} from "../../../machines/facts.ts";
import { type Host, processMachine } from "../../../machines/process.ts";
import { provisioningMachine } from "../../../machines/provisioning.ts";
import { PasswordRefused, PublicKeyRefused } from "../../../src/auth/authenticator.ts";
import { defaults, settingsOf } from "../../../src/config/schema.ts";
import { Recorder } from "../../../src/inspect/recorder.ts";
import { connectionDefaults, identityOf, passwordOf, publicKeyOf } from "../machines/values.ts";

const ID = "0123456789abcdef";
const GOOD_KEY = "SHA256:good";
const ignore = (): void => {};
const settings: Settings = { ...settingsOf(defaults), backend: "process" };

/** As src/connection-supervisor.ts tells the daemon. */
const daemonMachine = setup({
  types: { events: {} as ConnectionAdmitted },
  actors: { connections: fromCallback<ConnectionAdmitted>(({ receive, sendBack }) => receive(sendBack)) },
}).createMachine({
  id: "daemon",
  invoke: { id: "connections", src: "connections" },
  on: { "connection.admitted": {} },
});

const connect = (methods: readonly AuthenticationMethod[] = ["publickey", "password"]) => {
  const recorder = new Recorder({ connections: 1000, bytes: 10_000_000 });
  const root = createActor(daemonMachine, { inspect: recorder.observe }).start();
  const authentication = authenticationMachine.provide({
    actors: {
      checkPassword: fromPromise<Identity, Attempt>(() =>
        Promise.reject(new PasswordRefused({ message: "wrong password" })),
      ),
      askForKey: fromPromise<Identity, Attempt<PublicKeyCredential>>(async ({ input }) => {
        if (input.credential.fingerprint === GOOD_KEY) return identityOf("jane");
        throw new PublicKeyRefused({ message: "unknown key" });
      }),
      verifySignature: fromPromise(async () => {}),
    },
    actions: { log: ignore, answerFailure: ignore, answerSuccess: ignore, showBanner: ignore },
  });
  const machine = connectionMachine.provide({
    actors: {
      authentication,
      provisioning: provisioningMachine.provide({
        actors: {
          process: processMachine.provide({
            actors: { inspectHost: fromPromise<Host, Provisioning>(() => new Promise(() => {})) },
          }),
        },
      }),
      configure: fromPromise(async () => ({ identity: identityOf("jane"), settings })),
      release: fromPromise(async () => {}),
    },
    actions: { log: ignore, disconnect: ignore },
  });
  const actor = createActor(machine, {
    id: ID,
    inspect: recorder.observe,
    input: {
      ...connectionDefaults,
      connectionId: ID,
      remoteAddress: "127.0.0.1:1",
      methods,
    },
  });
  actor.on("connection.admitted", (event) => root.getSnapshot().children.connections?.send(event));
  actor.start();
  actor.send({ type: "handshake.completed", clientVersion: "SSH-2.0-test", algorithms: "" });
  const request = async (credential: Credential) => {
    const { method } = credential;
    actor.send({ type: "authentication.requested", username: "jane", method, credential });
    await expect.poll(isAnswered).toBe(true);
  };
  const isAnswered = (): boolean => {
    const snapshot = actor.getSnapshot();
    const login = snapshot.children.authentication?.getSnapshot();
    return (
      !snapshot.matches("entering") ||
      (login !== undefined && "value" in login && login.value === "awaitingRequest")
    );
  };
  return {
    offerKey: (fingerprint: string) => request({ ...publicKeyOf({ signed: true }), fingerprint }),
    tryPassword: () => request(passwordOf("wrong")),
    leave: async () => {
      actor.send({ type: "peer.disconnected" });
      await waitFor(actor, (snapshot) => snapshot.status === "done");
    },
    seen: () => {
      const { logins, refusals, refusalsByCode } = recorder.statistics();
      const [row] = recorder.traces.rows();
      return { logins, refusals, codes: refusalsByCode.map(({ code }) => code), code: row?.code };
    },
  };
};

const NOTHING = { logins: 0, refusals: 0, codes: [], code: undefined };
const ONE = { logins: 0, refusals: 1, codes: ["AUTH_FAILED"], code: "AUTH_FAILED" };

describe("keys that are refused", () => {
  it.each<[string, readonly AuthenticationMethod[]]>([
    ["next to passwords", ["publickey", "password"]],
    ["where somebody reads of it, too", ["publickey"]],
  ])("are one refusal when the client leaves, %s", async (_, methods) => {
    const { offerKey, leave, seen } = connect(methods);
    for (const fingerprint of ["one", "two", "three"]) await offerKey(fingerprint);
    expect(seen()).toEqual(NOTHING);
    await leave();
    expect(seen()).toEqual(ONE);
  });

  it.each<[string, readonly AuthenticationMethod[]]>([
    ["next to passwords", ["publickey", "password"]],
    ["where somebody reads of it, too", ["publickey"]],
  ])("are none when another lets the client in, %s", async (_, methods) => {
    const { offerKey, leave, seen } = connect(methods);
    for (const fingerprint of ["one", "two", GOOD_KEY]) await offerKey(fingerprint);
    await leave();
    expect(seen()).toEqual({ ...NOTHING, logins: 1 });
  });

  it("are none next to a password that is refused: that is the refusal", async () => {
    const { offerKey, tryPassword, leave, seen } = connect();
    await offerKey("one");
    await tryPassword();
    await leave();
    expect(seen()).toEqual(ONE);
  });
});

describe("a password that is refused", () => {
  it("counts at once, and is not what to look for any more once the user is let in", async () => {
    const { offerKey, tryPassword, leave, seen } = connect();
    await tryPassword();
    expect(seen()).toEqual(ONE);
    await offerKey(GOOD_KEY);
    await leave();
    expect(seen()).toEqual({ ...ONE, logins: 1, code: undefined });
  });
});

describe("a client that leaves without a word", () => {
  it("was not refused", async () => {
    const { leave, seen } = connect();
    await leave();
    expect(seen()).toEqual(NOTHING);
  });
});
