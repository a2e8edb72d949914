/** Reading and writing the data types of RFC 4251 section 5, and the message numbers of RFC 4250 section 4.1. */

/** SSH_MSG_…, by name. */
export const Message = {
  DISCONNECT: 1,
  IGNORE: 2,
  UNIMPLEMENTED: 3,
  DEBUG: 4,
  SERVICE_REQUEST: 5,
  SERVICE_ACCEPT: 6,
  EXT_INFO: 7,
  KEXINIT: 20,
  USERAUTH_REQUEST: 50,
  USERAUTH_FAILURE: 51,
  USERAUTH_SUCCESS: 52,
  USERAUTH_BANNER: 53,
  USERAUTH_PK_OK: 60,
  USERAUTH_INFO_REQUEST: 60,
  USERAUTH_INFO_RESPONSE: 61,
  USERAUTH_GSSAPI_RESPONSE: 60,
  USERAUTH_GSSAPI_TOKEN: 61,
  USERAUTH_GSSAPI_EXCHANGE_COMPLETE: 63,
  USERAUTH_GSSAPI_ERROR: 64,
  USERAUTH_GSSAPI_ERRTOK: 65,
  USERAUTH_GSSAPI_MIC: 66,
  GLOBAL_REQUEST: 80,
  REQUEST_SUCCESS: 81,
  REQUEST_FAILURE: 82,
  CHANNEL_OPEN: 90,
  CHANNEL_OPEN_CONFIRMATION: 91,
  CHANNEL_OPEN_FAILURE: 92,
  CHANNEL_WINDOW_ADJUST: 93,
  CHANNEL_DATA: 94,
  CHANNEL_EXTENDED_DATA: 95,
  CHANNEL_EOF: 96,
  CHANNEL_CLOSE: 97,
  CHANNEL_REQUEST: 98,
  CHANNEL_SUCCESS: 99,
  CHANNEL_FAILURE: 100,
} as const;

/** A message that breaks the protocol: whoever sent it is disconnected. */
export class ProtocolError extends Error {}

/** Reads one message from front to back. Every method throws a ProtocolError when the message is too short. */
export class Reader {
  readonly #message: Buffer;
  #at: number;

  /** `start`: 1 skips the message number. */
  constructor(message: Buffer, start = 1) {
    this.#message = message;
    this.#at = start;
  }

  /** How much has been read. */
  get position(): number {
    return this.#at;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#message.length;
  }

  byte(): number {
    return this.#message.readUInt8(this.#advance(1));
  }

  boolean(): boolean {
    return this.byte() !== 0;
  }

  uint32(): number {
    return this.#message.readUInt32BE(this.#advance(4));
  }

  /** A string of any bytes. The result shares the message's memory. */
  string(): Buffer {
    const length = this.uint32();
    const start = this.#advance(length);
    return this.#message.subarray(start, start + length);
  }

  /** A name in US-ASCII (RFC 4251 section 6); other bytes are kept apart, so that no two names become one. */
  name(): string {
    return this.string().toString("latin1");
  }

  /** Text in UTF-8; undefined when it is not. */
  text(): string | undefined {
    return decodeUtf8(this.string());
  }

  #advance(length: number): number {
    const start = this.#at;
    if (start + length > this.#message.length) {
      throw new ProtocolError(`message ${this.#message[0]} ends too early`);
    }
    this.#at = start + length;
    return start;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Strict: undefined instead of replacement characters. */
export const decodeUtf8 = (bytes: Uint8Array): string | undefined => {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
};

/** Whether a text is a name or term that may be written into a log or an environment: no control characters. */
export const isPlainText = (text: string): boolean => !/\p{Cc}/u.test(text);

const LONGEST_QUOTE = 64;

/** A client's name of something, as it is written into the log: its beginning, and nothing of what is no text. */
export const quoted = (name: string): string => (isPlainText(name) ? name.slice(0, LONGEST_QUOTE) : "");

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** A string with its length in front. */
export const string = (value: string | Uint8Array): Buffer => {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([uint32(bytes.length), bytes]);
};

/** A whole message: numbers are single bytes, strings and buffers are strings with their lengths in front. */
export const message = (number: number, ...fields: readonly Field[]): Buffer =>
  Buffer.concat([Buffer.of(number), ...fields.map(encode)]);

/** A field of a message: `{ uint32: 7 }` is a number, `true` a boolean, everything else a string. */
export type Field = string | Uint8Array | boolean | { readonly uint32: number };

const encode = (field: Field): Uint8Array => {
  if (typeof field === "boolean") return Buffer.of(field ? 1 : 0);
  if (typeof field === "object" && "uint32" in field) return uint32(field.uint32);
  return string(field);
};
