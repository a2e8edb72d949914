/** The line by which a peer says that it speaks SSH (RFC 4253 section 4.2). */
import { ProtocolError } from "./wire.ts";

/** With its line end. */
const LONGEST_LINE = 255;
const START = Buffer.from("SSH-");

/** Servers and clients of the last century that also speak version 2 say 1.99. */
const PATTERN = /^SSH-(?:2\.0|1\.99)-[!-~\x80-\xff]+(?: [ -~\x80-\xff]*)?$/;

export interface Identified {
  /** The line without its line end. */
  readonly line: string;
  /** What the peer sent behind it. */
  readonly rest: Buffer;
}

/** A client's, which begins with it. */
export class IdentificationReader {
  #received: Buffer = Buffer.alloc(0);

  /** Takes what the client sent; gives the line when it is complete. Throws when it won't ever be one. */
  read(chunk: Buffer): Identified | undefined {
    const received = Buffer.concat([this.#received, chunk]);
    this.#received = received;
    return readLine(received, "the client");
  }
}

/** How much a server may say before it identifies itself. */
const LONGEST_GREETING = 64 * 1024;

/** A server's, which may say other lines before it. */
export class ServerIdentificationReader {
  #received: Buffer = Buffer.alloc(0);
  #greetingBytes = 0;

  /** Takes what the server sent; gives the line when it is complete. Throws when it won't ever be one. */
  read(chunk: Buffer): Identified | undefined {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (!beginsLike(this.#received, START)) {
      const end = this.#received.indexOf("\n");
      const said = end === -1 ? this.#received.length : end + 1;
      if (this.#greetingBytes + said > LONGEST_GREETING) {
        throw new ProtocolError("the server does not identify itself");
      }
      if (end === -1) return undefined;
      this.#greetingBytes += said;
      this.#received = this.#received.subarray(said);
    }
    return readLine(this.#received, "the server");
  }
}

const beginsLike = (received: Buffer, start: Buffer): boolean =>
  received.subarray(0, start.length).equals(start.subarray(0, received.length));

const readLine = (received: Buffer, peer: string): Identified | undefined => {
  const end = received.indexOf("\n");
  if (!beginsLike(received, START)) {
    throw new ProtocolError(`${peer} does not begin with an identification string`);
  }
  if ((end === -1 ? received.length : end + 1) > LONGEST_LINE) {
    throw new ProtocolError(`${peer}'s identification string is too long`);
  }
  if (end === -1) return undefined;
  const line = received.toString("latin1", 0, end).replace(/\r$/, "");
  if (!PATTERN.test(line)) throw new ProtocolError(`${peer}'s identification string is malformed`);
  return { line, rest: received.subarray(end + 1) };
};
