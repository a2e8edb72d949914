/**
 * mlkem768x25519-sha256 (draft-ietf-sshm-mlkem-hybrid-kex) for ssh2, which has no way in for another method: its
 * pull request 1471 is open, and this file goes when that is released. ssh2-extension.ts checks ssh2's version.
 *
 * ssh2 is told that both sides agreed on curve25519-sha256, the method of the same messages and the same hash, and
 * gets another object's public values and shared secret for it. Negotiation, strict key exchange, signatures,
 * key derivation and rekeying stay ssh2's.
 */
import { createHash, createPublicKey, diffieHellman, generateKeyPairSync } from "node:crypto";
import type { KexInit } from "ssh2/lib/protocol/kex.js";
import type { AfterPayload, KeyExchange, default as Protocol } from "ssh2/lib/protocol/Protocol.js";
import { CIPHERTEXT_BYTES, ENCAPSULATION_KEY_BYTES, type MlKem768, mlKem768 } from "./ml-kem.ts";
import { Message, Reader, string } from "./wire.ts";

export const HYBRID_KEX = "mlkem768x25519-sha256";

/** What ssh2 believes was agreed on. */
const STAND_IN = "curve25519-sha256";

const X25519_BYTES = 32;
/** SSH_MSG_KEXINIT's number and cookie stand before its first list (RFC 4253 section 7.1). */
const BEFORE_LISTS = 17;

/**
 * Lets a connection, of a server or a client, agree on the hybrid method where both sides offer it. To be called
 * before anything was received.
 */
export const useHybridKeyExchange = (protocol: Protocol, offer: KexInit, kem: MlKem768 = mlKem768): void => {
  const isServer = protocol._server;
  let hybridInit: Buffer | undefined;
  let exchange = protocol._kex;

  // ssh2 makes its exchange and begins it in one go: in between there is only this assignment.
  Object.defineProperty(protocol, "_kex", {
    get: () => exchange,
    set: (next: KeyExchange) => {
      exchange = next;
      if (hybridInit === undefined) return;
      next.negotiated.kex = HYBRID_KEX;
      next._remoteKexinit = hybridInit;
      Object.assign(next, isServer ? serverSide(kem) : clientSide(kem));
    },
  });

  const receive =
    (handOver: (payload: Buffer) => AfterPayload) =>
    (payload: Buffer): AfterPayload => {
      if (payload[0] !== Message.KEXINIT) return handOver(payload);
      const ours = offer.lists.kex.array;
      const theirs = namesOf(payload);
      const [clients, servers] = isServer ? [theirs, ours] : [ours, theirs];
      const isHybrid = clients.find((name) => servers.includes(name)) === HYBRID_KEX;
      hybridInit = isHybrid ? payload : undefined;
      protocol._offer = isHybrid ? withStandIn(offer) : offer;
      return handOver(isHybrid ? translate(payload, theirs) : payload);
    };

  const onHeader = protocol._onHeader;
  protocol._onHeader = (header) => {
    protocol._decipher._onPayload = receive(protocol._decipher._onPayload);
    onHeader(header);
  };
  protocol._onPayload = receive(protocol._onPayload);
};

/** What we offer, with nothing but the stand-in for ssh2 to choose. */
const withStandIn = (offer: KexInit): KexInit => {
  const { lists } = offer;
  return Object.assign(Object.create(offer) as KexInit, {
    lists: { ...lists, kex: { ...lists.kex, array: [STAND_IN] } },
  });
};

/** The key exchange methods of an SSH_MSG_KEXINIT; of a malformed one none, for ssh2 refuses it itself. */
const namesOf = (payload: Buffer): readonly string[] => {
  try {
    return new Reader(payload, BEFORE_LISTS).name().split(",");
  } catch {
    return [];
  }
};

/** The same SSH_MSG_KEXINIT with the stand-in where the hybrid method was, and nowhere else. */
const translate = (payload: Buffer, names: readonly string[]): Buffer => {
  const translated = names.map((name) => (name === HYBRID_KEX ? STAND_IN : name === STAND_IN ? "" : name));
  const rest = payload.subarray(BEFORE_LISTS + 4 + names.join(",").length);
  const list = string(Buffer.from(translated.join(","), "latin1"));
  return Buffer.concat([payload.subarray(0, BEFORE_LISTS), list, rest]);
};

/** What ssh2 asks a key exchange for. Section 2.1: both public values are strings, not mpints. */
type HybridSide = Pick<KeyExchange, "type" | "convertPublicKey" | "getPublicKey" | "computeSecret">;

const clientSide = (kem: MlKem768): HybridSide => {
  const pq = kem.generateKeys();
  const classic = generateKeyPairSync("x25519");
  const init = Buffer.concat([pq.encapsulationKey, shareOf(classic.publicKey)]);
  return {
    type: HYBRID_KEX,
    convertPublicKey: (value) => value,
    getPublicKey: () => init,
    computeSecret: (reply) =>
      orError(() => {
        const [ciphertext, share] = split(reply, CIPHERTEXT_BYTES);
        return combine(pq.decapsulate(ciphertext), agree(classic.privateKey, share));
      }),
  };
};

const serverSide = (kem: MlKem768): HybridSide => {
  let reply: Buffer | undefined;
  return {
    type: HYBRID_KEX,
    convertPublicKey: (value) => value,
    getPublicKey: () => {
      if (reply === undefined) throw new Error("the client's public value has not been read");
      return reply;
    },
    computeSecret: (init) =>
      orError(() => {
        const [encapsulationKey, share] = split(init, ENCAPSULATION_KEY_BYTES);
        const classic = generateKeyPairSync("x25519");
        const agreed = agree(classic.privateKey, share);
        const { ciphertext, sharedSecret } = kem.encapsulate(encapsulationKey);
        reply = Buffer.concat([ciphertext, shareOf(classic.publicKey)]);
        return combine(sharedSecret, agreed);
      }),
  };
};

/** ssh2 ends the connection with the error that it gets back; whatever a library threw, it is the peer's doing. */
const orError = (compute: () => Buffer): Buffer | Error => {
  try {
    return compute();
  } catch (error) {
    return new Error(error instanceof Error ? error.message : String(error));
  }
};

/** A peer's value: what is for ML-KEM, then its X25519 share. */
const split = (value: Buffer, bytes: number): readonly [Buffer, Buffer] => {
  if (value.length !== bytes + X25519_BYTES) {
    throw new Error(`a public value of ${bytes + X25519_BYTES} bytes was expected, not of ${value.length}`);
  }
  const pq = value.subarray(0, bytes);
  // A key of nothing but zeros is valid, and shows the secret to everybody who reads the ciphertext.
  if (pq.every((byte) => byte === 0)) throw new Error("the public value for ML-KEM is all zero");
  return [pq, value.subarray(bytes)];
};

/** Section 2.5: the hash of both secrets, which stays a string wherever it goes. */
const combine = (pq: Buffer, classic: Buffer): Buffer =>
  createHash("sha256").update(pq).update(classic).digest();

type X25519Key = ReturnType<typeof generateKeyPairSync>["publicKey"];

const shareOf = (key: X25519Key): Buffer => Buffer.from(key.export({ format: "jwk" }).x ?? "", "base64url");

/** @throws when the secret would be zero, because the share is of small order (RFC 7748 section 6.1). */
const agree = (privateKey: X25519Key, share: Buffer): Buffer =>
  diffieHellman({
    privateKey,
    publicKey: createPublicKey({
      key: { kty: "OKP", crv: "X25519", x: share.toString("base64url") },
      format: "jwk",
    }),
  });
