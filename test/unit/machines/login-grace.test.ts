/** How long a login may take: what clients do by themselves has one limit, people with a browser another. */
import { describe, expect, it } from "vitest";
import { createActor, fromPromise, SimulatedClock } from "xstate";
import { authenticationMachine } from "../../../machines/authentication.ts";
import { connectionMachine } from "../../../machines/connection.ts";
import type { Attempt, Identity } from "../../../machines/facts.ts";
import { oidcMachine } from "../../../machines/oidc.ts";
import { login } from "./browser-login.ts";
import { passwordOf } from "./values.ts";

const MINUTE = 60_000;

const never = () => new Promise<never>(() => {});
const ignore = () => {};

const connect = () => {
  const clock = new SimulatedClock();
  const logged: string[] = [];
  const stopped: string[] = [];
  const log = (_: unknown, { line }: { line: { code: string } }) => void logged.push(line.code);
  const authentication = authenticationMachine.provide({
    actors: {
      checkPassword: fromPromise<Identity, Attempt>(never),
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
    actors: { authentication, release: fromPromise(async () => {}) },
    actions: { log, disconnect: (_, { text }) => void logged.push(text) },
  });
  const actor = createActor(connection, {
    clock,
    input: {
      connectionId: "c1",
      remoteAddress: "127.0.0.1:1",
      methods: ["keyboard-interactive", "password"],
      kerberosMethods: [],
      attemptLimit: 6,
      authorizes: false,
      loginGraceMillis: MINUTE,
      interactiveGraceMillis: 5 * MINUTE,
      closeTimeoutMillis: MINUTE,
      releaseTimeoutMillis: MINUTE,
    },
  }).start();
  actor.send({ type: "handshake.completed", clientVersion: "SSH-2.0-test", algorithms: "" });
  const request = (credential: typeof login.credential | ReturnType<typeof passwordOf>) =>
    actor.send({
      type: "authentication.requested",
      username: "jane",
      method: credential.method,
      credential,
    });
  const isEntering = () => actor.getSnapshot().matches("entering");
  return { clock, logged, stopped, request, isEntering, actor };
};

describe("the time for a login", () => {
  it("is a minute for what needs no person", () => {
    const { clock, logged, request, isEntering } = connect();
    request(passwordOf("secret"));
    clock.increment(MINUTE - 1);
    expect(isEntering()).toBe(true);
    clock.increment(1);
    expect(isEntering()).toBe(false);
    expect(logged).toEqual([
      "SSH_KEX_COMPLETED",
      "SSH_LOGIN_GRACE_EXPIRED",
      "Logging in took too long. Please connect again.",
    ]);
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
