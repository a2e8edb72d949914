/** How long a login may take: what clients do by themselves has one limit, people with a browser another. */
import { describe, expect, it } from "vitest";
import { createActor, fromPromise, SimulatedClock, waitFor } from "xstate";
import { authenticationMachine } from "../../../machines/authentication.ts";
import { connectionMachine } from "../../../machines/connection.ts";
import type { IdentityOfConnection } from "../../../machines/connection-facts.ts";
import type {
  Attempt,
  AuthenticationMethod,
  Credential,
  Identity,
  PublicKeyCredential,
  Settings,
} from "../../../machines/facts.ts";
import { type KerberosLogin, type KerberosSession, kerberosMachine } from "../../../machines/kerberos.ts";
import { oidcMachine } from "../../../machines/oidc.ts";
import { login } from "./browser-login.ts";
import { identityOf, passwordOf, publicKeyOf } from "./values.ts";

const MINUTE = 60_000;

const never = () => new Promise<never>(() => {});
const ignore = () => {};

interface World {
  readonly kerberosMethods?: readonly AuthenticationMethod[];
  /** Whether an authorization webhook is asked, who never answers, like the configuration server. */
  readonly authorizes?: boolean;
  readonly password?: () => Promise<Identity>;
  readonly shakesHands?: boolean;
}

const connect = ({
  kerberosMethods = [],
  authorizes = false,
  password = never,
  shakesHands = true,
}: World = {}) => {
  const clock = new SimulatedClock();
  const logged: string[] = [];
  const stopped: string[] = [];
  const log = (_: unknown, { line }: { line: { code: string } }) => void logged.push(line.code);
  const authentication = authenticationMachine.provide({
    actors: {
      checkPassword: fromPromise<Identity, Attempt>(password),
      askForKey: fromPromise<Identity, Attempt<PublicKeyCredential>>(never),
      kerberos: kerberosMachine.provide({
        actors: { openSession: fromPromise<KerberosSession, KerberosLogin>(never) },
      }),
      oidc: oidcMachine.provide({
        actors: {
          discover: fromPromise(({ signal }) => {
            signal.addEventListener("abort", () => stopped.push("discovery"));
            return never();
          }),
        },
      }),
    },
    actions: { log, answerFailure: ignore, showBanner: ignore },
  });
  const connection = connectionMachine.provide({
    actors: {
      authentication,
      authorize: fromPromise<Identity, IdentityOfConnection>(never),
      configure: fromPromise<{ identity: Identity; settings: Settings }, IdentityOfConnection>(never),
      release: fromPromise(async () => {}),
    },
    actions: { log, disconnect: (_, { text }) => void logged.push(text) },
  });
  const actor = createActor(connection, {
    clock,
    input: {
      connectionId: "c1",
      remoteAddress: "127.0.0.1:1",
      methods: ["keyboard-interactive", "publickey", "gssapi-with-mic", "password"],
      kerberosMethods,
      attemptLimit: 6,
      authorizes,
      loginGraceMillis: MINUTE,
      interactiveGraceMillis: 5 * MINUTE,
      reportMillis: 1000,
      closeTimeoutMillis: MINUTE,
      releaseTimeoutMillis: MINUTE,
    },
  }).start();
  if (shakesHands) actor.send({ type: "handshake.completed", clientVersion: "SSH-2.0-test", algorithms: "" });
  const request = (credential: Credential) =>
    actor.send({
      type: "authentication.requested",
      username: "jane",
      method: credential.method,
      credential,
    });
  const isEntering = () => actor.getSnapshot().matches("entering");
  return { clock, logged, stopped, request, isEntering, actor };
};

const ticket = {
  method: "gssapi-with-mic",
  exchange: never,
  showError: ignore,
  signedData: () => Buffer.alloc(0),
} as const;
const welcome = async () => identityOf("jane");

const TOO_LONG = ["SSH_LOGIN_GRACE_EXPIRED", "Logging in took too long. Please connect again."];
const UNCHECKED = "Your login can't be checked at this time. Please try again later.";

describe("when the time for a login ends, the refusal is that of", () => {
  it.each<[string, World, Credential | undefined, readonly string[]]>([
    ["the client, in the middle of the key exchange", { shakesHands: false }, undefined, TOO_LONG],
    ["the client, if it has asked for nothing", {}, undefined, TOO_LONG],
    ["the client, whose ticket is waited for", { kerberosMethods: ["gssapi-with-mic"] }, ticket, TOO_LONG],
    ["who checks passwords", {}, passwordOf("secret"), ["AUTH_BACKEND_ERROR", UNCHECKED]],
    ["who checks keys", {}, publicKeyOf({ signed: false }), ["AUTH_BACKEND_ERROR", UNCHECKED]],
    [
      "the KDC that checks passwords",
      { kerberosMethods: ["password"] },
      passwordOf("secret"),
      ["KRB_BACKEND_TIMEOUT", UNCHECKED],
    ],
    [
      "the authorization webhook",
      { authorizes: true, password: welcome },
      passwordOf("secret"),
      ["AUTH_BACKEND_ERROR", UNCHECKED],
    ],
    [
      "the configuration server",
      { password: welcome },
      passwordOf("secret"),
      ["CONFIG_BACKEND_ERROR", "Your environment can't be configured at this time. Please try again later."],
    ],
  ])("%s", async (_, world, credential, told) => {
    const { clock, logged, request, isEntering, actor } = connect(world);
    if (credential !== undefined) request(credential);
    if (world.password !== undefined) {
      const state = world.authorizes === true ? "authorizing" : "configuring";
      await waitFor(actor, (snapshot) => snapshot.matches({ entering: { login: state } }));
    }
    clock.increment(MINUTE);
    expect(isEntering()).toBe(false);
    expect(logged.slice(-2)).toEqual(told);
  });

  it("a person who is waited for", () => {
    const { clock, logged, request, isEntering } = connect();
    request(login.credential);
    clock.increment(5 * MINUTE);
    expect(isEntering()).toBe(false);
    expect(logged.slice(-2)).toEqual(TOO_LONG);
  });
});

it("a login that is refused anyway goes on to its end when authorization keeps silent, or the time is over", () => {
  for (const [sinceStart, until] of [
    [0, 1000],
    [MINUTE - 500, 500],
  ] as const) {
    const { clock, logged, actor, isEntering } = connect({ authorizes: true });
    const isReporting = () => actor.getSnapshot().matches({ entering: { login: "reportingMismatch" } });
    clock.increment(sinceStart);
    actor.send({ type: "identity.mismatched", identity: identityOf("jane") });
    clock.increment(until - 1);
    expect(isReporting()).toBe(true);
    clock.increment(1);
    expect(isReporting()).toBe(false);
    clock.increment(MINUTE);
    expect(isEntering()).toBe(false);
    expect(logged).toEqual(expect.arrayContaining(TOO_LONG));
  }
});

describe("the time for a login", () => {
  it("is a minute for what needs no person", () => {
    const { clock, logged, request, isEntering } = connect();
    request(passwordOf("secret"));
    clock.increment(MINUTE - 1);
    expect(isEntering()).toBe(true);
    clock.increment(1);
    expect(isEntering()).toBe(false);
    expect(logged.at(0)).toBe("SSH_KEX_COMPLETED");
  });

  it("is five minutes from where a person is asked, and then the provider is asked no more", () => {
    const { clock, request, isEntering, stopped } = connect();
    clock.increment(MINUTE - 1);
    request(login.credential);
    clock.increment(5 * MINUTE - 1);
    expect(isEntering()).toBe(true);
    expect(stopped).toEqual([]);
    clock.increment(1);
    expect(isEntering()).toBe(false);
    expect(stopped).toEqual(["discovery"]);
  });

  it("does not begin again with another attempt", () => {
    const { clock, request, isEntering, actor } = connect();
    request(login.credential);
    clock.increment(4 * MINUTE);
    actor.send({ type: "authentication.abandoned" });
    request(login.credential);
    clock.increment(MINUTE - 1);
    expect(isEntering()).toBe(true);
    clock.increment(1);
    expect(isEntering()).toBe(false);
  });

  it("ends what is under way at once when the client disconnects", () => {
    const { request, isEntering, actor, stopped } = connect();
    request(login.credential);
    actor.send({ type: "peer.disconnected" });
    expect(isEntering()).toBe(false);
    expect(stopped).toEqual(["discovery"]);
  });
});
