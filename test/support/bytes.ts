/** Any amount of bytes that don't repeat and don't compress, without keeping them: for transfers to compare. */
import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";

export interface Bytes {
  /** Gives the bytes, once. */
  readonly stream: Readable;
  /** Their SHA-256 in hex, once the stream was read to its end. */
  readonly digest: () => string;
}

export const bytes = (count: number): Bytes => {
  const cipher = createCipheriv("aes-128-ctr", randomBytes(16), randomBytes(16));
  const zeros = Buffer.alloc(256 * 1024);
  const hash = createHash("sha256");
  let left = count;
  const stream = new Readable({
    read() {
      if (left === 0) {
        this.push(null);
        return;
      }
      const chunk = cipher.update(left < zeros.length ? zeros.subarray(0, left) : zeros);
      left -= chunk.length;
      hash.update(chunk);
      this.push(chunk);
    },
  });
  return { stream, digest: () => hash.copy().digest("hex") };
};

/** Reads a stream to its end: how many bytes there were, and their SHA-256 in hex. */
export const digestOf = async (
  stream: Readable,
): Promise<{ readonly count: number; readonly digest: string }> => {
  const hash = createHash("sha256");
  let count = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    hash.update(chunk);
    count += chunk.length;
  }
  return { count, digest: hash.digest("hex") };
};
