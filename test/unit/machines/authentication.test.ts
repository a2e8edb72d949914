import { describe, expect, it } from "vitest";
import { assign, createActor, fromPromise, setup } from "xstate";
import { authenticationMachine } from "../../../machines/authentication.ts";
import type {
  AuthenticationOutcome,
  AuthenticationRequested,
  IdentityMismatched,
  IdentityVerified,
  InteractionBegan,
} from "../../../machines/authentication-facts.ts";
import type {
  Attempt,
  AuthenticationMethod,
  GssapiCredential,
  Identity,
  LogLine,
  PublicKeyCredential,
  Refusal,
} from "../../../machines/facts.ts";
import type { KerberosOutcome, kerberosMachine } from "../../../machines/kerberos.ts";
import type { OidcOutcome, oidcMachine } from "../../../machines/oidc.ts";
import { identityOf, passwordOf, publicKeyOf } from "./values.ts";

const refused: Refusal = {
  code: "AUTH_FAILED",
  userMessage: "No.",
  message: "no",
  details: {},
  level: "notice",
};

/** A conversation with scripted verdicts, and everything it said. */
const conversation = (
  options: {
    readonly methods?: readonly AuthenticationMethod[];
    readonly kerberosMethods?: readonly AuthenticationMethod[];
    readonly password?: (attempt: Attempt) => Promise<Identity>;
    readonly key?: (attempt: Attempt<PublicKeyCredential>) => Promise<Identity>;
    readonly signature?: () => Promise<void>;
    readonly browser?: () => Promise<OidcOutcome>;
    readonly kerberos?: () => Promise<KerberosOutcome>;
    readonly verdict?: (identity: Identity) => Refusal | undefined;
  } = {},
) => {
  const said: string[] = [];
  const lines: LogLine[] = [];
  const machine = authenticationMachine.provide({
    actors: {
      checkPassword: fromPromise(({ input }) => options.password?.(input) ?? Promise.reject(refused)),
      askForKey: fromPromise(({ input }) => {
        said.push(`asked for ${input.credential.fingerprint}`);
        return options.key?.(input) ?? Promise.reject(refused);
      }),
      verifySignature: fromPromise(() => options.signature?.() ?? Promise.reject(refused)),
      oidc: endingWith(() => options.browser?.() ?? Promise.reject(refused)) as typeof oidcMachine,
      kerberos: endingWith(() => options.kerberos?.() ?? Promise.reject(refused)) as typeof kerberosMachine,
    },
    actions: {
      answerFailure: (_, { methods }) => void said.push(`failure ${methods.join(",")}`),
      answerKeyAcceptable: () => void said.push("key acceptable"),
      answerSuccess: () => void said.push("success"),
      showBanner: (_, { text }) => void said.push(`banner ${text}`),
      log: (_, { line }) => {
        said.push(`log ${line.code}`);
        lines.push(line);
      },
    },
  });
  const parent = setup({
    types: {
      events: {} as IdentityVerified | IdentityMismatched | AuthenticationRequested | InteractionBegan,
      context: {} as { outcome: AuthenticationOutcome | undefined },
    },
    actors: { machine },
  }).createMachine({
    context: { outcome: undefined },
    invoke: {
      id: "authentication",
      src: "machine",
      input: {
        connectionId: "c1",
        methods: options.methods ?? ["publickey", "password"],
        kerberosMethods: options.kerberosMethods ?? [],
        attemptLimit: 6,
      },
      onDone: { actions: ({ event }) => void said.push(`outcome ${event.output.kind}`) },
    },
    on: {
      "interaction.began": { actions: () => void said.push("interaction began") },
      "identity.mismatched": {
        actions: ({ event, self }) => {
          said.push(`${event.identity.authenticatedUsername} asked for ${event.identity.username}`);
          const child = self.getSnapshot().children.authentication;
          queueMicrotask(() => child?.send({ type: "mismatch.reported" }));
        },
      },
      "identity.verified": {
        actions: ({ event, self }) => {
          const refusal = options.verdict?.(event.identity);
          const child = self.getSnapshot().children.authentication;
          queueMicrotask(() =>
            child?.send(
              refusal === undefined ? { type: "login.granted" } : { type: "login.refused", refusal },
            ),
          );
        },
      },
    },
  });
  const actor = createActor(parent).start();
  const child = actor.getSnapshot().children.authentication;
  if (child === undefined) throw new Error("no conversation");
  /** Sends a request and waits until it was answered. */
  const request = async (event: Omit<AuthenticationRequested, "type">): Promise<string[]> => {
    const before = said.length;
    child.send({ type: "authentication.requested", ...event });
    await expect
      .poll(() => said.slice(before).some((line) => /^(failure|success|key|outcome)/.test(line)))
      .toBe(true);
    return said.slice(before);
  };
  const abandon = () => child.send({ type: "authentication.abandoned" });
  return { request, abandon, said, lines };
};

/** A login with a browser that ends as it is told. */
const endingWith = (ending: () => Promise<OidcOutcome | KerberosOutcome>): unknown =>
  setup({
    types: {
      context: {} as { outcome: OidcOutcome | KerberosOutcome | undefined },
      output: {} as OidcOutcome | KerberosOutcome | undefined,
    },
    actors: { ending: fromPromise(ending) },
  }).createMachine({
    context: { outcome: undefined },
    output: ({ context }) => context.outcome,
    initial: "waiting",
    states: {
      waiting: {
        invoke: {
          src: "ending",
          onDone: { target: "ended", actions: assign(({ event }) => ({ outcome: event.output })) },
        },
      },
      ended: { type: "final" },
    },
  });

const none = { username: "jane", method: "none", credential: undefined };
const password = { username: "jane", method: "password", credential: passwordOf("secret") };
const probe = { username: "jane", method: "publickey", credential: publicKeyOf({ signed: false }) };
const signed = { username: "jane", method: "publickey", credential: publicKeyOf({ signed: true }) };

const interactive = {
  username: "jane",
  method: "keyboard-interactive",
  credential: { method: "keyboard-interactive", ask: () => Promise.resolve([]) },
} as const;

describe("the authentication machine", () => {
  it("tells which methods there are when asked, and counts nothing for it", async () => {
    const { request } = conversation({ methods: ["password"] });
    for (let times = 0; times < 10; times++) expect(await request(none)).toEqual(["failure password"]);
  });

  it("refuses a method that is not configured with the ones that are", async () => {
    const { request } = conversation({ methods: ["publickey"] });
    expect(await request(password)).toContain("failure publickey");
    expect(await request({ username: "jane", method: "gssapi-with-mic", credential: undefined })).toEqual([
      "log SSH_AUTH_UNAVAILABLE",
      "failure publickey",
    ]);
  });

  it("logs who tried what cannot be tried, and why not", async () => {
    const { request, lines } = conversation();
    const problem = "keys or signatures of the kind ssh-dss are not supported";
    await request({ username: "jane", method: "publickey", credential: undefined, problem });
    await request({ username: "joe", method: "hostbased", credential: undefined });
    expect(lines).toMatchObject([
      {
        code: "SSH_AUTH_FAILED",
        message: `What the client offered cannot be used: ${problem}`,
        details: { username: "jane", method: "publickey", failures: 1 },
      },
      { code: "SSH_AUTH_UNAVAILABLE", details: { username: "joe", method: "hostbased", failures: 2 } },
    ]);
  });

  it("grants a right password once the parent agrees", async () => {
    const { request, said } = conversation({ password: async () => identityOf("jane") });
    await request(password);
    await expect.poll(() => said).toContain("outcome granted");
    expect(said).toContain("success");
  });

  it("goes on after the parent's refusal, and shows its sentence", async () => {
    const { request } = conversation({
      password: async () => identityOf("jane"),
      verdict: () => ({ ...refused, code: "AUTHZ_FAILED", userMessage: "You may not come in." }),
    });
    expect(await request(password)).toEqual([
      "log AUTHZ_FAILED",
      "banner You may not come in.",
      "failure publickey,password",
    ]);
  });

  it("never logs in by a key that only was asked about", async () => {
    const { request, said } = conversation({
      key: async () => identityOf("jane"),
      signature: async () => undefined,
    });
    expect(await request(probe)).toEqual(["asked for SHA256:abc", "key acceptable"]);
    expect(said).not.toContain("success");
  });

  it("asks about a key once, and logs in by its signature", async () => {
    const { request } = conversation({
      key: async () => identityOf("jane"),
      signature: async () => undefined,
    });
    await request(probe);
    expect(await request(signed)).toEqual(["success", "outcome granted"]);
  });

  it("asks before it verifies when the first request is signed already", async () => {
    const { request } = conversation({
      key: async () => identityOf("jane"),
      signature: async () => undefined,
    });
    expect(await request(signed)).toEqual(["asked for SHA256:abc", "success", "outcome granted"]);
  });

  it("asks again about a key that another user name offers", async () => {
    const { request } = conversation({ key: async ({ username }) => identityOf(username) });
    await request(probe);
    expect(await request({ ...probe, username: "root" })).toContain("asked for SHA256:abc");
  });

  describe("says of keys", () => {
    const keysRefused = { ...refused, level: "info" } as const;
    const backendFailed = {
      ...refused,
      level: "error",
      code: "AUTH_BACKEND_ERROR",
      userMessage: "Later.",
    } as const;
    const offer = (number: number) => ({
      ...probe,
      credential: { ...publicKeyOf({ signed: false }), fingerprint: `SHA256:${number}` },
    });
    const banners = (said: readonly string[]) => said.filter((line) => line.startsWith("banner"));

    it("nothing where a password may follow", async () => {
      const { request, said } = conversation({ key: () => Promise.reject(keysRefused) });
      for (const number of [1, 2, 3]) await request(offer(number));
      expect(banners(said)).toEqual([]);
      await request(password);
      expect(banners(said)).toEqual(["banner No."]);
    });

    it("once why one is refused, where there is no other way in", async () => {
      const { request, said } = conversation({
        methods: ["publickey"],
        key: () => Promise.reject(keysRefused),
      });
      for (const number of [1, 2, 3]) expect((await request(offer(number))).at(-1)).toBe("failure publickey");
      expect(banners(said)).toEqual(["banner No."]);
    });

    it("once that nobody could be asked, wherever", async () => {
      const { request, said } = conversation({ key: () => Promise.reject(backendFailed) });
      for (const number of [1, 2, 3]) await request(offer(number));
      expect(banners(said)).toEqual(["banner Later."]);
    });

    it("each time what is refused to somebody whose key was good", async () => {
      const { request, said } = conversation({
        key: async () => identityOf("jane"),
        signature: async () => undefined,
        verdict: () => ({ ...refused, code: "AUTHZ_FAILED", userMessage: "You may not come in." }),
      });
      for (const _ of [1, 2]) await request(signed);
      expect(banners(said)).toEqual(["banner You may not come in.", "banner You may not come in."]);
    });
  });

  it("refuses a wrong signature, silently for the user", async () => {
    const { request } = conversation({ key: async () => identityOf("jane") });
    expect(await request(signed)).toEqual([
      "asked for SHA256:abc",
      "log AUTH_FAILED",
      "failure publickey,password",
    ]);
  });

  it("ends after six failures", async () => {
    const { request } = conversation();
    for (let attempt = 1; attempt <= 5; attempt++)
      expect(await request(password)).toContain("failure publickey,password");
    expect(await request(password)).toEqual(["log AUTH_FAILED", "outcome refused"]);
  });

  describe("with a browser", () => {
    const methods = ["keyboard-interactive"] as const;

    it("grants who was identified, once the parent agrees", async () => {
      const { request, said } = conversation({
        methods,
        browser: async () => ({ kind: "granted", identity: identityOf("jane") }),
      });
      await request(interactive);
      await expect.poll(() => said).toEqual(["interaction began", "success", "outcome granted"]);
    });

    it("tells the user why they were refused", async () => {
      const { request } = conversation({
        methods,
        browser: async () => ({ kind: "refused", refusal: refused }),
      });
      expect(await request(interactive)).toEqual([
        "interaction began",
        "log AUTH_FAILED",
        "banner No.",
        "failure keyboard-interactive",
      ]);
    });

    it("gives up an attempt that the client abandoned, without a word to the user", async () => {
      const { request, abandon } = conversation({ methods, browser: () => new Promise(() => {}) });
      const ended = request(interactive);
      abandon();
      expect(await ended).toEqual([
        "interaction began",
        "log SSH_AUTH_FAILED",
        "failure keyboard-interactive",
      ]);
    });

    it("is not tried where it is not configured", async () => {
      const { request } = conversation({ methods: ["password"] });
      expect(await request(interactive)).toEqual([
        "log SSH_AUTH_UNAVAILABLE",
        "banner This way of logging in is not available here.",
        "failure password",
      ]);
    });
  });

  describe("what is for Kerberos", () => {
    const methods = ["gssapi-with-mic", "password"] as const;
    const ticket = {
      username: "jane",
      method: "gssapi-with-mic",
      credential: {
        method: "gssapi-with-mic",
        exchange: () => new Promise<never>(() => {}),
        showError: () => {},
        signedData: () => Buffer.alloc(0),
      } satisfies GssapiCredential,
    };
    const granting = async (): Promise<KerberosOutcome> => ({
      kind: "granted",
      identity: identityOf("jane"),
    });

    it.each([
      ["a ticket", ticket],
      ["a password", password],
    ])("%s is decided by Kerberos alone", async (_, proof) => {
      const { request, said } = conversation({
        methods,
        kerberosMethods: methods,
        kerberos: granting,
        password: () => Promise.reject(new Error("nobody else is asked")),
      });
      await request(proof);
      await expect.poll(() => said).toEqual(["success", "outcome granted"]);
    });

    it("a password is somebody else's where only tickets are for Kerberos", async () => {
      const { request, said } = conversation({
        methods,
        kerberosMethods: ["gssapi-with-mic"],
        password: async () => identityOf("jane"),
      });
      await request(password);
      await expect.poll(() => said).toEqual(["success", "outcome granted"]);
    });

    it("is refused with a sentence, and the methods that are left", async () => {
      const { request } = conversation({
        methods,
        kerberosMethods: methods,
        kerberos: async () => ({ kind: "refused", refusal: refused }),
      });
      expect(await request(ticket)).toEqual([
        "log AUTH_FAILED",
        "banner No.",
        "failure gssapi-with-mic,password",
      ]);
    });

    it("is reported before it is refused, when somebody asks for another's name", async () => {
      const { request } = conversation({
        methods,
        kerberosMethods: methods,
        kerberos: async () => ({
          kind: "misnamed",
          identity: { ...identityOf("joe"), username: "jane" },
          refusal: refused,
        }),
        verdict: () => undefined,
      });
      expect(await request(ticket)).toEqual([
        "joe asked for jane",
        "log AUTH_FAILED",
        "banner No.",
        "failure gssapi-with-mic,password",
      ]);
    });

    it("ends without a word when the client begins another attempt", async () => {
      const { request, abandon } = conversation({
        methods,
        kerberosMethods: methods,
        kerberos: () => new Promise(() => {}),
      });
      const ended = request(ticket);
      abandon();
      expect(await ended).toEqual(["log SSH_AUTH_FAILED", "failure gssapi-with-mic,password"]);
    });

    it("is not tried where it is not configured", async () => {
      const { request } = conversation({ methods: ["password"], kerberos: granting });
      expect(await request(ticket)).toContain("log SSH_AUTH_UNAVAILABLE");
    });
  });
});
