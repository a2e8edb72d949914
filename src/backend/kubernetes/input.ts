/** A program's standard input, as the launcher reads it that started it. */
import type { Channels } from "./channels.ts";
import { type Asides, END_OF_INPUT, type FrameReader, fitsLine, framed, QUESTION } from "./launcher.ts";

type Done = (error?: Error | null) => void;

export interface ProgramInput {
  /** Whether the program can be told that its input has ended. */
  readonly ends: boolean;
  /** `done` is called when more may be sent. */
  readonly write: (bytes: Buffer, done: Done) => void;
  /** Ends the input where that can be told: see `ends`. */
  readonly end: (done: Done) => void;
}

/** Input as it is. */
export const rawInput = (channels: Channels): ProgramInput => ({
  ends: channels.closesInput,
  write: (bytes, done) => channels.write(bytes, done),
  end: (done) => channels.endInput(done),
});

/** Input in frames. A program that has ended reads no more: what is still written is dropped. */
export class FramedInput implements ProgramInput {
  readonly ends = true;
  readonly #channels: Pick<Channels, "write">;
  readonly #asides: Asides;
  #hasAsked = false;
  #hasEnded = false;

  constructor(channels: Pick<Channels, "write">, asides: Asides) {
    this.#channels = channels;
    this.#asides = asides;
    void asides.status.then((status) => {
      if (status !== undefined) this.end(() => undefined);
    });
  }

  write(bytes: Buffer, done: Done): void {
    if (fitsLine(bytes)) {
      this.#sendFrames("printf", bytes, done);
      return;
    }
    if (!this.#hasAsked) this.#send(QUESTION, () => undefined);
    this.#hasAsked = true;
    void this.#asides.reader.then((reader) => {
      if (reader === undefined) done();
      else this.#sendFrames(reader, bytes, done);
    });
  }

  end(done: Done): void {
    this.#send(END_OF_INPUT, done);
    this.#hasEnded = true;
  }

  #sendFrames(reader: FrameReader, bytes: Buffer, done: Done): void {
    const frames = framed(reader, bytes);
    this.#send(frames, (error) => {
      // It may have been a ticket; what was written is its writer's.
      frames.fill(0);
      done(error);
    });
  }

  #send(bytes: Buffer, done: Done): void {
    if (this.#hasEnded) done();
    else this.#channels.write(bytes, done);
  }
}
