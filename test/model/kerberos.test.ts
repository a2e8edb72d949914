/** Walks machines/kerberos.ts: tickets and passwords against a real KDC, by clients who keep to RFC 4462 and who don't. */
import { readFile, rm } from "node:fs/promises";
import { afterAll, beforeAll, expect } from "vitest";
import type { Identity } from "../../machines/facts.ts";
import {
  type KerberosContext,
  type KerberosProfile,
  type KerberosSession,
  kerberosMachine,
} from "../../machines/kerberos.ts";
import { Message } from "../../src/ssh/wire.ts";
import { GssapiClient, KERBEROS, type Word } from "../support/gssapi-client.ts";
import { type GssapiInitiator, gssapiInitiator } from "../support/gssapi-initiator.ts";
import { type Kdc, REALM, startKdc } from "../support/kdc.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { done, fails, walk } from "../support/model/walk.ts";
import { processTree } from "../support/resources.ts";

const PASSWORD = "secret";
const USER = "user1";

/** What a daemon lacks: a keytab that its KDC knows, or the directory through which credentials go. */
type Lack = "nothing" | "keytab" | "scratch";

interface KerberosWorld extends AsyncDisposable {
  lack: Lack;
  proof: KerberosSession["proof"];
  username: string;
  principal: string;
  password: string;
  flags: readonly ("mutual" | "integrity" | "dce")[];
  /** Whether somebody else has used the client's token. */
  replays: boolean;
  signs: "this" | "something else";
  /** How many tokens the client has sent. */
  sent: number;
  /** There is one once somebody began. */
  client: GssapiClient | undefined;
  /** The server's answer to the request. */
  response: Word | undefined;
}

let kdc: Kdc;
let other: Kdc;
const initiators = new Map<string, GssapiInitiator>();
const daemons = new Map<Lack, ObservedDaemon>();

beforeAll(async () => {
  const instance = `${USER}/admin`;
  kdc = await startKdc({ users: { [USER]: PASSWORD, [instance]: PASSWORD } });
  other = await startKdc({ users: {} });
  for (const name of [USER, instance]) initiators.set(name, gssapiInitiator(await kdc.kinit(name)));
});
afterAll(async () => {
  for (const daemon of daemons.values()) await daemon[Symbol.asyncDispose]();
  for (const initiator of initiators.values()) await initiator[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await kdc[Symbol.asyncDispose]();
});

const daemonThatLacks = async (lack: Lack): Promise<ObservedDaemon> => {
  const { keytab } = lack === "keytab" ? other : kdc;
  const kerberos = { keytab, configPath: kdc.configPath };
  const method = { method: "kerberos", kerberos };
  const daemon = await startObserved({
    config: { auth: { password: method, gssapi: method }, backend: "process" },
  });
  if (lack === "scratch") {
    const [, library] = await processTree(daemon.pid);
    const words = (await readFile(`/proc/${library}/cmdline`, "utf8")).split("\0");
    await rm(words.find((word) => word.includes("berth-kerberos-")) ?? "", { recursive: true });
  }
  return daemon;
};

const initiatorOf = ({ principal }: KerberosWorld): GssapiInitiator => {
  const initiator = initiators.get(principal);
  if (initiator === undefined) throw new Error(`${principal} has no ticket`);
  return initiator;
};

const clientOf = ({ client }: KerberosWorld): GssapiClient => {
  if (client === undefined) throw new Error("nobody has begun");
  return client;
};

/** Takes the server's token. */
const takeToken = async (world: KerberosWorld): Promise<Buffer> => {
  const word = await clientOf(world).word();
  if (word.kind !== "token") throw new Error(`instead of a token: ${JSON.stringify(word)}`);
  return await initiatorOf(world).step(word.bytes);
};

/** Sends the first token, or the one that answers the server's. */
const sendToken = async (world: KerberosWorld, daemon: ObservedDaemon): Promise<void> => {
  const token =
    world.sent === 0 ? await initiatorOf(world).begin({ flags: world.flags }) : await takeToken(world);
  if (world.replays) {
    const thief = await GssapiClient.to(daemon, world.username);
    await thief.request(KERBEROS);
    expect(await thief.token(token)).toMatchObject({ kind: "token" });
  }
  world.sent += 1;
  send(world, Message.USERAUTH_GSSAPI_TOKEN, token);
};

const sign = async (world: KerberosWorld): Promise<void> => {
  // Of three tokens the client's is the last.
  if (world.sent === 1) await takeToken(world);
  const client = clientOf(world);
  const data = world.signs === "this" ? client.signedData() : client.signedData("somebody else");
  send(world, Message.USERAUTH_GSSAPI_MIC, await initiatorOf(world).sign(data));
};

/** How the attempt ended, after whatever the server had to say before. */
const ending = async (world: KerberosWorld): Promise<Word["kind"]> => {
  for (;;) {
    const { kind } = await clientOf(world).word();
    if (kind === "success" || kind === "failure") return kind;
  }
};

const send = (world: KerberosWorld, message: number, ...fields: readonly Buffer[]): void =>
  clientOf(world).wire.send(message, ...fields);

/** In the model, its number tells whether there was a token. */
const session: KerberosSession = {
  number: 0,
  proof: "ticket",
  isEstablished: true,
  token: undefined,
  principal: undefined,
};
const profile = (authenticatedUsername: string): KerberosProfile => ({
  identity: { username: USER, authenticatedUsername } as Identity,
  principal: `${USER}@${REALM}`,
  enforcesUsername: true,
});
const state = (name: string): string => `kerberos.${name}`;
const finished = (name: string, output?: unknown) => done(kerberosMachine, state(name), output);
const failed = (name: string) => fails(kerberosMachine, state(name));

const waitsForNobody =
  "what ends the wait for the client's message is the end of the attempt or of the connection";

const sees =
  (code: string, words: string) =>
  async ({ username }: KerberosWorld, { log }: ObservedDaemon): Promise<void> => {
    await log.any(code, ({ message, details }) => message.includes(words) && details.username === username);
  };
const seesToken = sees("AUTH", "A Kerberos token of the client");

/** What passes quickly leaves a trace in the log, or in the KDC's. */
const seesProof = async (world: KerberosWorld, daemon: ObservedDaemon): Promise<void> => {
  if (world.proof === "ticket") await seesToken(world, daemon);
  else await expect.poll(() => kdc.log.text).toMatch(/TGS_REQ .*ISSUE.* for host\/localhost/);
};

/** The code of the reason for which a walk's login is refused. */
const codeOf = (world: KerberosWorld): string => {
  if (world.proof === "password") return world.lack === "keytab" ? "KRB_KDC_NOT_PROVEN" : "AUTH_FAILED";
  if (world.replays) return "KRB_TOKEN_REPLAYED";
  if (world.principal !== USER) return "KRB_USERNAME_DOES_NOT_MATCH";
  return world.sent === 0 ? "KRB_VERIFY_ERROR" : "KRB_MIC_INVALID";
};

walk<KerberosWorld>("kerberos", {
  input: {
    connectionId: "",
    username: USER,
    credential: { method: "gssapi-with-mic" },
  },
  key: ({ session: kept, message }: KerberosContext) => [kept?.proof, kept?.number, message !== undefined],
  causes: {
    "a client offers a ticket": { event: finished("opening", session) },
    "a client offers a password": {
      event: finished("opening", { ...session, proof: "password" }),
      arrange: (world) => {
        world.proof = "password";
      },
    },

    "the client sends a token": {
      event: finished("awaitingToken", { kind: "token" }),
      cause: sendToken,
    },
    "the client sends a signature too early": {
      event: finished("awaitingToken", { kind: "mic" }),
      when: ({ context }) => context.message === undefined,
      cause: (world) => send(world, Message.USERAUTH_GSSAPI_MIC, Buffer.alloc(28)),
    },
    "the token is enough": { event: finished("acceptingContext", { ...session, number: 1 }) },
    "the client wants two more tokens": {
      event: finished("acceptingContext", { ...session, number: 1, isEstablished: false }),
      when: ({ context }) => context.session.number === 0,
      arrange: (world) => {
        world.flags = ["mutual", "integrity", "dce"];
      },
    },
    "the token was used before": {
      event: failed("acceptingContext"),
      when: ({ context }) => context.session.number === 0,
      arrange: (world) => {
        world.replays = true;
      },
    },
    "the client signs": {
      event: finished("awaitingMic", { kind: "mic" }),
      cause: sign,
    },
    "the client does not sign": {
      event: finished("awaitingMic", { kind: "exchangeComplete" }),
      cause: (world) => send(world, Message.USERAUTH_GSSAPI_EXCHANGE_COMPLETE),
    },
    "the signature is right": { event: finished("verifyingMic") },
    "the signature is over another request": {
      event: failed("verifyingMic"),
      arrange: (world) => {
        world.signs = "something else";
      },
    },

    "the KDC gives credentials": { event: finished("gettingCredentials", { ...session, proof: "password" }) },
    "the password is wrong": {
      event: failed("gettingCredentials"),
      arrange: (world) => {
        world.password = "wrong";
      },
    },
    "the KDC knows our key": { event: finished("provingKdc") },
    "the KDC does not know our key": {
      event: failed("provingKdc"),
      arrange: (world) => {
        world.lack = "keytab";
      },
    },

    "the principal is the user": { event: finished("identifying", profile(USER)) },
    "the principal is another user": {
      event: finished("identifying", profile("user2")),
      when: ({ context }) => context.session.proof === "ticket",
      arrange: (world) => {
        world.username = "user2";
      },
    },
    "the principal is no user": {
      event: finished("identifying", profile("")),
      when: ({ context }) => context.session.proof === "ticket",
      arrange: (world) => {
        world.principal = `${USER}/admin`;
      },
    },

    "what there is to forward is forwarded": {
      event: finished("forwardingCredentials", { username: USER, authenticatedUsername: USER }),
    },
    "nothing can be forwarded": {
      event: failed("forwardingCredentials"),
      when: ({ context }) => context.session.proof === "password",
      arrange: (world) => {
        world.lack = "scratch";
      },
    },
  },
  world: async () => {
    const world: KerberosWorld = {
      lack: "nothing",
      proof: "ticket",
      username: USER,
      principal: USER,
      password: PASSWORD,
      flags: ["mutual", "integrity"],
      replays: false,
      signs: "this",
      sent: 0,
      client: undefined,
      response: undefined,
      [Symbol.asyncDispose]: async () => void world.client?.wire.socket.destroy(),
    };
    return world;
  },
  daemon: async ({ lack }) => {
    const daemon = daemons.get(lack) ?? (await daemonThatLacks(lack));
    daemons.set(lack, daemon);
    return daemon;
  },
  begin: async (world, daemon) => {
    const client = await GssapiClient.to(daemon, world.username);
    world.client = client;
    if (world.proof === "ticket") world.response = await client.request(KERBEROS);
    else {
      const fields = ["ssh-connection", "password", false, world.password] as const;
      client.wire.send(Message.USERAUTH_REQUEST, world.username, ...fields);
    }
  },
  looks: {
    "kerberos.opening": (_, { log }) => log.any("SSH_KEX_COMPLETED"),
    "kerberos.awaitingToken": ({ response }) =>
      expect(response).toEqual({ kind: "response", bytes: KERBEROS }),
    "kerberos.acceptingContext": seesToken,
    "kerberos.awaitingMic": seesToken,
    "kerberos.verifyingMic": seesToken,
    "kerberos.gettingCredentials": sees("AUTH", "request to the KDC"),
    "kerberos.provingKdc": () => expect.poll(() => kdc.log.text).toMatch(/AS_REQ .*ISSUE.* user1@/),
    "kerberos.identifying": seesProof,
    "kerberos.forwardingCredentials": seesProof,
    "kerberos.granted": async (world, { log }) => {
      expect(await ending(world)).toBe("success");
      await log.next("SSH_HANDSHAKE_SUCCESSFUL", { username: world.username, authenticatedUsername: USER });
      if (world.lack === "scratch") await log.next("KRB_FORWARD_ERROR");
    },
    "kerberos.misnamed": async (world, { log }) => {
      expect(await ending(world)).toBe("failure");
      const names = { username: world.username, authenticatedUsername: USER };
      await log.next("KRB_USERNAME_DOES_NOT_MATCH", names);
    },
    "kerberos.refused": async (world, { log }) => {
      expect(await ending(world)).toBe("failure");
      await log.next(codeOf(world), { username: world.username });
    },
  },
  unreached: {
    [`${state("awaitingToken")}|xstate.error.actor.0.${state("awaitingToken")}|0`]: waitsForNobody,
    [`${state("awaitingMic")}|xstate.error.actor.0.${state("awaitingMic")}|0`]: waitsForNobody,
  },
});
