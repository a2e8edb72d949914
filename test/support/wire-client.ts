/** An SSH client that does what a test tells it: the transport is ssh2's, every message above it is written by hand. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { KexInit } from "ssh2/lib/protocol/kex.js";
import Protocol, { type ProtocolOptions } from "ssh2/lib/protocol/Protocol.js";
import utils from "ssh2/lib/protocol/utils.js";
import { onTestFinished } from "vitest";
import { useHybridKeyExchange } from "../../src/ssh/hybrid-key-exchange.ts";
import { writePublicKey } from "../../src/ssh/public-key.ts";
import { type Field, Message, message, Reader, string } from "../../src/ssh/wire.ts";

/** The password that `login` gives. */
export const PASSWORD = "right";

/** What a client gives in SSH_MSG_CHANNEL_OPEN when a test doesn't care. */
const WINDOW_BYTES = 2 ** 20;
const PACKET_BYTES = 2 ** 15;

export interface ProgramOutcome {
  readonly stdout: string;
  readonly stderr: string;
  /** Undefined when the server told none. */
  readonly status: number | undefined;
}

export class WireClient {
  readonly socket: Socket;
  /** Every message of the server, in order, but those of key exchanges. */
  readonly received: Buffer[] = [];
  readonly #protocol: Protocol;
  readonly #offer: KexInit;
  readonly #watchers = new Set<() => void>();
  #taken = 0;
  #isClosed = false;
  #exchanges = 0;

  private constructor(socket: Socket, options: Partial<ProtocolOptions>) {
    this.socket = socket;
    this.#protocol = new Protocol({
      server: false,
      ident: Buffer.from("test_client"),
      onWrite: (bytes) => void (socket.writable && socket.write(bytes)),
      onError: () => socket.destroy(),
      onHeader: () => {},
      onHandshakeComplete: () => {
        this.#exchanges++;
        this.#wake();
      },
      messageHandlers: {},
      ...options,
    });
    this.#offer = this.#protocol._offer;
    useHybridKeyExchange(this.#protocol, this.#offer);
    const onKeyExchange = this.#protocol._onPayload;
    this.#protocol._onPayload = (payload) => {
      if (payload[0] === Message.KEXINIT) return onKeyExchange(payload);
      this.received.push(Buffer.from(payload));
      this.#wake();
      return undefined;
    };
    socket.on("data", (chunk: Buffer) => this.#protocol.parse(chunk, 0, chunk.length));
    socket.once("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
    socket.on("error", () => {});
    this.#protocol.start();
  }

  /** Connects and exchanges keys. */
  static async connect(
    { host, port }: { readonly host: string; readonly port: number },
    options: Partial<ProtocolOptions> = {},
  ): Promise<WireClient> {
    const socket = connect({ host, port, noDelay: true });
    onTestFinished(() => void socket.destroy());
    await once(socket, "connect");
    const client = new WireClient(socket, options);
    await client.#until(() => client.#exchanges > 0);
    return client;
  }

  /** Connects, exchanges keys and logs in with the right password. */
  static async login(
    server: { readonly host: string; readonly port: number },
    username = "jane",
  ): Promise<WireClient> {
    const client = await WireClient.connect(server);
    await client.beginAuthentication();
    client.offerPassword(username);
    await client.next(Message.USERAUTH_SUCCESS);
    return client;
  }

  get sessionId(): Buffer {
    const exchange = this.#protocol._kex;
    if (exchange === undefined) throw new Error("no keys yet");
    return exchange.sessionID;
  }

  send(number: number, ...fields: readonly Field[]): void {
    this.sendRaw(message(number, ...fields));
  }

  sendRaw(payload: Buffer): void {
    const { write } = this.#protocol._packetRW;
    const packet = write.alloc(payload.length);
    packet.set(payload, write.allocStart);
    utils.sendPacket(this.#protocol, write.finalize(packet));
  }

  /** From now on the server's wish for new keys is not heard. */
  ignoreKeyExchange(): void {
    const onPayload = this.#protocol._onPayload;
    this.#protocol._decipher._onPayload = (payload) =>
      payload[0] === Message.KEXINIT ? undefined : onPayload(payload);
  }

  rekey(): void {
    this.#protocol.rekey();
  }

  /** Exchanges keys again, and offers something else than before. */
  async rekeyBy(offer: KexInit): Promise<void> {
    const before = this.#exchanges;
    Object.assign(this.#offer, offer);
    this.#protocol._offer = this.#offer;
    this.#protocol.rekey();
    await this.#until(() => this.#exchanges > before);
  }

  /** The method of the last key exchange. */
  get method(): string | undefined {
    return this.#protocol._kex?.negotiated.kex;
  }

  async beginAuthentication(): Promise<void> {
    this.send(Message.SERVICE_REQUEST, "ssh-userauth");
    await this.next(Message.SERVICE_ACCEPT);
  }

  /** Sends a request for password authentication, with the right one, and doesn't wait for the answer. */
  offerPassword(username: string): void {
    this.send(Message.USERAUTH_REQUEST, username, "ssh-connection", "password", false, PASSWORD);
  }

  /** Opens a session channel, `sender` on this side; gives its number on the server's side. */
  async openSession(sender = 0, window = WINDOW_BYTES, packetBytes = PACKET_BYTES): Promise<number> {
    const sizes = [{ uint32: sender }, { uint32: window }, { uint32: packetBytes }];
    this.send(Message.CHANNEL_OPEN, "session", ...sizes);
    const answer = await this.next(Message.CHANNEL_OPEN_CONFIRMATION);
    return new Reader(answer, 5).uint32();
  }

  /** Sends a channel request and tells whether it was granted. */
  async request(channel: number, type: string, ...fields: readonly Field[]): Promise<boolean> {
    this.send(Message.CHANNEL_REQUEST, { uint32: channel }, type, true, ...fields);
    const answer = await this.next(Message.CHANNEL_SUCCESS, Message.CHANNEL_FAILURE);
    return answer[0] === Message.CHANNEL_SUCCESS;
  }

  /** What a program printed and how it ended, once its channel is closed; of a client with one channel. */
  async outcome(): Promise<ProgramOutcome> {
    await this.next(Message.CHANNEL_CLOSE);
    const text = (type: number, start: number): string =>
      this.received
        .filter((payload) => payload[0] === type)
        .map((payload) => new Reader(payload, start).string().toString())
        .join("");
    const status = this.received
      .filter(([type]) => type === Message.CHANNEL_REQUEST)
      .map((payload) => new Reader(payload, 5))
      .find((reader) => reader.name() === "exit-status");
    status?.boolean();
    return {
      stdout: text(Message.CHANNEL_DATA, 5),
      stderr: text(Message.CHANNEL_EXTENDED_DATA, 9),
      status: status?.uint32(),
    };
  }

  /** The next message of one of these types; others in between are skipped. Fails when the server hangs up. */
  async next(...types: readonly number[]): Promise<Buffer> {
    let found: Buffer | undefined;
    await this.#until(() => {
      while (found === undefined && this.#taken < this.received.length) {
        const payload = this.received[this.#taken++];
        if (payload !== undefined && types.includes(payload[0] ?? -1)) found = payload;
      }
      return found !== undefined;
    });
    if (found === undefined) throw new Error("unreachable");
    return found;
  }

  /** Why the server disconnects: its reason and its text. */
  async disconnection(): Promise<{ reason: number; text: string }> {
    const reader = new Reader(await this.next(Message.DISCONNECT));
    return { reason: reader.uint32(), text: reader.string().toString() };
  }

  async closed(): Promise<void> {
    await new Promise<void>((resolve) => {
      if (this.#isClosed) resolve();
      this.socket.resume().once("close", () => resolve());
    });
  }

  async #until(condition: () => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        if (condition()) resolve();
        else if (this.#isClosed) reject(new Error("the server closed the connection"));
        else return;
        this.#watchers.delete(look);
      };
      this.#watchers.add(look);
      look();
    });
  }

  #wake(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** A key pair of a user, and how it signs. */
export interface UserKey {
  readonly type: string;
  readonly blob: Buffer;
  readonly privateKey: KeyObject;
}

export const ed25519Key = (): UserKey => userKey(generateKeyPairSync("ed25519").privateKey);

export const rsaKey = (modulusLength = 2048): UserKey =>
  userKey(generateKeyPairSync("rsa", { modulusLength }).privateKey);

const userKey = (privateKey: KeyObject): UserKey => {
  const publicKey = writePublicKey(privateKey);
  if (publicKey === undefined) throw new Error("SSH has no such key");
  return { ...publicKey, privateKey };
};

/** A signed SSH_MSG_USERAUTH_REQUEST (RFC 4252 section 7). */
export const signedRequest = (
  sessionId: Buffer,
  username: string,
  key: UserKey,
  algorithm = key.type,
  hash: string | null = null,
): Buffer => {
  const request = message(
    Message.USERAUTH_REQUEST,
    ...[username, "ssh-connection", "publickey", true, algorithm, key.blob],
  );
  const signature = sign(hash, Buffer.concat([string(sessionId), request]), key.privateKey);
  return Buffer.concat([request, string(Buffer.concat([string(algorithm), string(signature)]))]);
};
