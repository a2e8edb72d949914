/**
 * The server's half of the SSH authentication protocol (RFC 4252): reads requests, one at a time in their order,
 * and writes what is decided about them elsewhere.
 */
import { Redacted } from "effect";
import type {
  AuthenticationAbandoned,
  AuthenticationRequested,
} from "../../machines/authentication-facts.ts";
import type { AuthenticationMethod, Credential } from "../../machines/facts.ts";
import { InteractionEnded, type Questions } from "./credentials.ts";
import { GssapiExchange, offersKerberos, signedData } from "./gssapi-exchange.ts";
import { canSignWith, fingerprintOf, isSignatureOf, readPublicKey } from "./public-key.ts";
import { decodeUtf8, isPlainText, Message, message, ProtocolError, Reader, string } from "./wire.ts";

/** Longer user names are refused (Linux allows 32, Active Directory 256). */
const LONGEST_USERNAME_BYTES = 256;
const USERNAME_UNUSABLE = "the user name is empty, too long, not UTF-8 or has control characters";
/** How much of a client's own words is written into the log. */
const LONGEST_ALGORITHM = 64;
/** How many requests a client may send before the first is answered. */
const MOST_WAITING = 10;
const MOST_PROMPTS = 32;

/** What this protocol needs of its connection. */
export interface AuthenticationPort {
  readonly send: (payload: Buffer) => void;
  readonly requested: (event: AuthenticationRequested | AuthenticationAbandoned) => void;
  readonly succeeded: () => void;
  readonly sessionId: () => Buffer;
  /** Shown when authentication begins. */
  readonly banner: string;
}

/** One SSH_MSG_USERAUTH_REQUEST. */
interface Request {
  readonly username: string;
  /** As it was sent. */
  readonly usernameBytes: Buffer;
  readonly method: string;
  /** The message, read up to the method's own fields. */
  readonly reader: Reader;
  readonly payload: Buffer;
}

interface Attempt {
  readonly method: string;
  /** Of a public key request without a signature: the fields of SSH_MSG_USERAUTH_PK_OK. */
  readonly probe?: readonly [algorithm: string, blob: Buffer];
  /** Questions that wait for SSH_MSG_USERAUTH_INFO_RESPONSE. */
  asked?: Asked | undefined;
  /** The messages of gssapi-with-mic. */
  readonly gssapi?: GssapiExchange;
  /** The client began another attempt in the middle of this one: its end is not to be answered (section 5.1). */
  isAbandoned?: boolean;
}

interface Asked {
  readonly count: number;
  readonly answer: (answers: readonly Redacted.Redacted<string>[]) => void;
  readonly end: (error: InteractionEnded) => void;
}

export class UserAuthentication {
  readonly #port: AuthenticationPort;
  readonly #waiting: Request[] = [];
  #hasBegun = false;
  #isDone = false;
  #attempt: Attempt | undefined;

  constructor(port: AuthenticationPort) {
    this.#port = port;
  }

  /** Whether the client is logged in. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** The method that waits for the client's next message of its own; undefined outside such a conversation. */
  get conversation(): string | undefined {
    const attempt = this.#attempt;
    return attempt !== undefined && isConversation(attempt.method) ? attempt.method : undefined;
  }

  /** SSH_MSG_SERVICE_REQUEST (RFC 4253 section 10). */
  serviceRequested(payload: Buffer): void {
    const service = new Reader(payload).name();
    if (service !== "ssh-userauth" || this.#hasBegun) {
      throw new ProtocolError("the client asked for a service that is not available");
    }
    this.#hasBegun = true;
    this.#port.send(message(Message.SERVICE_ACCEPT, service));
    if (this.#port.banner !== "") this.showBanner(this.#port.banner);
  }

  /** SSH_MSG_USERAUTH_REQUEST. */
  userAuthenticationRequested(payload: Buffer): void {
    // Section 5.1: what comes after success is ignored without a word.
    if (this.#isDone) return;
    if (!this.#hasBegun) throw new ProtocolError("authentication was not asked for");
    const reader = new Reader(payload);
    const usernameBytes = reader.string();
    const username = readUsername(usernameBytes);
    const service = reader.name();
    const method = reader.name();
    if (service !== "ssh-connection") throw new ProtocolError("the client asked for an unknown service");
    const request = { username: username ?? "", usernameBytes, method, reader, payload };
    const attempt = this.#attempt;
    if (attempt === undefined) {
      this.#begin(request);
      return;
    }
    if (this.#waiting.push(request) > MOST_WAITING) {
      throw new ProtocolError("too many authentication requests at once");
    }
    if (isConversation(attempt.method)) {
      attempt.isAbandoned = true;
      this.#endInteraction(attempt, "The client began another attempt");
      this.#port.requested({ type: "authentication.abandoned" });
    }
  }

  /** One of the messages 60 to 79, which mean what the method at hand makes of them (RFC 4252 section 6). */
  methodMessageReceived(payload: Buffer): void {
    const gssapi = this.#attempt?.gssapi;
    if (gssapi !== undefined) gssapi.receive(payload);
    else if (payload[0] === Message.USERAUTH_INFO_RESPONSE) this.#answersReceived(payload);
  }

  /** SSH_MSG_USERAUTH_INFO_RESPONSE (RFC 4256 section 3.4). */
  #answersReceived(payload: Buffer): void {
    const attempt = this.#attempt;
    const asked = attempt?.asked;
    // Answers may cross with the end of their questions on the wire.
    if (attempt === undefined || asked === undefined) return;
    const answers = readAnswers(new Reader(payload), asked.count);
    if (answers === undefined) {
      this.#endInteraction(attempt, "The answers do not fit the questions, or are not UTF-8");
      return;
    }
    attempt.asked = undefined;
    asked.answer(answers);
  }

  /** The connection is over: nobody answers any more. */
  close(): void {
    this.#waiting.length = 0;
    if (this.#attempt !== undefined) this.#endInteraction(this.#attempt, "The client is gone");
    this.#attempt = undefined;
  }

  answerFailure(methods: readonly AuthenticationMethod[]): void {
    this.#answer(message(Message.USERAUTH_FAILURE, methods.join(","), false));
  }

  answerKeyAcceptable(): void {
    const probe = this.#attempt?.probe;
    if (probe !== undefined) this.#answer(message(Message.USERAUTH_PK_OK, ...probe));
  }

  answerSuccess(): void {
    if (this.#attempt === undefined || this.#isDone) return;
    this.#isDone = true;
    this.#attempt = undefined;
    this.#waiting.length = 0;
    this.#port.send(message(Message.USERAUTH_SUCCESS));
    this.#port.succeeded();
  }

  /** SSH_MSG_USERAUTH_BANNER (section 5.4), possible until success. */
  showBanner(text: string): void {
    if (this.#isDone || !this.#hasBegun) return;
    const lines = `${text}\n`.replace(/\r?\n/g, "\r\n").replace(/(\r\n)+$/, "\r\n");
    this.#port.send(message(Message.USERAUTH_BANNER, lines, ""));
  }

  #answer(payload: Buffer): void {
    const attempt = this.#attempt;
    if (attempt === undefined || this.#isDone) return;
    this.#attempt = undefined;
    attempt.gssapi?.end("The attempt is over");
    if (!attempt.isAbandoned) this.#port.send(payload);
    const next = this.#waiting.shift();
    if (next !== undefined) this.#begin(next);
  }

  #begin(request: Request): void {
    const { username, method } = request;
    const attempt = this.#attemptOf(request);
    this.#attempt = attempt;
    const offered = username === "" ? USERNAME_UNUSABLE : this.#credentialOf(request, attempt);
    this.#port.requested({
      type: "authentication.requested",
      username,
      method,
      credential: typeof offered === "string" ? undefined : offered,
      ...(typeof offered === "string" && { problem: offered }),
    });
  }

  #attemptOf({ method, reader, payload }: Request): Attempt {
    if (method === "gssapi-with-mic") {
      const gssapi = new GssapiExchange((answer) => this.#port.send(answer));
      return { method, gssapi };
    }
    if (method !== "publickey") return { method };
    const fields = new Reader(payload, reader.position);
    return fields.boolean() ? { method } : { method, probe: [fields.name(), fields.string()] };
  }

  /** What the client offers, or why it is nothing that could ever be accepted; undefined when the method is unknown. */
  #credentialOf(request: Request, attempt: Attempt): Credential | string | undefined {
    switch (request.method) {
      case "password":
        return passwordOf(request.reader);
      case "publickey":
        return this.#publicKeyOf(request);
      case "keyboard-interactive":
        return { method: "keyboard-interactive", ask: (questions) => this.#ask(attempt, questions) };
      case "gssapi-with-mic":
        return this.#gssapiOf(request, attempt);
      default:
        return undefined;
    }
  }

  #publicKeyOf({ reader, payload }: Request): Credential | string {
    const signed = reader.boolean();
    const algorithm = reader.name();
    const blob = reader.string();
    const key = readPublicKey(blob);
    if (key === undefined || !canSignWith(key, algorithm)) {
      return `keys or signatures of the kind ${algorithm.slice(0, LONGEST_ALGORITHM)} are not supported`;
    }
    const end = reader.position;
    const signature = signed ? reader.string() : undefined;
    // Section 7: the signature is over the session's id and the request up to the signature.
    const verify = () =>
      signature !== undefined &&
      isSignatureOf(
        key,
        algorithm,
        signature,
        Buffer.concat([string(this.#port.sessionId()), payload.subarray(0, end)]),
      );
    return {
      method: "publickey",
      algorithm,
      fingerprint: fingerprintOf(blob),
      signed,
      key: `${key.type} ${blob.toString("base64")}`,
      verify,
    };
  }

  #gssapiOf({ reader, usernameBytes }: Request, { gssapi }: Attempt): Credential | string | undefined {
    if (gssapi === undefined) return undefined;
    if (!offersKerberos(reader)) return "none of its GSS-API mechanisms is supported";
    return {
      method: "gssapi-with-mic",
      exchange: (token) => gssapi.exchange(token),
      showError: (error) => gssapi.showError(error),
      signedData: () => signedData(this.#port.sessionId(), usernameBytes),
    };
  }

  #ask(attempt: Attempt, questions: Questions): Promise<readonly Redacted.Redacted<string>[]> {
    return new Promise((resolve, reject) => {
      const { title, instruction, prompts } = questions;
      if (this.#attempt !== attempt || attempt.isAbandoned || prompts.length > MOST_PROMPTS) {
        reject(new InteractionEnded({ message: "The attempt is over" }));
        return;
      }
      attempt.asked = { count: prompts.length, answer: resolve, end: reject };
      const fields = prompts.flatMap(({ text, echo }) => [text, echo]);
      const count = { uint32: prompts.length };
      this.#port.send(message(Message.USERAUTH_INFO_REQUEST, title, instruction, "", count, ...fields));
    });
  }

  #endInteraction(attempt: Attempt, reason: string): void {
    const { asked } = attempt;
    attempt.asked = undefined;
    asked?.end(new InteractionEnded({ message: reason }));
    attempt.gssapi?.end(reason);
  }
}

/** Methods that take more messages than a request and its answer. */
const isConversation = (method: string): boolean =>
  method === "keyboard-interactive" || method === "gssapi-with-mic";

const passwordOf = (reader: Reader): Credential | string => {
  if (reader.boolean()) return "passwords cannot be changed here";
  const password = reader.text();
  return password === undefined
    ? "the password is not UTF-8"
    : { method: "password", password: Redacted.make(password) };
};

const readUsername = (bytes: Buffer): string | undefined => {
  const username = bytes.length > LONGEST_USERNAME_BYTES ? undefined : decodeUtf8(bytes);
  return username !== undefined && isPlainText(username) ? username : undefined;
};

const readAnswers = (reader: Reader, count: number): Redacted.Redacted<string>[] | undefined => {
  if (reader.uint32() !== count) return undefined;
  const answers: Redacted.Redacted<string>[] = [];
  while (answers.length < count) {
    const answer = reader.text();
    if (answer === undefined) return undefined;
    answers.push(Redacted.make(answer));
  }
  return answers;
};
