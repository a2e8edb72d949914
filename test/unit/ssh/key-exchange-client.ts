/** A client that speaks a first key exchange by hand, so that it can do it wrong, and computes what must come out. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Socket } from "node:net";
import { Message, message, Reader, string, uint32 } from "../../../src/ssh/wire.ts";
import { rawSocket } from "../../support/sockets.ts";
import type { ScriptedServer } from "./scripted.ts";

/** RFC 5656 section 7.1; the hybrid methods use the same numbers. */
export const KEX_ECDH_INIT = 30;
export const KEX_ECDH_REPLY = 31;

export const IDENTIFICATION = "SSH-2.0-test_client";

/** A packet before there are keys (RFC 4253 section 6). */
export const packet = (payload: Buffer): Buffer => {
  const padding = 8 + (-(5 + payload.length) & 7);
  const length = uint32(1 + payload.length + padding);
  return Buffer.concat([length, Buffer.of(padding), payload, Buffer.alloc(padding)]);
};

export interface KeyExchangeOptions {
  /** The preferred method first. */
  readonly kex?: readonly string[];
  /** Whether a packet for the first method follows before the server has said anything. */
  readonly guesses?: boolean;
}

/** SSH_MSG_KEXINIT (RFC 4253 section 7.1). */
export const keyExchangeInit = ({ kex = [], guesses = false }: KeyExchangeOptions): Buffer => {
  const lists = [
    ...[kex.join(","), "ssh-ed25519", "aes128-ctr", "aes128-ctr"],
    ...["hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""],
  ];
  const init = message(Message.KEXINIT, ...lists, guesses, { uint32: 0 });
  return Buffer.concat([init.subarray(0, 1), Buffer.alloc(16, 7), init.subarray(1)]);
};

/** What the server sent to end an exchange, and the hash that its signature is over. */
export interface Reply {
  readonly hostKey: Buffer;
  readonly value: Buffer;
  readonly signature: Buffer;
  /** The exchange hash for a shared secret that is already encoded (RFC 4253 section 8). */
  readonly hash: (encodedSecret: Buffer) => Buffer;
}

export class KeyExchangeClient {
  readonly socket: Socket;
  readonly #clientInit: Buffer;
  #received = Buffer.alloc(0);
  #identification = "";
  #serverInit: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket, clientInit: Buffer) {
    this.socket = socket;
    this.#clientInit = clientInit;
  }

  /** Identifies itself and sends its SSH_MSG_KEXINIT. */
  static async begin(server: ScriptedServer, options: KeyExchangeOptions): Promise<KeyExchangeClient> {
    const client = new KeyExchangeClient(await rawSocket(server), keyExchangeInit(options));
    client.socket.write(`${IDENTIFICATION}\r\n`);
    client.socket.write(packet(client.#clientInit));
    const line = await client.#take((bytes) => {
      const end = bytes.indexOf("\r\n");
      return end === -1 ? undefined : end + 2;
    });
    client.#identification = line.subarray(0, -2).toString("latin1");
    client.#serverInit = await client.payload();
    return client;
  }

  /** The methods that the server offers. */
  get offered(): readonly string[] {
    return new Reader(this.#serverInit, 17).name().split(",");
  }

  send(payload: Buffer): void {
    this.socket.write(packet(payload));
  }

  /** Sends its public value and takes the server's. */
  async exchange(value: Buffer): Promise<Reply> {
    this.send(message(KEX_ECDH_INIT, value));
    const payload = await this.payload();
    if (payload[0] !== KEX_ECDH_REPLY) throw new Error(`message ${payload[0]} instead of the reply`);
    const reader = new Reader(payload);
    const [hostKey, theirs, signature] = [reader.string(), reader.string(), reader.string()];
    const hash = (encodedSecret: Buffer) => {
      const fields = [IDENTIFICATION, this.#identification, this.#clientInit, this.#serverInit];
      const strings = [...fields, hostKey, value, theirs].map((field) => string(field));
      return createHash("sha256")
        .update(Buffer.concat([...strings, encodedSecret]))
        .digest();
    };
    return { hostKey, value: theirs, signature, hash };
  }

  /** The payload of the server's next packet. */
  async payload(): Promise<Buffer> {
    const bytes = await this.#take((received) => {
      const end = received.length < 4 ? Number.POSITIVE_INFINITY : 4 + received.readUInt32BE(0);
      return end <= received.length ? end : undefined;
    });
    return Buffer.from(bytes.subarray(5, bytes.length - bytes.readUInt8(4)));
  }

  async #take(endOf: (received: Buffer) => number | undefined): Promise<Buffer> {
    for (;;) {
      const end = endOf(this.#received);
      if (end !== undefined) {
        const taken = this.#received.subarray(0, end);
        this.#received = this.#received.subarray(end);
        return taken;
      }
      const [chunk] = (await once(this.socket, "data")) as [Buffer];
      this.#received = Buffer.concat([this.#received, chunk]);
    }
  }
}
