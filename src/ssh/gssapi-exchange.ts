/**
 * The messages of one gssapi-with-mic attempt (RFC 4462 section 3): tokens go back and forth, and the client ends
 * with a message integrity code. What is in a token, and whether the code is right, is decided elsewhere.
 */
import { Redacted } from "effect";
import { type GssapiError, type GssapiMessage, InteractionEnded } from "./credentials.ts";
import { Message, message, ProtocolError, Reader, string } from "./wire.ts";

/** Kerberos V5 (RFC 1964 section 1), as DER: the one mechanism Berth has. RFC 4462 section 3.2 forbids SPNEGO. */
const KERBEROS = Buffer.from("06092a864886f712010202", "hex");
const MOST_MECHANISMS = 64;
/** A client sends its next message after our last one; one more may cross with an error. */
const MOST_WAITING = 2;

/** Whether a client's SSH_MSG_USERAUTH_REQUEST offers a mechanism that Berth has (RFC 4462 section 3.2). */
export const offersKerberos = (request: Reader): boolean => {
  const count = request.uint32();
  if (count > MOST_MECHANISMS) return false;
  const mechanisms = Array.from({ length: count }, () => request.string());
  return mechanisms.some((mechanism) => mechanism.equals(KERBEROS));
};

/** What has to be signed: the session's identifier and the request without its mechanisms (RFC 4462 section 3.5). */
export const signedData = (sessionId: Buffer, username: Buffer): Buffer =>
  Buffer.concat([
    string(sessionId),
    message(Message.USERAUTH_REQUEST, username, "ssh-connection", "gssapi-with-mic"),
  ]);

interface Waiting {
  readonly resolve: (received: GssapiMessage) => void;
  readonly reject: (ended: InteractionEnded) => void;
}

export class GssapiExchange {
  readonly #send: (payload: Buffer) => void;
  readonly #received: GssapiMessage[] = [];
  #waiting: Waiting | undefined;
  #ended: InteractionEnded | undefined;
  #hasBegun = false;

  constructor(send: (payload: Buffer) => void) {
    this.#send = send;
  }

  /** Chooses the mechanism the first time, sends a token if there is one, and waits for the client's next message. */
  exchange(token: Redacted.Redacted<Uint8Array> | undefined): Promise<GssapiMessage> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(this.#ended);
        return;
      }
      if (!this.#hasBegun) this.#send(message(Message.USERAUTH_GSSAPI_RESPONSE, KERBEROS));
      this.#hasBegun = true;
      if (token !== undefined) this.#send(message(Message.USERAUTH_GSSAPI_TOKEN, Redacted.value(token)));
      const received = this.#received.shift();
      if (received !== undefined) resolve(received);
      else this.#waiting = { resolve, reject };
    });
  }

  showError({ major, minor, text, token }: GssapiError): void {
    if (this.#ended !== undefined) return;
    this.#send(message(Message.USERAUTH_GSSAPI_ERROR, { uint32: major }, { uint32: minor }, text, ""));
    if (token !== undefined) this.#send(message(Message.USERAUTH_GSSAPI_ERRTOK, token));
  }

  /** @throws ProtocolError when the message is none of this method, broken, or comes before its time */
  receive(payload: Buffer): void {
    const received = readMessage(payload);
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      waiting.resolve(received);
    } else if (this.#ended === undefined && this.#received.push(received) > MOST_WAITING) {
      throw new ProtocolError("too many messages of gssapi-with-mic at once");
    }
  }

  /** Nobody waits for the client any more. */
  end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = new InteractionEnded({ message: reason });
    this.#waiting?.reject(this.#ended);
    this.#waiting = undefined;
  }
}

const readMessage = (payload: Buffer): GssapiMessage => {
  const reader = new Reader(payload);
  switch (payload[0]) {
    case Message.USERAUTH_GSSAPI_TOKEN:
      return { kind: "token", bytes: Redacted.make(reader.string()) };
    case Message.USERAUTH_GSSAPI_MIC:
      return { kind: "mic", bytes: Redacted.make(reader.string()) };
    case Message.USERAUTH_GSSAPI_ERRTOK:
      return { kind: "errorToken", bytes: Redacted.make(reader.string()) };
    case Message.USERAUTH_GSSAPI_EXCHANGE_COMPLETE:
      return { kind: "exchangeComplete", bytes: Redacted.make(Buffer.alloc(0)) };
    default:
      throw new ProtocolError(`message ${payload[0]} is none of gssapi-with-mic`);
  }
};
