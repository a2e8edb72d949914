/** Text that arrives bit by bit, and waiting for what it will say. */
import { PATIENCE_SECONDS } from "./patience.ts";

/** A deadline that turns a wait into an error that tells what there was instead. */
export const within = async <A>(
  seconds: number,
  promise: Promise<A>,
  otherwise: () => string,
): Promise<A> => {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(otherwise())), seconds * 1000);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
};

export class Transcript {
  #text = "";
  #consumed = 0;
  #ended = false;
  readonly #watchers = new Set<() => void>();

  /** Everything so far. */
  get text(): string {
    return this.#text;
  }

  append(chunk: string): void {
    this.#text += chunk;
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /**
   * Resolves with the match once the text after the previous match holds one. Rejects, quoting the text, when the
   * text ends or the time is over without one.
   */
  async waitFor(wanted: string | RegExp, withinSeconds = PATIENCE_SECONDS): Promise<RegExpMatchArray> {
    const pattern =
      typeof wanted === "string" ? new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")) : wanted;
    const missed = () =>
      `${pattern} did not come; since the last match came: ${JSON.stringify(this.#text.slice(this.#consumed).slice(-4000))}`;
    const found = new Promise<RegExpMatchArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(this.#text.slice(this.#consumed));
        if (match === null && !this.#ended) return;
        this.#watchers.delete(look);
        if (match === null) return reject(new Error(`the text ended: ${missed()}`));
        this.#consumed += match.index + match[0].length;
        resolve(match);
      };
      this.#watchers.add(look);
      look();
    });
    return within(withinSeconds, found, missed);
  }

  #wake(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}
