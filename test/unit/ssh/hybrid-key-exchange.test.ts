/** mlkem768x25519-sha256 on the wire: computed a second time from the draft, and what clients and servers do wrong. */
import { createHash, createPrivateKey, createPublicKey, diffieHellman, verify } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import kex from "ssh2/lib/protocol/kex.js";
import Protocol from "ssh2/lib/protocol/Protocol.js";
import { describe, expect, onTestFinished, test } from "vitest";
import { HYBRID_KEX, useHybridKeyExchange } from "../../../src/ssh/hybrid-key-exchange.ts";
import { type MlKem768, nobleMlKem } from "../../../src/ssh/ml-kem.ts";
import { Message, message, Reader, string } from "../../../src/ssh/wire.ts";
import { PASSWORD, WireClient } from "../../support/wire-client.ts";
import { KEX_ECDH_INIT, KEX_ECDH_REPLY, KeyExchangeClient } from "./key-exchange-client.ts";
import { newHostKey, serve } from "./scripted.ts";

const CURVE25519 = "curve25519-sha256";
const EK_BYTES = 1184;

/** Key pairs that are the same in every run. */
const pq = ml_kem768.keygen(new Uint8Array(64).map((_, index) => index));
const fixed = Buffer.from(new Uint8Array(32).map((_, index) => 255 - index));
const privateKey = createPrivateKey({
  key: Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), fixed]),
  format: "der",
  type: "pkcs8",
});
const share = Buffer.from(createPublicKey(privateKey).export({ format: "jwk" }).x ?? "", "base64url");
const validInit = Buffer.concat([pq.publicKey, share]);

const sharedX25519 = (theirs: Buffer): Buffer =>
  diffieHellman({
    privateKey,
    publicKey: createPublicKey({
      key: { kty: "OKP", crv: "X25519", x: theirs.toString("base64url") },
      format: "jwk",
    }),
  });

const offer = (methods: readonly string[], cipher = "aes128-ctr") => {
  const direction = { cipher: [cipher], mac: ["hmac-sha2-256"], compress: ["none"], lang: [] };
  const strict = "kex-strict-c-v00@openssh.com";
  return new kex.KexInit({
    kex: [...methods, strict],
    serverHostKey: ["ssh-ed25519"],
    cs: direction,
    sc: direction,
  });
};

describe("the exchange", () => {
  test("is hashed and signed as the draft says", async () => {
    const server = await serve();
    const client = await KeyExchangeClient.begin(server, { kex: [HYBRID_KEX] });
    const reply = await client.exchange(validInit);
    expect(reply.value).toHaveLength(1088 + 32);
    const secrets = [
      ml_kem768.decapsulate(reply.value.subarray(0, 1088), pq.secretKey),
      sharedX25519(reply.value.subarray(1088)),
    ];
    const secret = createHash("sha256").update(Buffer.concat(secrets)).digest();
    const blob = new Reader(reply.hostKey, 0);
    expect(blob.name()).toBe("ssh-ed25519");
    const jwk = { kty: "OKP", crv: "Ed25519", x: blob.string().toString("base64url") };
    const hostKey = createPublicKey({ key: jwk, format: "jwk" });
    const signature = new Reader(reply.signature, 0);
    signature.name();
    const hash = reply.hash(string(secret));
    expect(verify(null, hash, hostKey, signature.string())).toBe(true);
  });

  test("is what the server prefers, in front of the reference's methods", async () => {
    const client = await KeyExchangeClient.begin(await serve(), { kex: [HYBRID_KEX] });
    expect(client.offered.slice(0, 3)).toEqual([HYBRID_KEX, CURVE25519, "curve25519-sha256@libssh.org"]);
  });

  test("is told to the machine by its name", async () => {
    const server = await serve();
    const client = await WireClient.connect(server, { offer: offer([HYBRID_KEX]) });
    const { algorithms } = await (await server.connection()).event("handshake.completed");
    expect(algorithms).toMatch(/^mlkem768x25519-sha256 ssh-ed25519 /);
    await client.beginAuthentication();
  });

  test.each([
    ["the client prefers another", {}, [CURVE25519, HYBRID_KEX], CURVE25519],
    [
      "the configuration leaves it out",
      { kex: [`${CURVE25519}@libssh.org`] },
      [HYBRID_KEX, CURVE25519],
      CURVE25519,
    ],
    ["it is all there is", { kex: [HYBRID_KEX] }, [CURVE25519, HYBRID_KEX], HYBRID_KEX],
  ])("is agreed on by RFC 4253 section 7.1 when %s", async (_, config, methods, agreed) => {
    const server = await serve({ config });
    await WireClient.connect(server, { offer: offer(methods) });
    const { algorithms } = await (await server.connection()).event("handshake.completed");
    expect(algorithms.split(" ")[0]).toBe(agreed);
  });

  test("is not replaced by the method that stands in for it within ssh2", async () => {
    const server = await serve({ config: { kex: [HYBRID_KEX] } });
    await expect(WireClient.connect(server, { offer: offer([CURVE25519]) })).rejects.toThrow();
    const { refusal } = await (await server.connection()).event("peer.failed");
    expect(refusal.details.error).toBe("Handshake failed: no matching key exchange algorithm");
  });

  test("skips what was sent on a wrong guess", async () => {
    const server = await serve();
    const client = await KeyExchangeClient.begin(server, { kex: ["unknown", HYBRID_KEX], guesses: true });
    client.send(message(KEX_ECDH_INIT, "a guess that does not parse"));
    expect((await client.exchange(validInit)).value).toHaveLength(1088 + 32);
  });

  test("takes a right guess at once", async () => {
    const server = await serve();
    const client = await KeyExchangeClient.begin(server, { kex: [HYBRID_KEX], guesses: true });
    expect((await client.exchange(validInit)).value).toHaveLength(1088 + 32);
  });
});

describe("new keys later", () => {
  test.each([
    [HYBRID_KEX, HYBRID_KEX],
    [HYBRID_KEX, CURVE25519],
    [CURVE25519, HYBRID_KEX],
  ])("from %s to %s and another cipher, in the middle of a transfer", async (first, second) => {
    const server = await serve();
    const client = await WireClient.connect(server, { offer: offer([first]) });
    await client.beginAuthentication();
    client.send(Message.USERAUTH_REQUEST, "jane", "ssh-connection", "password", false, PASSWORD);
    await client.next(Message.USERAUTH_SUCCESS);
    const { sessionId } = client;
    const channel = await client.openSession();
    await client.request(channel, "exec", "cat");
    const sent: string[] = [];
    for (const cipher of ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"]) {
      for (let count = 0; count < 20; count++) {
        sent.push(`${cipher} ${count};`.padEnd(1000, "."));
        client.send(Message.CHANNEL_DATA, { uint32: channel }, sent.at(-1) ?? "");
      }
      await client.rekeyBy(offer([second], cipher));
      expect(client.method).toBe(second);
    }
    client.send(Message.CHANNEL_EOF, { uint32: channel });
    const received: string[] = [];
    for (let message = await dataOrEnd(client); message !== undefined; message = await dataOrEnd(client)) {
      received.push(message);
    }
    expect(received.join("")).toBe(sent.join(""));
    expect(client.sessionId).toEqual(sessionId);
  });
});

const dataOrEnd = async (client: WireClient): Promise<string | undefined> => {
  const payload = await client.next(Message.CHANNEL_DATA, Message.CHANNEL_EOF);
  return payload[0] === Message.CHANNEL_EOF ? undefined : new Reader(payload, 5).string().toString();
};

describe("a client that does it wrong is disconnected, and nobody else", () => {
  const withPq = (bytes: Uint8Array) => Buffer.concat([bytes, share]);
  const withShare = (bytes: Uint8Array) => Buffer.concat([pq.publicKey, bytes]);

  test.each([
    ["an empty value", Buffer.alloc(0), "not of 0"],
    ["a value that is a byte short", validInit.subarray(1), "not of 1215"],
    ["a value that is a byte long", Buffer.concat([validInit, Buffer.of(0)]), "not of 1217"],
    ["a ciphertext's length", Buffer.alloc(1088 + 32, 1), "not of 1120"],
    ["only an X25519 share", share, "not of 32"],
    ["coefficients that are not reduced", withPq(new Uint8Array(EK_BYTES).fill(0xff)), "modulus"],
    ["an ML-KEM key of zeros", withPq(new Uint8Array(EK_BYTES)), "all zero"],
    ["a share of zeros", withShare(new Uint8Array(32)), ""],
    ["a share of order 1", withShare(Buffer.from("01".padEnd(64, "0"), "hex")), ""],
    [
      "a share of order 8",
      withShare(Buffer.from("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", "hex")),
      "",
    ],
  ])("%s", async (_, value, reason) => {
    const server = await serve();
    const client = await KeyExchangeClient.begin(server, { kex: [HYBRID_KEX] });
    await expect(client.exchange(value)).rejects.toThrow(`message ${Message.DISCONNECT} instead`);
    const { refusal } = await (await server.connection()).event("peer.failed");
    expect(refusal).toMatchObject({ code: "SSH_HANDSHAKE_FAILED", level: "info" });
    expect(refusal.details.error).toContain(`(${HYBRID_KEX}): `);
    expect(refusal.details.error).toContain(reason);
  });

  test.each([
    ["no string at all", Buffer.of(KEX_ECDH_INIT, 0xff, 0xff, 0xff, 0xff)],
    ["a reply", message(KEX_ECDH_REPLY, "a", "b", "c")],
    ["SSH_MSG_NEWKEYS", Buffer.of(21)],
  ])("%s instead of its public value", async (_, payload) => {
    const server = await serve();
    const client = await KeyExchangeClient.begin(server, { kex: [HYBRID_KEX] });
    client.send(payload);
    expect((await client.payload())[0]).toBe(Message.DISCONNECT);
    const { refusal } = await (await server.connection()).event("peer.failed");
    expect(refusal.code).toBe("SSH_HANDSHAKE_FAILED");
  });

  test("500 that stop in the middle", async () => {
    const server = await serve({ config: { maxStartups: 1000 } });
    const clients = await Promise.all(
      Array.from({ length: 500 }, () => KeyExchangeClient.begin(server, { kex: [HYBRID_KEX] })),
    );
    const client = await WireClient.connect(server, { offer: offer([HYBRID_KEX]) });
    await client.beginAuthentication();
    for (const { socket } of clients) socket.destroy();
    await Promise.all(server.connections.slice(0, 500).map(({ event }) => event("peer.disconnected")));
  });
});

describe("a server that does it wrong is left", () => {
  const serverWith = async (kem: Partial<MlKem768>) => {
    const hostKey = newHostKey();
    const server = createServer((socket) => {
      const ours = offer([HYBRID_KEX]);
      const protocol = new Protocol({
        server: true,
        hostKeys: { "ssh-ed25519": hostKey },
        ident: Buffer.from("test_server"),
        offer: ours,
        onWrite: (bytes) => void socket.write(bytes),
        onError: () => socket.destroy(),
        onHeader: () => {},
        onHandshakeComplete: () => {},
        messageHandlers: {},
      });
      useHybridKeyExchange(protocol, ours, { ...nobleMlKem, ...kem });
      socket.on("error", () => {});
      socket.on("data", (chunk: Buffer) => {
        try {
          protocol.parse(chunk, 0, chunk.length);
        } catch {
          // The client leaves in the clear, when this end has keys already.
          socket.destroy();
        }
      });
      protocol.start();
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  };

  test.each([
    ["a ciphertext that is a byte short", Buffer.alloc(1087, 1), "not of 1119"],
    ["a ciphertext of zeros", Buffer.alloc(1088), "all zero"],
    ["another's ciphertext", Buffer.alloc(1088, 1), "signature verification failed"],
  ])("%s", async (_, ciphertext, reason) => {
    const server = await serverWith({
      encapsulate: () => ({ ciphertext, sharedSecret: Buffer.alloc(32) }),
    });
    const errors: string[] = [];
    const onError = ({ message: text }: Error) => void errors.push(text);
    const connecting = WireClient.connect(server, { offer: offer([HYBRID_KEX]), onError });
    await expect(connecting).rejects.toThrow();
    await expect.poll(() => errors.join()).toContain(reason);
  });
});
