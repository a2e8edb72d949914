/** Conversations of mutated messages, the same ones in every run: none may reach beyond its own connection. */
import { expect, test } from "vitest";
import { Message, message } from "../../../src/ssh/wire.ts";
import { ed25519Key, PASSWORD, signedRequest, WireClient } from "../../support/wire-client.ts";
import { serve } from "./scripted.ts";

const CONVERSATIONS = Number(process.env.BERTH_TEST_CONVERSATIONS ?? 300);
const MESSAGES = 12;

/** Mulberry32: small, and the same everywhere. */
const randomFrom = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
};

type Random = ReturnType<typeof randomFrom>;

const zero = { uint32: 0 };
const sizes = [zero, { uint32: 80 }, { uint32: 24 }, zero];

const beforeLogin = (sessionId: Buffer): readonly Buffer[] => [
  message(Message.SERVICE_REQUEST, "ssh-userauth"),
  message(Message.USERAUTH_REQUEST, "jane", "ssh-connection", "none"),
  message(Message.USERAUTH_REQUEST, "jane", "ssh-connection", "password", false, "wrong"),
  message(Message.USERAUTH_REQUEST, "jane", "ssh-connection", "keyboard-interactive", "", ""),
  message(Message.USERAUTH_REQUEST, "jane", "ssh-connection", "gssapi-with-mic", { uint32: 1 }, "oid"),
  signedRequest(sessionId, "jane", ed25519Key()),
  message(Message.USERAUTH_INFO_RESPONSE, { uint32: 1 }, "answer"),
  message(Message.EXT_INFO, { uint32: 1 }, "name", "value"),
  message(Message.DEBUG, true, "text", ""),
];

const afterLogin: readonly Buffer[] = [
  message(Message.CHANNEL_OPEN, "session", zero, { uint32: 1000 }, { uint32: 1000 }),
  message(Message.CHANNEL_OPEN, "direct-tcpip", zero, zero, zero, "host", zero, "origin", zero),
  message(Message.CHANNEL_REQUEST, zero, "env", true, "LANG", "C"),
  message(
    Message.CHANNEL_REQUEST,
    zero,
    "pty-req",
    true,
    "xterm",
    ...sizes,
    Buffer.from([53, 0, 0, 0, 1, 0]),
  ),
  message(Message.CHANNEL_REQUEST, zero, "exec", true, "true"),
  message(Message.CHANNEL_REQUEST, zero, "subsystem", true, "sftp"),
  message(Message.CHANNEL_REQUEST, zero, "window-change", false, ...sizes),
  message(Message.CHANNEL_REQUEST, zero, "signal", false, "TERM"),
  message(Message.CHANNEL_DATA, zero, "data"),
  message(Message.CHANNEL_EXTENDED_DATA, zero, { uint32: 1 }, "data"),
  message(Message.CHANNEL_WINDOW_ADJUST, zero, { uint32: 1000 }),
  message(Message.CHANNEL_EOF, zero),
  message(Message.CHANNEL_CLOSE, zero),
  message(Message.GLOBAL_REQUEST, "tcpip-forward", true, "host", zero),
  message(Message.GLOBAL_REQUEST, "hostkeys-prove-00@openssh.com", true, "key"),
  message(
    Message.KEXINIT,
    "sixteen bytes",
    "curve25519-sha256",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    false,
    zero,
  ),
];

const mutations: readonly ((payload: Buffer, random: Random) => Buffer)[] = [
  (payload) => payload,
  (payload, random) => payload.subarray(0, random(payload.length + 1)),
  (payload, random) => {
    const changed = Buffer.from(payload);
    changed[random(payload.length)] = random(256);
    return changed;
  },
  (payload, random) => {
    const changed = Buffer.from(payload);
    const at = random(Math.max(1, payload.length - 4));
    if (payload.length >= 4) changed.writeUInt32BE(random(2 ** 32), Math.min(at, payload.length - 4));
    return changed;
  },
  (payload, random) => Buffer.concat([payload, Buffer.alloc(random(200), random(256))]),
  (_, random) => Buffer.from(Array.from({ length: 1 + random(100) }, () => random(256))),
];

const pick = <A>(list: readonly A[], random: Random): A => list[random(list.length)] as A;

test(`${CONVERSATIONS} conversations of malformed messages end alone`, async () => {
  const server = await serve({ script: { run: (_, channel, link) => link.closeChannel(channel, exit) } });
  const random = randomFrom(20_260_723);
  for (let conversation = 0; conversation < CONVERSATIONS; conversation++) {
    const isLoggedIn = random(2) === 0;
    const client = isLoggedIn ? await WireClient.login(server) : await WireClient.connect(server);
    if (isLoggedIn) await client.openSession();
    else if (random(2) === 0) await client.beginAuthentication();
    const corpus = isLoggedIn ? afterLogin : beforeLogin(client.sessionId);
    for (let count = 0; count < MESSAGES; count++) {
      const payload = pick(mutations, random)(pick(corpus, random), random);
      if (payload.length > 0) client.sendRaw(payload);
    }
    client.socket.end();
    await client.closed();
    await (await server.connection(conversation)).closed;
  }
  const failures = server.connections.flatMap(({ events }) =>
    events.flatMap((event) => (event.type === "peer.failed" ? [event.refusal] : [])),
  );
  expect(failures.filter(({ level }) => level === "error")).toEqual([]);
  const codes = new Set(failures.map(({ code }) => code));
  // Of the messages that are made from others, some begin a key exchange.
  expect(codes).toEqual(new Set(["SSH_DECODE_FAILED", "SSH_HANDSHAKE_FAILED"]));
  const client = await WireClient.connect(server);
  await client.beginAuthentication();
  client.send(Message.USERAUTH_REQUEST, "jane", "ssh-connection", "password", false, PASSWORD);
  await client.next(Message.USERAUTH_SUCCESS);
});

const exit = { kind: "status", status: 0 } as const;
