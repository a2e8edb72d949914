/** Holds our offer of algorithms back for clients of OpenSSH, until theirs is here. */
import type { Outlet } from "./outlet.ts";

/** Clients that hold a small segment back while another is not acknowledged (RFC 896). */
const HOLDING_BACK = "SSH-2.0-OpenSSH_";
/** So long our offer waits for such a client's: more than most round trips take. */
const HOLD_MILLIS = 300;

/**
 * Such a client's offer and its part of the key exchange are two segments, and the second waits until the first is
 * acknowledged, which takes the kernel 40 ms unless there is something to send with it: our offer.
 */
export class OfferHold {
  readonly #outlet: Outlet;
  #timer: NodeJS.Timeout | undefined;

  constructor(outlet: Outlet) {
    this.#outlet = outlet;
  }

  /** Before the offer is written, to a client that has said no more than its identification. */
  begin(clientVersion: string): void {
    if (!clientVersion.startsWith(HOLDING_BACK)) return;
    this.#outlet.hold();
    this.#timer = setTimeout(() => this.end(), HOLD_MILLIS);
  }

  /** What was held goes out. */
  end(): void {
    if (this.#timer === undefined) return;
    this.forget();
    this.#outlet.release();
  }

  /** The connection ends, and sends what it has by itself. */
  forget(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
