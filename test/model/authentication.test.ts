/** Walks machines/authentication.ts: a client that does what it is told, webhooks, a real OpenID Connect provider and a real KDC. */
import { afterAll, beforeAll, expect } from "vitest";
import type { AnyMachineSnapshot } from "xstate";
import { authenticationMachine } from "../../machines/authentication.ts";
import type { AuthenticationContext } from "../../machines/authentication-facts.ts";
import type { PublicKeyCredential } from "../../machines/facts.ts";
import { Message, message, Reader, string } from "../../src/ssh/wire.ts";
import { linkIn, userCodeIn } from "../support/browser-login.ts";
import type { Configuration } from "../support/daemon.ts";
import { gssapiInitiator } from "../support/gssapi-initiator.ts";
import { type Kdc, startKdc, type Tickets } from "../support/kdc.ts";
import { type LoginWorld, loginWorld } from "../support/model/login.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { askingPortal, firstThen, openPortal, type Portal } from "../support/model/portal.ts";
import { done, fails, REFUSAL, walk } from "../support/model/walk.ts";
import {
  approveDevice,
  CLIENT_ID,
  CLIENT_SECRET,
  type OidcProvider,
  startOidcProvider,
} from "../support/oidc-provider.ts";
import { type SlowKdc, slowKdc } from "../support/slow-kdc.ts";
import { answer } from "../support/webhook-server.ts";
import { ed25519Key, PASSWORD, signedRequest, type UserKey, WireClient } from "../support/wire-client.ts";

/** Kerberos V5 (RFC 1964 section 1), as DER. */
const KERBEROS = Buffer.from("06092a864886f712010202", "hex");
const ATTEMPTS = 6;
/** Long enough to come to what a login is to be out of time in. */
const GRACE = "8s";
const METHODS = ["publickey", "keyboard-interactive", "password", "gssapi-with-mic"];

interface AuthenticationWorld extends LoginWorld {
  readonly key: UserKey;
  client: WireClient;
  /** The first signature is to be wrong. */
  spoilsSignatures: boolean;
  /** The login may not take long, and webhooks do not answer. */
  isImpatient: boolean;
  /** Passwords are checked by a KDC that says nothing. */
  isKdcSilent: boolean;
  questionsBefore: number;
  /** Whether the daemon wants the user name to be the proven one. */
  isStrict: boolean;
}

let portal: Portal;
let provider: OidcProvider;
let kdc: Kdc;
let silent: SlowKdc;
let tickets: Tickets;
let shared: ObservedDaemon;
let impatient: ObservedDaemon;
let strict: ObservedDaemon;
let unheard: ObservedDaemon;

beforeAll(async () => {
  portal = await openPortal();
  provider = await startOidcProvider();
  provider.amend("/device/auth", { interval: 0.2 });
  kdc = await startKdc({ users: { jane: "secret" } });
  tickets = await kdc.kinit("jane");
  silent = await slowKdc(kdc, Number.POSITIVE_INFINITY);
  shared = await start();
  impatient = await start({ loginGraceTime: GRACE });
  strict = await start({ enforceUsername: true });
  unheard = await start({
    loginGraceTime: GRACE,
    password: {
      method: "kerberos",
      kerberos: { keytab: kdc.keytab, configPath: silent.configPath },
    },
  });
});
afterAll(async () => {
  for (const daemon of [unheard, strict, impatient, shared]) await daemon[Symbol.asyncDispose]();
  await silent[Symbol.asyncDispose]();
  await kdc[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
  await portal[Symbol.asyncDispose]();
});

const start = ({
  loginGraceTime = "60s",
  enforceUsername = false,
  password = askingPortal(portal).auth.password as Configuration,
} = {}): Promise<ObservedDaemon> => {
  const { auth, ...sections } = askingPortal(portal);
  return startObserved({
    config: {
      ...sections,
      ssh: { loginGraceTime },
      auth: {
        ...auth,
        password,
        keyboardInteractive: {
          method: "oauth2",
          oauth2: {
            provider: "oidc",
            clientId: CLIENT_ID,
            clientSecret: CLIENT_SECRET,
            oidc: { url: `${provider.issuer}/`, extraScopes: ["email"], enforceScopes: true },
          },
        },
        gssapi: {
          method: "kerberos",
          kerberos: { keytab: kdc.keytab, configPath: kdc.configPath, enforceUsername },
        },
      },
      backend: "process",
    },
  });
};

/** In the model, what a KDC is asked about says so. */
interface ModelCredential extends Partial<PublicKeyCredential> {
  readonly isForKdc?: true;
}

const requested = (method: string, credential?: Omit<ModelCredential, "method">) => ({
  type: "authentication.requested",
  username: "walker",
  method,
  credential: credential && { method, ...credential },
});

const ask = (
  { client, username }: AuthenticationWorld,
  method: string,
  ...fields: Parameters<typeof message>[1][]
) => client.send(Message.USERAUTH_REQUEST, username, "ssh-connection", method, ...fields);

/** Types of the messages that came. */
const received = ({ client }: AuthenticationWorld) =>
  expect.poll(() => client.received.map(([type]) => type ?? 0));

/** What a person is asked: only the instruction is of interest. */
const questionOf = async ({ client }: AuthenticationWorld) => {
  for (;;) {
    // SSH_MSG_USERAUTH_PK_OK has the same number.
    const payload = await client.next(Message.USERAUTH_INFO_REQUEST);
    const reader = new Reader(payload);
    reader.string();
    const instruction = reader.string().toString();
    if (instruction.includes("http")) return { instruction };
  }
};

/** Reads the code, says so, and does with it in a browser what a person does. */
const browse = async (world: AuthenticationWorld, grants?: readonly string[]): Promise<void> => {
  const question = await questionOf(world);
  world.client.send(Message.USERAUTH_INFO_RESPONSE, { uint32: 0 });
  await approveDevice(linkIn(question), userCodeIn(question), grants === undefined ? {} : { grants });
};

const provideTicket = async ({ client, username }: AuthenticationWorld): Promise<void> => {
  await using initiator = gssapiInitiator(tickets);
  await client.next(Message.USERAUTH_GSSAPI_RESPONSE);
  client.send(Message.USERAUTH_GSSAPI_TOKEN, await initiator.begin());
  const reply = new Reader(await client.next(Message.USERAUTH_GSSAPI_TOKEN)).string();
  await initiator.step(reply);
  const request = message(Message.USERAUTH_REQUEST, username, "ssh-connection", "gssapi-with-mic");
  const mic = await initiator.sign(Buffer.concat([string(client.sessionId), request]));
  client.send(Message.USERAUTH_GSSAPI_MIC, mic);
};

/** A webhook that never answers. */
const ignore = (): void => {};

/** A webhook was asked about the user. */
const asks =
  (path: string) =>
  ({ username }: AuthenticationWorld) =>
    expect.poll(() => portal.asked(username)).toContain(path);

const attemptOf = ({ context }: AnyMachineSnapshot) => (context as AuthenticationContext).attempt;
const asksKdc = (snapshot: AnyMachineSnapshot): boolean =>
  snapshot.matches("askingKerberos") && attemptOf(snapshot)?.credential.method === "password";
/** Whether the user name has to be the proven one is the same for all tickets of a path. */
const isFirstTicket = (snapshot: AnyMachineSnapshot): boolean =>
  hasTicket(snapshot) && (snapshot.context as AuthenticationContext).failures === 0;
const hasTicket = (snapshot: AnyMachineSnapshot): boolean => !asksKdc(snapshot);

walk<AuthenticationWorld>("authentication", {
  input: {
    connectionId: "",
    methods: METHODS,
    kerberosMethods: ["gssapi-with-mic"],
    attemptLimit: ATTEMPTS,
  },
  provide: {
    guards: {
      isForKerberos: (_: unknown, { method, credential }: ReturnType<typeof requested>) =>
        method === "gssapi-with-mic" || credential?.isForKdc === true,
    },
  },
  key: ({ failures, attempt, acceptableKeys, identity, refusal }: AuthenticationContext) => [
    failures,
    attempt?.credential,
    Object.keys(acceptableKeys),
    identity !== undefined,
    refusal?.userMessage,
  ],
  causes: {
    "a password": {
      event: requested("password", {}),
      cause: (world) => ask(world, "password", false, PASSWORD),
    },
    "the password is right": { event: done(authenticationMachine, "authentication.checkingPassword", {}) },
    "the parent lets the user in": { event: { type: "login.granted" } },
    "the parent does not let the user in": {
      event: { type: "login.refused", refusal: { ...REFUSAL, userMessage: "You may not." } },
      arrange: ({ answers }) => {
        answers.authorization = firstThen(answer({ success: false }), answers.authorization);
      },
    },
    "the password is wrong": {
      event: fails(authenticationMachine, "authentication.checkingPassword", {
        ...REFUSAL,
        userMessage: "Wrong.",
      }),
      arrange: ({ answers }) => {
        answers.password = firstThen(answer({ success: false }), answers.password);
      },
    },
    "a question for the methods": { event: requested("none"), cause: (world) => ask(world, "none") },
    "an unknown method": {
      event: requested("hostbased"),
      cause: (world) => ask(world, "hostbased", "ssh-ed25519", "", "client", "root", ""),
    },
    "a key": {
      event: requested("publickey", { fingerprint: "key", signed: false }),
      cause: (world) => ask(world, "publickey", false, world.key.type, world.key.blob),
    },
    "a key with a signature": {
      event: requested("publickey", { fingerprint: "key", signed: true }),
      cause: (world) => {
        const { client, username, key } = world;
        const request = signedRequest(client.sessionId, username, key);
        const last = request.length - 1;
        if (world.spoilsSignatures) request[last] = (request[last] ?? 0) ^ 1;
        world.spoilsSignatures = false;
        client.sendRaw(request);
      },
    },
    "the key would do": { event: done(authenticationMachine, "authentication.askingForKey", {}) },
    "nobody knows the key": {
      event: fails(authenticationMachine, "authentication.askingForKey"),
      arrange: ({ answers }) => {
        answers.publicKey = firstThen(answer({ success: false }), answers.publicKey);
      },
    },
    "the signature is right": { event: done(authenticationMachine, "authentication.verifyingSignature") },
    "the signature is wrong": {
      event: fails(authenticationMachine, "authentication.verifyingSignature"),
      // The first one is.
      when: ({ context }) => context.failures === 0,
      arrange: (world) => {
        world.spoilsSignatures = true;
      },
    },
    "a password that the KDC is asked about": {
      event: requested("password", { isForKdc: true }),
      when: ({ context }) => context.failures === 0,
      arrange: (world) => {
        world.isKdcSilent = true;
        world.questionsBefore = silent.asked();
      },
      cause: (world) => ask(world, "password", false, PASSWORD),
    },
    "the time is over, and the KDC has said nothing": {
      event: { type: "grace.expired", refusal: REFUSAL },
      when: asksKdc,
    },
    "the time for the login is over": {
      event: { type: "grace.expired", refusal: REFUSAL },
      // The first thing that happens: a login that has gone on for a while may be out of time anywhere.
      when: ({ context, ...snapshot }) =>
        context.failures === 0 &&
        Object.keys(context.acceptableKeys).length === 0 &&
        ["awaitingRequest", "checkingPassword", "askingForKey"].includes(snapshot.value),
      arrange: (world) => {
        world.isImpatient = true;
        world.answers.password = ignore;
        world.answers.publicKey = ignore;
      },
    },
    "a login with a browser": {
      event: requested("keyboard-interactive", {}),
      cause: (world) => ask(world, "keyboard-interactive", "", ""),
    },
    "everything is granted in the browser": {
      event: done(authenticationMachine, "authentication.askingPerson", { kind: "granted", identity: {} }),
      cause: (world) => browse(world),
    },
    "a permission is not granted in the browser": {
      event: done(authenticationMachine, "authentication.askingPerson", {
        kind: "refused",
        refusal: { ...REFUSAL, userMessage: "Grant it." },
      }),
      cause: (world) => browse(world, ["openid"]),
    },
    "a login by Kerberos": {
      event: requested("gssapi-with-mic", {}),
      cause: (world) => ask(world, "gssapi-with-mic", { uint32: 1 }, KERBEROS),
    },
    "the ticket is right": {
      event: done(authenticationMachine, "authentication.askingKerberos", { kind: "granted", identity: {} }),
      when: isFirstTicket,
      cause: provideTicket,
    },
    "the ticket is right, and another user's": {
      event: done(authenticationMachine, "authentication.askingKerberos", {
        kind: "misnamed",
        identity: {},
        refusal: { ...REFUSAL, userMessage: "Use your own name." },
      }),
      when: isFirstTicket,
      arrange: (world) => {
        world.isStrict = true;
      },
      cause: provideTicket,
    },
    "the parent has reported it": { event: { type: "mismatch.reported" } },
    "the client gives its ticket up": {
      event: done(authenticationMachine, "authentication.askingKerberos", {
        kind: "refused",
        refusal: { ...REFUSAL, userMessage: "Try again." },
      }),
      when: hasTicket,
      cause: async ({ client }) => {
        await client.next(Message.USERAUTH_GSSAPI_RESPONSE);
        client.send(Message.USERAUTH_GSSAPI_ERRTOK, "");
      },
    },
    "the client begins another attempt": {
      event: { type: "authentication.abandoned" },
      when: hasTicket,
      cause: async (world) => {
        await world.client.next(Message.USERAUTH_INFO_REQUEST, Message.USERAUTH_GSSAPI_RESPONSE);
        ask(world, "none");
      },
    },
  },
  besides: () => ({
    "authentication.awaitingRequest|authentication.requested|0":
      "who begins another attempt begins it with the question for the methods",
  }),
  world: async () =>
    Object.assign(loginWorld(portal), {
      key: ed25519Key(),
      // It is there once the walk begins.
      client: undefined as unknown as WireClient,
      spoilsSignatures: false,
      isImpatient: false,
      isKdcSilent: false,
      questionsBefore: 0,
      isStrict: false,
    }),
  daemon: async ({ isImpatient, isKdcSilent, isStrict }) => {
    if (isKdcSilent) return unheard;
    return isImpatient ? impatient : isStrict ? strict : shared;
  },
  begin: async (world, daemon) => {
    world.client = await WireClient.connect(daemon);
    await world.client.beginAuthentication();
  },
  looks: {
    "authentication.awaitingRequest": async (world) => {
      const answers = [Message.SERVICE_ACCEPT, Message.USERAUTH_FAILURE, Message.USERAUTH_PK_OK];
      const last = () => world.client.received.at(-1)?.[0];
      await expect.poll(last).toSatisfy((type) => answers.includes(type as never));
    },
    "authentication.checkingPassword": asks("/password"),
    "authentication.askingForKey": asks("/pubkey"),
    "authentication.verifyingSignature": asks("/pubkey"),
    "authentication.askingPerson": (world) => received(world).toContain(Message.USERAUTH_INFO_REQUEST),
    "authentication.askingKerberos": async (world) => {
      if (!world.isKdcSilent) await received(world).toContain(Message.USERAUTH_GSSAPI_RESPONSE);
      else await expect.poll(() => silent.asked()).toBeGreaterThan(world.questionsBefore);
    },
    "authentication.awaitingVerdict": asks("/authz"),
    "authentication.awaitingReport": asks("/authz"),
    "authentication.granted": (world) => received(world).toContain(Message.USERAUTH_SUCCESS),
    "authentication.refused": async ({ client, isImpatient, isKdcSilent, username }, { log }) => {
      const { text } = await client.disconnection();
      if (isKdcSilent) {
        expect(text).toContain("Your login can't be checked");
        await log.any("KRB_BACKEND_TIMEOUT", { username });
      } else if (!isImpatient) expect(text).toContain("Too many failed attempts to log in.");
      // Nobody took too long but who was asked.
      else if (portal.asked(username).length > 0) expect(text).toContain("Your login can't be checked");
      else expect(text).toContain("Logging in took too long.");
    },
  },
});
