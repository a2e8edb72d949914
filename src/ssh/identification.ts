/** The line by which a client says that it speaks SSH (RFC 4253 section 4.2). */
import { ProtocolError } from "./wire.ts";

/** With its line end. */
const LONGEST_LINE = 255;
const START = Buffer.from("SSH-");

/** Servers and clients of the last century that also speak version 2 say 1.99. */
const PATTERN = /^SSH-(?:2\.0|1\.99)-[!-~\x80-\xff]+(?: [ -~\x80-\xff]*)?$/;

export interface Identified {
  /** The line without its line end. */
  readonly line: string;
  /** What the client sent behind it. */
  readonly rest: Buffer;
}

export class IdentificationReader {
  #received: Buffer = Buffer.alloc(0);

  /** Takes what the client sent; gives the line when it is complete. Throws when it won't ever be one. */
  read(chunk: Buffer): Identified | undefined {
    const received = Buffer.concat([this.#received, chunk]);
    const end = received.indexOf("\n");
    if (!received.subarray(0, START.length).equals(START.subarray(0, received.length))) {
      throw new ProtocolError("the client does not begin with an identification string");
    }
    if ((end === -1 ? received.length : end + 1) > LONGEST_LINE) {
      throw new ProtocolError("the client's identification string is too long");
    }
    this.#received = received;
    if (end === -1) return undefined;
    const line = received.toString("latin1", 0, end).replace(/\r$/, "");
    if (!PATTERN.test(line)) throw new ProtocolError("the client's identification string is malformed");
    return { line, rest: received.subarray(end + 1) };
  }
}
