/** Standard output as a destination of the log. */
import type { Writable } from "node:stream";
import type { Destination, Written } from "./destination.ts";

/**
 * A stream that somebody else owns and closes. Its errors (a closed pipe) become reasons of lines not written
 * instead of ending the process.
 */
export const streamDestination = (stream: Writable, description: string): Destination => {
  // The callback of the write that failed tells the same error.
  const alreadyTold = () => {};
  stream.on("error", alreadyTold);
  return {
    description,
    write: (lines) => writeLines(stream, lines),
    reopen: async () => {},
    close: async () => {
      // What the reader has not taken may still fail later, when nobody else listens.
      if (stream.writableLength === 0) stream.off("error", alreadyTold);
    },
  };
};

/** One write to a stream; it counts when the stream has handed it to the system. */
export const writeLines = (stream: Writable, lines: ReadonlyArray<string>): Promise<Written> =>
  new Promise((resolve) => {
    stream.write(lines.join(""), (error) =>
      resolve(error ? { lines: 0, reason: error } : { lines: lines.length }),
    );
  });
