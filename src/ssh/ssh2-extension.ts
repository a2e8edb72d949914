/**
 * The SSH transport layer (RFC 4253) as ssh2 implements it: identification, key exchange, encryption. Everything
 * that reaches into ssh2's insides is in this file and in hybrid-key-exchange.ts, and works with the version that it
 * was written for only.
 *
 * ssh2's own server and client are not used: the server disconnects clients for methods it doesn't know, both lose
 * terminal modes and the bytes of commands, and have their own ideas of channels. The layers above are
 * src/ssh/user-authentication.ts and src/ssh/channels.ts, and src/ssh/client/. What is mended here:
 * - its parser of identification strings loses bytes of one that arrives in three pieces: it gets the whole line;
 * - a wrongly guessed first key exchange packet is told by RFC 4253 section 7, not by the method alone;
 * - SSH_MSG_DISCONNECT gets a text, SSH_MSG_EXT_INFO the right list, unknown messages SSH_MSG_UNIMPLEMENTED;
 * - keys are exchanged again after a while, not only when the client asks;
 * - memory for packets, and random bytes for their padding, is not asked of the system for each packet.
 */
import { createRequire } from "node:module";
import { Effect } from "effect";
import crypto from "ssh2/lib/protocol/crypto.js";
import kex, { type KexInit } from "ssh2/lib/protocol/kex.js";
import Protocol, { type Negotiated, type SigningKey } from "ssh2/lib/protocol/Protocol.js";
import utils from "ssh2/lib/protocol/utils.js";
import { failure } from "../failure.ts";
import { useHybridKeyExchange } from "./hybrid-key-exchange.ts";
import { PacketMemory, Padding } from "./packet-memory.ts";
import { Message, message, Reader } from "./wire.ts";

/** The versions of ssh2 whose insides are known. */
const KNOWN_VERSION = /^1\.17\.\d+$/;

/** RFC 4253 section 6. */
const SHORTEST_PADDING = 4;

/** RFC 4253 section 9 recommends new keys after each gigabyte. */
const BYTES_PER_KEY = 2 ** 30;

export class UnknownTransport extends failure(
  "UnknownTransport",
  "SSH_START_FAILED",
  "The server is not installed correctly. Please ask your administrator.",
) {}

/** What all connections of a server, or of clients with the same options, share. */
export interface TransportSettings extends PacketBuffers {
  readonly role: "server" | "client";
  /** Without `SSH-2.0-`. */
  readonly identification: Buffer;
  /** A server's; clients have none. */
  readonly hostKeys: Readonly<Record<string, SigningKey>>;
  readonly offer: KexInit;
  readonly firstKex: string;
  readonly firstHostKey: string;
  readonly bytesPerKey: number;
}

/** Names of algorithms as RFC 4253 section 7.1 lists them, the preferred one first. */
export interface Algorithms {
  readonly kex: readonly string[];
  readonly ciphers: readonly string[];
  readonly macs: readonly string[];
}

export interface TransportOptions {
  /** The whole identification string, `SSH-2.0-…`. */
  readonly serverVersion: string;
  readonly algorithms: Algorithms;
  /** By the name of the signature algorithm, the preferred one first. */
  readonly hostKeys: Readonly<Record<string, SigningKey>>;
  /** After how many bytes keys are exchanged again. */
  readonly bytesPerKey?: number;
  /** Of ssh2; the installed one's when it is left out. */
  readonly version?: string;
}

export interface ClientTransportOptions {
  /** The whole identification string, `SSH-2.0-…`. */
  readonly clientVersion: string;
  readonly algorithms: Algorithms;
  /** Names of signature algorithms that a server may prove itself with, the preferred one first. */
  readonly hostKeyAlgorithms: readonly string[];
  /** Shared by all clients. */
  readonly buffers: PacketBuffers;
}

export interface PacketBuffers {
  readonly memory: PacketMemory;
  readonly padding: Padding;
}

export const packetBuffers = (): PacketBuffers => ({ memory: new PacketMemory(), padding: new Padding() });

const installedVersion = (): string => {
  const manifest = createRequire(import.meta.url)("ssh2/package.json") as { readonly version: string };
  return manifest.version;
};

/** Whether ssh2's native cryptography loaded; without it throughput is a third to a fifth. */
export const hasNativeCrypto = (): boolean => crypto.bindingAvailable;

/** Prepares what connections share. Fails when ssh2 is not the version this file knows. */
export const prepareTransport = (
  options: TransportOptions,
): Effect.Effect<TransportSettings, UnknownTransport> =>
  Effect.gen(function* () {
    const { algorithms, hostKeys, serverVersion, bytesPerKey = BYTES_PER_KEY } = options;
    yield* checkVersion(options.version ?? installedVersion());
    const extensions = ["kex-strict-s-v00@openssh.com"];
    const hostKeyAlgorithms = Object.keys(hostKeys);
    return {
      role: "server",
      hostKeys,
      bytesPerKey,
      ...packetBuffers(),
      ...sharedSettings(serverVersion, algorithms, hostKeyAlgorithms, extensions),
    };
  });

/** The same for the other end: connections that this side makes. */
export const prepareClientTransport = ({
  clientVersion,
  algorithms,
  hostKeyAlgorithms,
  buffers,
}: ClientTransportOptions): Effect.Effect<TransportSettings, UnknownTransport> =>
  Effect.gen(function* () {
    yield* checkVersion(installedVersion());
    const extensions = ["ext-info-c", "kex-strict-c-v00@openssh.com"];
    return {
      role: "client",
      hostKeys: {},
      bytesPerKey: BYTES_PER_KEY,
      ...buffers,
      ...sharedSettings(clientVersion, algorithms, hostKeyAlgorithms, extensions),
    };
  });

const checkVersion = (version: string): Effect.Effect<void, UnknownTransport> =>
  KNOWN_VERSION.test(version)
    ? Effect.promise(() => crypto.init)
    : Effect.fail(
        new UnknownTransport({
          message: `ssh2 ${version} is installed, but only 1.17 is known to work: run "npm ci"`,
          details: { version },
        }),
      );

const sharedSettings = (
  identification: string,
  { kex: exchanges, ciphers, macs }: Algorithms,
  hostKeyAlgorithms: readonly string[],
  extensions: readonly string[],
) => {
  // The reference offers no compression, and a client's stream can't become a bomb without it.
  const direction = { cipher: ciphers, mac: macs, compress: ["none"], lang: [] };
  return {
    identification: Buffer.from(identification.slice("SSH-2.0-".length), "latin1"),
    offer: new kex.KexInit({
      kex: [...exchanges, ...extensions],
      serverHostKey: hostKeyAlgorithms,
      cs: direction,
      sc: direction,
    }),
    firstKex: exchanges[0] ?? "",
    firstHostKey: hostKeyAlgorithms[0] ?? "",
  };
};

export interface TransportEvents {
  /** Encrypted bytes for the socket. */
  readonly write: (bytes: Uint8Array) => void;
  /** The first keys are in use. */
  readonly handshakeCompleted: (negotiated: Negotiated) => void;
  /** Keys were exchanged again: what waited may be sent. */
  readonly rekeyed: () => void;
  /** Every message but those of the key exchange. Its memory may be kept. */
  readonly message: (payload: Buffer) => void;
  /** SSH_MSG_DISCONNECT of the peer. */
  readonly disconnected: (reason: number, text: string) => void;
  /** A client's: the blob of the server's host key. Nothing more is sent until `acceptHostKey`. */
  readonly hostKeyReceived?: (hostKey: Buffer) => void;
}

/** Signature algorithms that a client may authenticate with (RFC 8308 section 3.1): `server-sig-algs`. */
const extensionInfo = (signatureAlgorithms: readonly string[]): Buffer =>
  message(Message.EXT_INFO, { uint32: 1 }, "server-sig-algs", signatureAlgorithms.join(","));

/** The transport of one connection, from the moment its peer has identified itself. */
export class Transport {
  readonly #protocol: Protocol;
  readonly #settings: TransportSettings;
  #hasKeys = false;
  #bytesOfKey = 0;
  #error: Error | undefined;
  #closed = false;
  #isReceiving = false;
  /** The key that the server of a client has to have, now and whenever keys are exchanged again. */
  #hostKey: { readonly blob: Buffer; readonly accept: (isPermitted: boolean) => void } | undefined;
  readonly #free: () => void;

  /**
   * `signatureAlgorithms` are those that a server lets clients authenticate with; `peerIdentification` is the peer's
   * line without its line end.
   */
  constructor(
    settings: TransportSettings,
    signatureAlgorithms: readonly string[],
    peerIdentification: string,
    events: TransportEvents,
  ) {
    this.#settings = settings;
    const protocol = new Protocol({
      server: settings.role === "server",
      hostKeys: settings.hostKeys,
      hostVerifier: (blob, accept) => {
        if (this.#hostKey !== undefined) return blob.equals(this.#hostKey.blob);
        this.#hostKey = { blob: Buffer.from(blob), accept };
        events.hostKeyReceived?.(this.#hostKey.blob);
        return undefined;
      },
      ident: settings.identification,
      offer: settings.offer,
      onWrite: (bytes) => {
        this.#bytesOfKey += bytes.length;
        events.write(bytes);
      },
      onError: (error) => {
        this.#error ??= error;
      },
      onHeader: () => this.#watchGuess(),
      onHandshakeComplete: (negotiated) => {
        this.#bytesOfKey = 0;
        if (this.#hasKeys) {
          events.rekeyed();
        } else {
          this.#hasKeys = true;
          events.handshakeCompleted(negotiated);
        }
      },
      messageHandlers: {
        DISCONNECT: (_, reason, text) => {
          if (!this.#closed) events.disconnected(reason, text);
        },
      },
    });
    this.#protocol = protocol;
    useHybridKeyExchange(protocol, settings.offer);

    const onKeyExchange = protocol._onPayload;
    protocol._onPayload = (payload) => {
      if (this.#closed) return undefined;
      if (payload[0] === Message.KEXINIT) return onKeyExchange(payload);
      events.message(payload);
      return undefined;
    };
    const onHandshakeComplete = protocol._onHandshakeComplete;
    protocol._onHandshakeComplete = (negotiated) => {
      const exchange = protocol._kex;
      const outgoing = settings.role === "server" ? negotiated.sc : negotiated.cs;
      if (hasNativeCrypto()) this.#useMemory(outgoing.cipher);
      if (settings.role === "server" && !this.#hasKeys && exchange?.remoteExtInfoEnabled) {
        exchange.remoteExtInfoEnabled = false;
        this.sendMessage(extensionInfo(signatureAlgorithms));
      }
      onHandshakeComplete(negotiated);
    };
    // A fatal error would end the transport at once, without a word: the connection says why and then closes it.
    protocol.disconnect = () => {};
    const destruct = protocol._destruct;
    protocol._destruct = () => {};
    this.#free = () => {
      protocol._destruct = destruct;
      protocol.cleanup();
    };
    this.receive(Buffer.from(`${peerIdentification}\r\n`, "latin1"));
  }

  /** The hash that identifies the session (RFC 4253 section 7.2). */
  get sessionId(): Buffer {
    const exchange = this.#protocol._kex;
    if (exchange === undefined) throw new Error("no keys have been exchanged");
    return exchange.sessionID;
  }

  /** While keys are exchanged everything that is sent is kept in memory: send only what must be sent. */
  get isExchangingKeys(): boolean {
    return this.#protocol._kexinit !== undefined;
  }

  /** How many messages wait for new keys. */
  get waiting(): number {
    return this.#protocol._queue?.length ?? 0;
  }

  /**
   * The host key that was received is the right one: the key exchange goes on.
   * @throws when the server did not prove that it holds the key
   */
  acceptHostKey(): void {
    if (this.#closed) return;
    this.#hostKey?.accept(true);
    if (this.#error !== undefined) throw this.#error;
  }

  /**
   * Takes bytes of the peer.
   * @throws when they break the protocol or fail to authenticate, and what `message` throws
   */
  receive(chunk: Buffer): void {
    if (this.#closed) return;
    this.#bytesOfKey += chunk.length;
    this.#isReceiving = true;
    try {
      this.#protocol.parse(chunk, 0, chunk.length);
    } finally {
      this.#isReceiving = false;
      if (this.#closed) this.#free();
    }
    if (this.#error !== undefined) throw this.#error;
  }

  /** Frees keys and buffers; nothing is received or sent from then on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // A message that ends the connection is still being decrypted: its keys are needed until that is over.
    if (!this.#isReceiving) this.#free();
  }

  /** Sends a message of `length` bytes that `fill` writes into the packet from `offset` on. */
  send(length: number, fill: (packet: Buffer, offset: number) => void): void {
    if (this.#closed) return;
    const protocol = this.#protocol;
    const { write } = protocol._packetRW;
    const packet = write.alloc(length);
    fill(packet, write.allocStart);
    utils.sendPacket(protocol, write.finalize(packet));
    const areKeysOld = this.#hasKeys && this.#bytesOfKey >= this.#settings.bytesPerKey;
    if (areKeysOld && !this.isExchangingKeys) protocol.rekey();
  }

  sendMessage(payload: Buffer): void {
    this.send(payload.length, (packet, offset) => packet.set(payload, offset));
  }

  /** Answers the message at hand, which nobody understood (RFC 4253 section 11.4). */
  sendUnimplemented(): void {
    // ssh2 has counted the message already.
    const sequenceNumber = (this.#protocol._decipher.inSeqno - 1) >>> 0;
    this.sendMessage(message(Message.UNIMPLEMENTED, { uint32: sequenceNumber }));
  }

  /** SSH_MSG_DISCONNECT (RFC 4253 section 11.1), also in the middle of a key exchange. */
  sendDisconnect(reason: number, text: string): void {
    // Between our SSH_MSG_NEWKEYS and the client's there is no key that both use.
    if (this.#closed || (this.isExchangingKeys && this.#protocol._kex?._sentNEWKEYS)) return;
    const payload = message(Message.DISCONNECT, { uint32: reason }, text, "");
    const { write } = this.#protocol._packetRW;
    const packet = write.alloc(payload.length, true);
    packet.set(payload, write.allocStartKEX);
    utils.sendPacket(this.#protocol, write.finalize(packet, true), true);
  }

  /** ssh2 asks the system for memory, and for random bytes, with every packet. Its ciphers encrypt in place. */
  #useMemory(name: string): void {
    const cipher = this.#protocol._cipher;
    const { memory, padding } = this.#settings;
    const block = cipher._encBlockLen ?? (name.includes("gcm") ? 16 : 8);
    const { _aadLen: clear = 4, _macLen: tail = 16 } = cipher;
    cipher.allocPacket = (payloadBytes) => {
      const unpadded = 5 + payloadBytes;
      const least = block - ((unpadded - clear) & (block - 1));
      const padded = least < SHORTEST_PADDING ? least + block : least;
      const packet = memory.allocate(unpadded + padded + tail);
      packet.writeUInt32BE(unpadded + padded - 4, 0);
      packet[4] = padded;
      padding.fill(packet, unpadded, padded);
      return packet;
    };
  }

  /** RFC 4253 section 7: a guess is right when both sides prefer the same key exchange and the same host key. */
  #watchGuess(): void {
    const decryptor = this.#protocol._decipher;
    const onPayload = decryptor._onPayload;
    decryptor._onPayload = (payload) => {
      if (this.#closed) return undefined;
      const next = onPayload(payload);
      if (payload[0] === Message.KEXINIT && this.#error === undefined) {
        this.#protocol._skipNextInboundPacket = this.#isWrongGuess(payload);
      }
      return next;
    };
  }

  #isWrongGuess(keyExchangeInit: Buffer): boolean {
    const reader = new Reader(keyExchangeInit, 17);
    const [firstKex] = reader.name().split(",", 1);
    const [firstHostKey] = reader.name().split(",", 1);
    for (let list = 0; list < 8; list++) reader.string();
    const follows = reader.boolean();
    return follows && (firstKex !== this.#settings.firstKex || firstHostKey !== this.#settings.firstHostKey);
  }
}
