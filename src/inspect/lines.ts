/**
 * The lines of one trace, kept as JSON texts: that is compact, its size is known, and to send it is to join it. When
 * there are more bytes than allowed, lines in the middle make room: how a login went is kept, and what was last.
 */
import type { Line } from "./format.ts";

/** A place for a line that is known only when all that follows from it has happened. */
export interface Place {
  text: string;
}

/** How many bytes a line costs beyond its text. */
const OVERHEAD = 40;
/** How many of the first lines are kept: more than a login has. */
const KEPT_AT_START = 200;

export class Lines {
  readonly #places: (string | Place)[] = [];
  #bytes = 0;
  #dropped = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** How many lines there have been, those that were dropped included. */
  get count(): number {
    return this.#dropped + this.#places.length;
  }

  push(line: Line): void {
    const text = JSON.stringify(line);
    this.#places.push(text);
    this.#bytes += text.length + OVERHEAD;
  }

  /** Keeps the next place; one that is never filled stays out of the trace. */
  reserve(): Place {
    const place = { text: "" };
    this.#places.push(place);
    this.#bytes += OVERHEAD;
    return place;
  }

  fill(place: Place, line: Line): void {
    place.text = JSON.stringify(line);
    this.#bytes += place.text.length;
  }

  /** Drops lines from the middle until no more than `limit` bytes are left, with some room for what comes. */
  shrink(limit: number): void {
    if (this.#bytes <= limit) return;
    const wanted = this.#bytes - limit * 0.75;
    let freed = 0;
    let end = KEPT_AT_START;
    while (freed < wanted && end < this.#places.length)
      freed += textOf(this.#places[end++]).length + OVERHEAD;
    this.#dropped += this.#places.splice(KEPT_AT_START, end - KEPT_AT_START).length;
    this.#bytes -= freed;
  }

  /** The lines from number `start` on, as JSON texts with commas between. */
  from(start: number): string {
    const index = start <= KEPT_AT_START ? start : Math.max(KEPT_AT_START, start - this.#dropped);
    return this.#places
      .slice(index)
      .map(textOf)
      .filter((text) => text !== "")
      .join(",");
  }
}

const textOf = (place: string | Place | undefined): string =>
  typeof place === "object" ? place.text : (place ?? "");
