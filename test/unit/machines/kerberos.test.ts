import { Redacted } from "effect";
import { describe, expect, it } from "vitest";
import { createActor, fromPromise, toPromise } from "xstate";
import type { GssapiCredential, Identity } from "../../../machines/facts.ts";
import {
  type ClientMessage,
  type KerberosLogin,
  type KerberosOutcome,
  type KerberosProfile,
  type KerberosSession,
  kerberosMachine,
} from "../../../machines/kerberos.ts";
import type {} from "../../../src/auth/kerberos/actors.ts";
import { refusalWith } from "./browser-login.ts";
import { identityOf, passwordOf } from "./values.ts";

const gssapi: GssapiCredential = {
  method: "gssapi-with-mic",
  exchange: () => Promise.reject(new Error("not used")),
  showError: () => {},
  signedData: () => Buffer.alloc(0),
};

const messageOf = (kind: ClientMessage["kind"]): ClientMessage => ({
  kind,
  bytes: Redacted.make(Buffer.from(kind)),
});

const sessionWith = (isEstablished: boolean): KerberosSession => ({
  number: 1,
  proof: "ticket",
  token: undefined,
  principal: undefined,
  isEstablished,
});

const failure = (code: string): Error => Object.assign(new Error(code), refusalWith(code));

interface Script {
  readonly credential?: KerberosLogin["credential"];
  /** What the client says, in its order. */
  readonly messages?: readonly (ClientMessage["kind"] | Error)[];
  /** How many tokens the context takes. */
  readonly tokens?: number;
  readonly profile?: Partial<KerberosProfile> & { readonly name?: string };
  /** What goes wrong, by the actor's name. */
  readonly failures?: Readonly<Record<string, string>>;
  readonly forwarded?: Identity;
}

const login = async (script: Script = {}) => {
  const { messages = ["token", "mic"], tokens = 1, profile = {}, failures = {} } = script;
  const done: string[] = [];
  const waiting = [...messages];
  const step =
    <A>(name: string, value: A) =>
    async (): Promise<A> => {
      done.push(name);
      if (failures[name] !== undefined) throw failure(failures[name]);
      return value;
    };
  let accepted = 0;
  const { name = "jane", ...rest } = profile;
  const identity = { ...identityOf("jane"), authenticatedUsername: name };
  const machine = kerberosMachine.provide({
    actors: {
      openSession: fromPromise(async ({ input: { credential } }) => ({
        ...sessionWith(false),
        proof: credential.method === "password" ? "password" : "ticket",
      })),
      receiveMessage: fromPromise(async () => {
        const message = waiting.shift();
        if (message instanceof Error || message === undefined) throw message ?? failure("SILENCE");
        return messageOf(message);
      }),
      acceptToken: fromPromise(async () => {
        done.push("acceptToken");
        if (failures.acceptToken !== undefined) throw failure(failures.acceptToken);
        accepted += 1;
        return sessionWith(accepted === tokens);
      }),
      verifyMic: fromPromise(step<void>("verifyMic", undefined)),
      getCredentials: fromPromise(step("getCredentials", sessionWith(true))),
      proveKdc: fromPromise(step<void>("proveKdc", undefined)),
      identify: fromPromise(
        step("identify", { identity, principal: `${name}@EXAMPLE.COM`, enforcesUsername: true, ...rest }),
      ),
      forwardCredentials: fromPromise(step("forwardCredentials", script.forwarded ?? identity)),
    },
    actions: { log: (_, { line }) => void done.push(`log ${line.code}`) },
  });
  const actor = createActor(machine, {
    input: { connectionId: "c1", username: "jane", credential: script.credential ?? gssapi },
  });
  const outcome = toPromise(actor) as Promise<KerberosOutcome>;
  actor.start();
  return { outcome: await outcome, done };
};

const refusedWith = (code: string) => ({ kind: "refused", refusal: { code } });

describe("a login with a ticket", () => {
  it("is proven by tokens and a signature, then by the user name", async () => {
    const { outcome, done } = await login();
    expect(outcome).toMatchObject({ kind: "granted", identity: { authenticatedUsername: "jane" } });
    expect(done).toEqual(["acceptToken", "verifyMic", "identify", "forwardCredentials"]);
  });

  it("takes as many tokens as the mechanism wants", async () => {
    const { outcome, done } = await login({ tokens: 3, messages: ["token", "token", "token", "mic"] });
    expect(outcome.kind).toBe("granted");
    expect(done.filter((name) => name === "acceptToken")).toHaveLength(3);
  });

  it.each<[string, Script, string]>([
    ["a signature before the tokens", { messages: ["mic"] }, "KRB_VERIFY_ERROR"],
    ["a signature in the middle of the tokens", { tokens: 2 }, "KRB_VERIFY_ERROR"],
    ["another token for a signature", { messages: ["token", "token"] }, "KRB_VERIFY_ERROR"],
    ["an error of the client", { messages: ["errorToken"] }, "KRB_VERIFY_ERROR"],
    ["no signature", { messages: ["token", "exchangeComplete"] }, "KRB_MIC_INVALID"],
    ["a client that is gone", { messages: [failure("SSH_AUTH_FAILED")] }, "SSH_AUTH_FAILED"],
    ["a token that is refused", { failures: { acceptToken: "KRB_TOKEN_REPLAYED" } }, "KRB_TOKEN_REPLAYED"],
    ["a signature that is wrong", { failures: { verifyMic: "KRB_MIC_INVALID" } }, "KRB_MIC_INVALID"],
  ])("%s is refused", async (_, script, code) => {
    const { outcome, done } = await login(script);
    expect(outcome).toMatchObject(refusedWith(code));
    expect(done).not.toContain("forwardCredentials");
  });
});

describe("a login with a password", () => {
  const credential = passwordOf("secret");

  it("is proven by the KDC, and the KDC by the keytab", async () => {
    const { outcome, done } = await login({ credential });
    expect(outcome.kind).toBe("granted");
    expect(done).toEqual(["getCredentials", "proveKdc", "identify", "forwardCredentials"]);
  });

  it.each([
    [{ getCredentials: "AUTH_FAILED" }, "AUTH_FAILED"],
    [{ proveKdc: "KRB_KDC_NOT_PROVEN" }, "KRB_KDC_NOT_PROVEN"],
  ])("%j is refused", async (failures, code) => {
    const { outcome, done } = await login({ credential, failures });
    expect(outcome).toMatchObject(refusedWith(code));
    expect(done).not.toContain("identify");
  });
});

describe.each([
  ["a ticket", gssapi],
  ["a password", passwordOf("secret")],
])("the user name, with %s", (_, credential) => {
  it("has to be the proven one", async () => {
    const { outcome, done } = await login({ credential, profile: { name: "joe" } });
    expect(outcome).toMatchObject({
      kind: "misnamed",
      identity: { username: "jane", authenticatedUsername: "joe" },
      refusal: { code: "KRB_USERNAME_DOES_NOT_MATCH", details: { principal: "joe@EXAMPLE.COM" } },
    });
    expect(done).not.toContain("forwardCredentials");
  });

  it("may be another one where that is not enforced, and both are kept", async () => {
    const { outcome } = await login({ credential, profile: { name: "joe", enforcesUsername: false } });
    expect(outcome).toMatchObject({
      kind: "granted",
      identity: { username: "jane", authenticatedUsername: "joe" },
    });
  });

  it.each([true, false])(
    "is none when no rule fits, whether enforced or not (%s)",
    async (enforcesUsername) => {
      const { outcome } = await login({ credential, profile: { name: "", enforcesUsername } });
      expect(outcome).toMatchObject(refusedWith("KRB_USERNAME_DOES_NOT_MATCH"));
      expect(outcome).toMatchObject({ refusal: { message: expect.stringContaining("No rule") } });
    },
  );
});

describe("forwarded credentials", () => {
  it("are added to the identity", async () => {
    const forwarded = {
      ...identityOf("jane"),
      environment: { KRB5CCNAME: { value: Redacted.make("FILE:/x"), sensitive: false } },
    };
    const { outcome } = await login({ forwarded });
    expect(outcome).toMatchObject({ kind: "granted", identity: forwarded });
  });

  it("that cannot be had cost nobody the login, and the log tells", async () => {
    const { outcome, done } = await login({ failures: { forwardCredentials: "KRB_FORWARD_ERROR" } });
    expect(outcome).toMatchObject({ kind: "granted", identity: { authenticatedUsername: "jane" } });
    expect(done.at(-1)).toBe("log KRB_FORWARD_ERROR");
  });
});
